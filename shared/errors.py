"""The kinds of failures that are not bugs, distinguished by type.

Rule 1: drivers' exceptions become one of these where the driver is used, nowhere else.
Rule 2: everything else is a bug: it ends the process loudly.
"""


class Poison(Exception):
    """This input can never work, however often it is tried."""


class Unavailable(Exception):
    """Something outside (Kafka, Postgres, Redis) is away or refuses for now; waiting helps."""


class Misconfigured(Exception):
    """The configuration cannot work, however long one waits; the message is for its author."""
