"""The kinds of trouble that are not bugs, told apart by type.

Rule 1: drivers' exceptions become one of these where the driver is used, nowhere else.
Rule 2: everything that is none of them is a bug: it ends the process loudly.
"""


class Poison(Exception):
    """This input can never work, however often it is tried."""


class Unavailable(Exception):
    """Something outside (Kafka, Postgres, Redis) is away or refuses for now; waiting helps."""


class Misconfigured(Exception):
    """What the environment says cannot work, whoever waits; the sentence is for who has set it."""
