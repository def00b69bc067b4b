"""What a fleet should be and what it is: template, captured or pinned baseline, compared check by check."""
