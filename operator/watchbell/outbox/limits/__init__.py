"""Whether a mail may go now: limits, what the provider asked for, relays that are left alone; and who waits in which order."""
