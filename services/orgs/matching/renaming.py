"""Whether a record may have become another organization: renamed, or was its id reused? Pure.

Rule 1: the question is asked if a former name was last seen before the present domain was first
        seen, and a former domain before the present name: nothing ever corroborated either change.
        A new name under the old domain, or the old name at a new domain, does.
Rule 2: another spelling of the same core key is not another name.
Rule 3: it depends on all that the record has ever had, in whatever order that arrived.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from services.orgs.matching import keys, score
from services.orgs.matching.asking import Asked, Was
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity

RENAMED = "Renamed, or was its id reused? Name and domain both changed."


class Told(NamedTuple):
    """A name or a domain, with the first and the last version that had it."""

    text: str
    first: int
    last: int


def asked(
    record: Profile, names_told: Sequence[Told], domains_told: Sequence[Told]
) -> Asked | None:
    """The question, if it is one; of several former names and domains, by the last."""
    named = [(keys.of_name(told.text), told) for told in names_told]
    current = [told for name, told in named if name.normalized == record.name.normalized]
    there = [told for told in domains_told if told.text == record.domain]
    if not current or not there:
        return None
    former = [
        (name, told)
        for name, told in named
        if name.normalized != record.name.normalized and name.core != record.name.core
    ]
    elsewhere = [told for told in domains_told if told.text != record.domain]
    was = _last(told for _, told in former if told.last < min(t.first for t in there))
    left = _last(told for told in elsewhere if told.last < min(t.first for t in current))
    if was is None or left is None:
        return None
    before = replace(record, name=keys.of_name(was.text), domain=left.text)
    found = score.compared(record, before, Rarity())
    features = {name: value for name, value in found.features.named().items() if value}
    reasons = (RENAMED, f"It was {was.text!r} at {left.text}.")
    before_that = Was(was.text, left.text, left.last)
    return Asked(record.ref, found.score, features, reasons, before_that)


def _last(told: Iterable[Told]) -> Told | None:
    return max(told, key=lambda each: (each.last, each.text), default=None)
