"""What is wrong with the way of a mail, why, and what to do: pure checks over facts that were gathered before.

`gather` and `files` collect, `probing` dials, `checks_*` judge, `record` writes it down. The command line prints; the operator does not load this.
"""
