"""Failures that are expected.

Owns the one kind of them: sentences that say what to do next. Refuses to be shown with a trace.
"""


class DeployError(Exception):
    """Something is not as it has to be. Its text is all that is shown of it."""
