"""Deliberately faulty answers.

Rule 1: shares are between 0 and 1, chance comes from a seeded source.
Rule 2: a fault strikes before the request is carried out or after it, as the share says: a client
        that gets no answer cannot know which.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    NONE = "none"
    ERROR = "error"
    CUT = "cut"
    GARBAGE = "garbage"
    HTML = "html"
    REFUSED = "refused"


@dataclass(slots=True)
class Faults:
    """`after` is the share of faulty requests that are carried out all the same; `paths` restricts
    the faults to paths that begin so; `at_most` faults, then none. `refused` ones have `status`.
    A list that is asked for more than `most_rows` takes too long for the gateway.
    """

    delay_s: float = 0.0
    errors: float = 0.0
    cut: float = 0.0
    garbage: float = 0.0
    html: float = 0.0
    refused: float = 0.0
    status: int = 402
    after: float = 0.5
    paths: str = ""
    methods: str = ""
    at_most: int | None = None
    most_rows: int | None = None
    seed: int = 0
    struck: int = 0
    _rng: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)

    def concerns(self, method: str, path: str) -> bool:
        if self.methods and method not in self.methods.split(","):
            return False
        return path.startswith(self.paths)

    def draw(self, rows: str | None = None) -> tuple[Fault, bool]:
        """What happens to a request, of a list for so many rows, and whether it is carried out
        first.
        """
        if self.at_most is not None and self.struck >= self.at_most:
            return Fault.NONE, True
        if self._is_too_much(rows):
            self.struck += 1
            return Fault.HTML, False
        shares = (
            (Fault.ERROR, self.errors),
            (Fault.CUT, self.cut),
            (Fault.GARBAGE, self.garbage),
            (Fault.HTML, self.html),
            (Fault.REFUSED, self.refused),
        )
        at = self._rng.random()
        for fault, share in shares:
            if at < share:
                self.struck += 1
                return fault, self._rng.random() < self.after
            at -= share
        return Fault.NONE, True

    def _is_too_much(self, rows: str | None) -> bool:
        is_number = rows is not None and rows.isascii() and rows.isdecimal()
        return self.most_rows is not None and is_number and int(rows or 0) > self.most_rows
