"""The two kinds of trouble that are not bugs, told apart by type.

Rule 1: drivers' exceptions become one of these where the driver is used, nowhere else.
Rule 2: everything that is neither is a bug: it ends the process loudly.
"""


class Poison(Exception):
    """This input can never work, however often it is tried."""


class Unavailable(Exception):
    """Something outside (Kafka, Postgres, Redis) is away or refuses for now; waiting helps."""
