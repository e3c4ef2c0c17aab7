"""Why an arriving record belongs where the partition put it, as a rule and sentences. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.orgs.matching import reasons, score
from services.orgs.matching.decision import Rule
from services.orgs.matching.partition import Link, Partition
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity
from services.orgs.matching.statement import Ref

_TOLD = {
    Rule.VERDICT: "A person called them the same.",
    Rule.KEY_AND_EVIDENCE: (
        "Their names are the same but for spelling, and another fact bears it out."
    ),
    Rule.EQUAL_NAME: "This organization has the normalized name '{name}'.",
    Rule.SCORE: "Their names are alike, and a fact bears it out.",
}
_ORDER = tuple(_TOLD)


@dataclass(frozen=True, slots=True)
class Why:
    """`other` is the record that the arriving one was linked to."""

    rule: Rule
    reason: str
    other: Ref
    score: float
    evidence: tuple[str, ...]


def why(arriving: Ref, found: Partition, members: Mapping[Ref, Profile]) -> Why | None:
    """The first rule that united the arriving record with others; none, if it stands alone."""
    links = [link for link in found.links if arriving in link.refs and len(link.refs) > 1]
    if not links:
        return None
    link = min(links, key=lambda each: (_ORDER.index(each.rule), sorted(each.refs)))
    own = members[arriving]
    scored = {ref: score.compared(own, members[ref], Rarity()) for ref in _nearest(link, arriving)}
    other = max(sorted(scored), key=lambda ref: scored[ref].score)
    told = _TOLD[link.rule].format(name=own.name.normalized)
    best = scored[other]
    return Why(link.rule, told, other, best.score, reasons.evidence(best.features))


def _nearest(link: Link, arriving: Ref) -> list[Ref]:
    """A few of the linked are enough: they were linked by the same key."""
    return sorted(link.refs - {arriving})[:5]
