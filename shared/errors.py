"""The error of a service that can't start."""


class CannotStart(Exception):
    """A service can't do what its settings ask. The message says in one line what to do; services derive their own."""
