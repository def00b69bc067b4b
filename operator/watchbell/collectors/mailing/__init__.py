"""From incidents to messages: who gets what in which words, alone or together."""
