"""What people said about records, and which of it holds. Pure.

Rule 1: what was said last comes first; of two that can't both hold, the newer holds.
Rule 2: "distinct" falls only to a newer "same" that names a record of either side: that "A is B"
        and "B is C" were said does not make A the same as C against "A is not C".
Rule 3: where a newer "distinct" takes one record out of those that a "same" names, the others
        stay one, with what that record was.
Rule 4: a record that was merged away in Pipedrive is spoken of as the one it became. Nothing is
        distinct from itself: what came to stand on both sides stands on neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

Ref = UUID


class Statement(NamedTuple):
    """`left` won, if it is "same": its organization's id stays. Orders by when it was said."""

    version: int
    event_id: str
    verdict_id: UUID
    same: bool
    left: frozenset[Ref]
    right: frozenset[Ref]

    @property
    def refs(self) -> frozenset[Ref]:
        return self.left | self.right


def resolved(said: Iterable[Statement], heirs: Mapping[Ref, Ref]) -> list[Statement]:
    """The statements about the records that stand for those named, without those that part
    nothing any more.
    """
    found: list[Statement] = []
    for each in said:
        left, right = _heirs(each.left, heirs), _heirs(each.right, heirs)
        if each.same:
            found.append(each._replace(left=left, right=right))
        elif left - right and right - left:
            found.append(each._replace(left=left - right, right=right - left))
    return found


def _heirs(refs: frozenset[Ref], heirs: Mapping[Ref, Ref]) -> frozenset[Ref]:
    return frozenset(heirs.get(ref, ref) for ref in refs)


def newest_first(said: Iterable[Statement]) -> list[Statement]:
    return sorted(said, key=lambda each: each[:3], reverse=True)


def as_it_was(said: Statement, walls: Sequence[Statement], known: Collection[Ref]) -> Statement:
    """A "same" that speaks of what records were, where walls took them out of it: the verdict
    that did so stands for what such a record was until then. `walls` come newest first.
    """
    former = {
        ref: wall.verdict_id
        for wall in walls
        if len(wall.left) == 1 and wall.left <= said.refs and wall.right & said.refs
        for ref in wall.left
        if ref in known
    }
    if not former:
        return said
    left, right = (frozenset(former.get(ref, ref) for ref in side) for side in said[4:])
    return said._replace(left=left, right=right)


def walls(newest: Sequence[Statement]) -> list[Statement]:
    """Those that keep records apart. Takes them newest first."""
    same: list[Statement] = []
    found: list[Statement] = []
    for each in newest:
        if each.same:
            same.append(each)
        elif not any(s.refs & each.left and s.refs & each.right for s in same):
            found.append(each)
    return found
