"""From which moment on changes in each list are read. Pure.

Rule 1: it is the start of the last sync that read the list to its end: that one may have missed
        later changes.
Rule 2: for most lists that was the last sync. A list that was refused then, or gave no answer, or
        is not read every time, is behind; its moment stays, and holds up no other. Where no sync
        has read it yet, it is read whole.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from services.ingest.sync.lists import List
from services.ingest.sync.steps import WHOLE_DELTA, Act, Step

CHANGING: Final = tuple(step.of for step in WHOLE_DELTA if step.act is Act.DELTA)
READING: Final = frozenset({Act.DELTA, Act.WALK})

BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Older than anything in Pipedrive."""

Behind = Mapping[str, str]
"""Moments by list name, as stored."""


def begins(of: List, since: datetime, behind: Behind) -> datetime:
    held = behind.get(of.name)
    return since if held is None else min(since, datetime.fromisoformat(held))


def are_read(steps: Collection[Step], refused: Collection[str]) -> set[str]:
    """The names of the lists that a sync of these steps read to their end."""
    return {step.of.name for step in steps if step.act in READING} - set(refused)


def left_behind(
    steps: Collection[Step], refused: Collection[str], since: datetime | None, behind: Behind
) -> dict[str, str]:
    """The lists that a sync of these steps did not read to their end, and where each is. `since`
    is null for a company that was never read in full.
    """
    read = are_read(steps, refused)
    usual = BEGINNING if since is None else since
    return {
        of.name: begins(of, usual, behind).isoformat() for of in CHANGING if of.name not in read
    }
