"""What can go wrong here in a way that the reader of the message can put right."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what helps."""


class Cancelled(StackError):
    """A stop was asked for while something was still starting."""
