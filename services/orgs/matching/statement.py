"""People's statements about records, and which of them hold. Pure.

Rule 1: the newest come first; of two that can't both hold, the newer holds.
Rule 2: "distinct" yields only to a newer "same" that names a record of either side: "A is B" and
        "B is C" do not make A the same as C against "A is not C".
Rule 3: where a newer "distinct" takes one record out of a "same", the others stay one, together
        with what that record was; a later "same" that names it is about what it is then.
Rule 4: a statement about a record that was merged away in Pipedrive is about the one it became.
        Nothing is distinct from itself: what ends up on both sides counts for neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

Ref = UUID


class Statement(NamedTuple):
    """For "same", `left` won: its organization's id stays. `keeper` is the record that gave it
    that id, which need not be among them. Sorts by time of decision.
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
    """The statements mapped to the records that those named became, without those that no longer
    separate anything.
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
    """The "same" statements, as far as later ones leave them. Takes and returns newest first. The
    verdict that a known record became another refers to what it was.
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
    """All statements about each record. Comparing each with each would take too long after some
    years of answers.
    """
    found: dict[Ref, list[Statement]] = {}
    for each in said:
        _note(found, each, each.refs)
    return found


def naming(refs: Iterable[Ref], said: Mapping[Ref, Sequence[Statement]]) -> list[Statement]:
    """The statements about any of the records, each once."""
    found = {each.verdict_id: each for ref in refs for each in said.get(ref, ())}
    return list(found.values())


def _note(said: dict[Ref, list[Statement]], each: Statement, refs: Iterable[Ref]) -> None:
    for ref in refs:
        said.setdefault(ref, []).append(each)
