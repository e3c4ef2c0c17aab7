"""Which of an organization's records may give it its id. Pure.

Rule 1: who merges says whose id stays: it is a winner's of the newest merge that has one who lost
        to nobody; of several, theirs of whom older merges say so too. What comes by the rules, or
        with a loser, changes nothing. Who gave the winner its id is one of the winners as long as
        it is there, though others of its records were asked about and the merge speaks of them.
Rule 2: a merge that a newer one turned round is lost by nobody, nor is one whose winners are gone.
Rule 3: where no merge says it, it is anyone's who did not lose; where all lost, anyone's.
"""

from collections.abc import Mapping, Sequence

from services.orgs.matching.statement import Ref, Statement


def among(refs: frozenset[Ref], merges: Sequence[Statement]) -> frozenset[Ref]:
    """`merges`, newest first, are those that hold among the records and who was one of them."""
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
    over: dict[Ref, list[frozenset[Ref]]] = {}
    for each in merges:
        won = _winners(each, refs)
        beaten = each.right - won
        if beaten & winners:
            beaten -= _above(won, over)
        for ref in beaten:
            over.setdefault(ref, []).append(won)
        winners |= won
        if each.left & refs:
            lost |= beaten
    return lost


def _winners(merge: Statement, refs: frozenset[Ref]) -> frozenset[Ref]:
    return merge.left | (refs & {merge.keeper}) if merge.keeper else merge.left


def _above(left: frozenset[Ref], over: Mapping[Ref, Sequence[frozenset[Ref]]]) -> set[Ref]:
    """Who won over one of them, or over who did."""
    found: set[Ref] = set()
    looking = list(left)
    while looking:
        for winners in over.get(looking.pop(), ()):
            looking += winners - found
            found |= winners
    return found
