"""The one error that leaves this package: a sentence for a person."""


class ControlPlaneError(Exception):
    """What failed and what mends it, as one sentence; the command line prints it without a traceback."""
