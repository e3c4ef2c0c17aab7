"""What a synchronisation does, step by step. Pure.

Rule 1: steps are known by name, so that a sync begun by an older program can be resumed.
Rule 2: organizations come before persons, and persons before what refers to them: a consumer of
        the growing log finds what it refers to.
Rule 3: missing rows are looked up last, when every list has been walked: what left one may be in
        another.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from services.ingest.sync import lists
from services.ingest.sync.lists import List


class Mode(StrEnum):
    INCREMENTAL = "incremental"
    FULL = "full"


class Act(StrEnum):
    WHOLE = "whole"
    MEASURE = "measure"
    WALK = "walk"
    DELTA = "delta"
    NEWEST = "newest"
    GONE = "gone"


class Step(NamedTuple):
    act: Act
    of: List

    @property
    def name(self) -> str:
        return f"{self.act.value} {self.of.name}"


FULL: Final = (
    *(Step(Act.WHOLE, each) for each in (lists.USERS, lists.LEAD_LABELS, *lists.FIELDS)),
    *(Step(Act.MEASURE, each) for each in lists.WALKED if each.kind is lists.Kind.NUMBERED),
    *(Step(Act.WALK, each) for each in lists.WALKED),
    *(Step(Act.GONE, each) for each in lists.WALKED),
)
USUAL: Final = (
    lists.ORGANIZATIONS,
    lists.PERSONS,
    lists.DEALS,
    lists.ARCHIVED_DEALS,
    lists.ACTIVITIES,
    lists.LEADS,
)
USUAL_DELTA: Final = (
    *(Step(Act.DELTA, each) for each in USUAL),
    *(Step(Act.NEWEST, each) for each in lists.HAVE_NULL_UPDATE_TIMES),
)
# Both cost more than they bring in every quarter of an hour: 60 tokens of 170.
WHOLE_DELTA: Final = (
    Step(Act.WHOLE, lists.USERS),
    *USUAL_DELTA,
    Step(Act.DELTA, lists.ARCHIVED_LEADS),
)


def plan(mode: Mode, *, is_thorough: bool) -> tuple[Step, ...]:
    if mode is Mode.FULL:
        return FULL
    return WHOLE_DELTA if is_thorough else USUAL_DELTA


def left(steps: tuple[Step, ...], current: str | None) -> tuple[Step, ...]:
    """The steps from the named one on; all of them if there is none of that name."""
    for place, step in enumerate(steps):
        if step.name == current:
            return steps[place:]
    return steps
