"""Messages that share a mail: who goes with whom, what the one mail says, and what becomes of each."""
