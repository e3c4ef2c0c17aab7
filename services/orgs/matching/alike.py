"""Which pairs of records score over the automatic threshold, corroborated by another fact. Pure.

Rule 1: a third record as similar to one of the two as the other is breaks the pair, unless it is
        similar to both.
Rule 2: a crowd's key corroborates nothing.
"""

from collections.abc import Collection, Mapping
from itertools import combinations

from services.orgs.matching import meeting, weights
from services.orgs.matching.profile import Profile
from services.orgs.matching.statement import Ref


def pairs(
    members: Mapping[Ref, Profile], crowded: Collection[meeting.Key]
) -> list[tuple[frozenset[Ref], float]]:
    near = _near(members, crowded)
    return [
        (frozenset((one, other)), score)
        for one, others in near.items()
        for other, score in others.items()
        if one < other
        and score >= weights.AUTOMATIC
        and not _is_torn(members, near, one, other)
        and not _is_torn(members, near, other, one)
    ]


def _near(
    members: Mapping[Ref, Profile], crowded: Collection[meeting.Key]
) -> Mapping[Ref, Mapping[Ref, float]]:
    near: dict[Ref, dict[Ref, float]] = {}
    for refs in meeting.met(members, lambda found: set(meeting.crowds(found)) - set(crowded)):
        for one, other in combinations(refs, 2):
            if other not in near.get(one, ()):
                score = meeting.likeness(members[one], members[other])
                if score is not None:
                    near.setdefault(one, {})[other] = score
                    near.setdefault(other, {})[one] = score
    return near


def _is_torn(
    members: Mapping[Ref, Profile],
    near: Mapping[Ref, Mapping[Ref, float]],
    one: Ref,
    other: Ref,
) -> bool:
    least = near[one][other] - weights.CLOSE
    return any(
        score >= least and rival != other and not _stand_together(members, near, rival, other)
        for rival, score in near[one].items()
    )


def _stand_together(
    members: Mapping[Ref, Profile],
    near: Mapping[Ref, Mapping[Ref, float]],
    one: Ref,
    other: Ref,
) -> bool:
    if near[one].get(other, 0.0) >= weights.AUTOMATIC:
        return True
    names = members[one].name, members[other].name
    return names[0].normalized == names[1].normalized or (names[0].core, names[0].form) == (
        names[1].core,
        names[1].form,
    )
