"""What users write: one pydantic module for each kind, its conditions and reasons, and the generator of `crds/` and the reference pages.

Nothing here talks to a cluster or a mail server. Every other package may import this one; it imports none of them.
"""
