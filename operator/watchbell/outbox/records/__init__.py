"""What is remembered: the journal of what is on the wire, the results on the messages, what an earlier process left."""
