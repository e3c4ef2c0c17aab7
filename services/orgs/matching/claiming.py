"""Which of an organization's records may give it its id. Pure.

Rule 1: whoever merges decides whose id stays: that of a winner of the newest merge with a winner
        that lost to nobody; of several, one that older merges favour too. What joined by the
        rules, or with a loser, changes nothing. The record that gave the winner its id counts as a
        winner as long as it exists, even if the question was about others of its records.
Rule 2: a merge that a newer one reversed makes no losers, nor does one whose winners are gone.
Rule 3: where no merge decides, any record that did not lose may give the id; if all lost, any.
"""

from collections.abc import Collection, Mapping, Sequence

from services.orgs.matching.statement import Ref, Statement


def among(refs: frozenset[Ref], merges: Sequence[Statement]) -> frozenset[Ref]:
    """`merges`, newest first, are those that hold among the present and former records."""
    lost = _lost(refs, merges)
    found: frozenset[Ref] = frozenset()
    for each in merges:
        if each.right:
            winners = (_winners(each, refs) & refs) - lost
            found = (found & winners) or found or winners
    return found or (refs - lost) or refs


def _lost(refs: frozenset[Ref], merges: Sequence[Statement]) -> frozenset[Ref]:
    lost: frozenset[Ref] = frozenset()
    winners: frozenset[Ref] = frozenset()
    over: dict[Ref, set[frozenset[Ref]]] = {}
    for each in merges:
        won = _winners(each, refs)
        beaten = each.right - won
        # Another who won over one of them later won over all of what was one organization by then.
        later = {others - won - beaten for ref in beaten for others in over.get(ref, ())}
        for ref in won:
            over.setdefault(ref, set()).update(later)
        if beaten & winners:
            beaten -= _above(won, over)
        for ref in beaten:
            over.setdefault(ref, set()).add(won)
        winners |= won
        if each.left & refs:
            lost |= beaten
    return lost


def _winners(merge: Statement, refs: frozenset[Ref]) -> frozenset[Ref]:
    return merge.left | (refs & {merge.keeper}) if merge.keeper else merge.left


def _above(left: frozenset[Ref], over: Mapping[Ref, Collection[frozenset[Ref]]]) -> set[Ref]:
    """All winners over one of them, directly or through other winners."""
    found: set[Ref] = set()
    looking = list(left)
    while looking:
        for winners in over.get(looking.pop(), ()):
            looking += winners - found
            found |= winners
    return found
