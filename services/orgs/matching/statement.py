"""What people said about records, and which of it holds. Pure.

Rule 1: what was said last comes first; of two that can't both hold, the newer holds.
Rule 2: "distinct" falls only to a newer "same" that names a record of either side: that "A is B"
        and "B is C" were said does not make A the same as C against "A is not C".
Rule 3: where a newer "distinct" takes one record out of those that a "same" names, the others
        stay one, with what that record was; who is called the same as it then, is so anew.
Rule 4: a record that was merged away in Pipedrive is spoken of as the one it became. Nothing is
        distinct from itself: what came to stand on both sides stands on neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

Ref = UUID


class Statement(NamedTuple):
    """`left` won, if it is "same": its organization's id stays. `keeper` is the record that gave
    it that id, who need not be among them. Orders by when it was said.
    """

    version: int
    event_id: str
    verdict_id: UUID
    same: bool
    left: frozenset[Ref]
    right: frozenset[Ref]
    keeper: Ref | None = None

    @property
    def refs(self) -> frozenset[Ref]:
        return self.left | self.right


def resolved(said: Iterable[Statement], heirs: Mapping[Ref, Ref]) -> list[Statement]:
    """The statements about the records that stand for those named, without those that part
    nothing any more.
    """
    found: list[Statement] = []
    for told in said:
        each = _of_heirs(told, heirs)
        left, right = each.left - each.right, each.right - each.left
        if each.same:
            found.append(each)
        elif left and right:
            found.append(each._replace(left=left, right=right))
    return found


def _of_heirs(said: Statement, heirs: Mapping[Ref, Ref]) -> Statement:
    keeper = said.keeper and heirs.get(said.keeper, said.keeper)
    if keeper == said.keeper and heirs.keys().isdisjoint(said.refs):
        return said
    left, right = (frozenset(heirs.get(ref, ref) for ref in side) for side in said[4:6])
    return said._replace(left=left, right=right, keeper=keeper)


def newest_first(said: Iterable[Statement]) -> list[Statement]:
    return sorted(said, key=lambda each: each[:3], reverse=True)


def walls(newest: Sequence[Statement]) -> list[Statement]:
    """Those that keep records apart. Takes them newest first."""
    same: dict[Ref, list[Statement]] = {}
    found: list[Statement] = []
    for each in newest:
        if each.same:
            _note(same, each, each.refs)
        elif all(each.right.isdisjoint(other.refs) for other in naming(each.left, same)):
            found.append(each)
    return found


def merges(newest: Sequence[Statement], known: Collection[Ref]) -> list[Statement]:
    """What is "same", as far as what was said later leaves it. Takes and gives the newest first.
    The verdict that a known record is another than it was stands for what it was.
    """
    later: dict[Ref, list[Statement]] = {}
    found: list[Statement] = []
    for each in newest:
        if not each.same:
            _note(later, each, each.left)
            continue
        parting = [o for o in naming(each.refs, later) if not o.right.isdisjoint(each.refs)]
        if all(len(other.left) == 1 for other in parting):
            former = {
                ref: other.verdict_id
                for other in newest_first(parting)
                for ref in other.left
                if ref in known
            }
            found.append(_of_heirs(each, former))
    return found


def by_ref(said: Iterable[Statement]) -> dict[Ref, list[Statement]]:
    """All that was said of each record. Compared each with each, the answers of some years would
    take longer than anybody waits.
    """
    found: dict[Ref, list[Statement]] = {}
    for each in said:
        _note(found, each, each.refs)
    return found


def naming(refs: Iterable[Ref], said: Mapping[Ref, Sequence[Statement]]) -> list[Statement]:
    """What was said of any of the records, each once."""
    found = {each.verdict_id: each for ref in refs for each in said.get(ref, ())}
    return list(found.values())


def _note(said: dict[Ref, list[Statement]], each: Statement, refs: Iterable[Ref]) -> None:
    for ref in refs:
        said.setdefault(ref, []).append(each)
