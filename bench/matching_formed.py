"""Which organizations records form automatically, as the worker forms them: all at once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.orgs.matching import meeting, partition
from services.orgs.matching.profile import Profile


def wholes(profiles: Sequence[Profile]) -> list[int]:
    """For each record the number of the organization that it is in."""
    members = {
        UUID(int=number): replace(each, ref=UUID(int=number).hex)
        for number, each in enumerate(profiles)
    }
    crowds = Counter(key for each in profiles for key in set(meeting.crowds(each)))
    crowded = frozenset(key for key, living in crowds.items() if living > meeting.CROWD)
    found = [0] * len(profiles)
    for whole, group in enumerate(partition.partition(members, crowded=crowded).groups):
        for ref in group.refs:
            found[ref.int] = whole
    return found
