"""The error of a service that can't start."""


class CannotStart(Exception):
    """A service can't start with its settings; the message says in one line what to do."""
