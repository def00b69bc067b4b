"""Pods → incidents → messages: what is seen, what it means, whom it concerns."""
