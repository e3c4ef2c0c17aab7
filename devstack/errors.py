"""Errors that the reader of the message can fix."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and how to fix it."""


class Cancelled(StackError):
    """A stop was requested while something was still starting."""
