"""Whether a record may have become another organization: renamed, or was its id reused? Pure.

Rule 1: it is asked where a name and a domain that the record has no more were both last told
        before what it has now in the place of the other was first told: nothing ever bore the one
        change out. A new name under the old domain, or the old name at a new domain, does.
Rule 2: another spelling of the same core key is no other name.
Rule 3: it hangs on all that the record was ever told to have, in whatever order that came.
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
    """A name or a domain, and the versions of the first and the last body that told it."""

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
