"""What is wrong with a pod: one detector a file, all pure, and what Events add to them."""
