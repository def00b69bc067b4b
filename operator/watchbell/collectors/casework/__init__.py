"""From findings to incidents: folded, decided, written first, recovered after a death."""
