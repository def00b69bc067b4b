"""EmailMessage → SMTP → result: queue, journal, retry, courier."""
