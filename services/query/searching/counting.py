"""Counts hits by common properties: facets, and the suggested organizations."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.query.batch import User
from services.query.request import WARMNESS, Filters
from services.query.searching import highlighting, hits_store, matching, members, picking, terms
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.buckets import wanted
from services.query.searching.lookup import MOST_MOVED, Found
from services.query.searching.lookup_store import Pending
from services.query.searching.picking import Picker
from services.query.searching.ranking import Class
from services.query.searching.terms import NOBODY
from shared.db import Connection

MOST_ORGANIZATIONS: Final = 10
CANDIDATES: Final = 40
"""Organizations that are counted to find those with most hits."""
BANDS: Final = {band: bounds for band, bounds in WARMNESS.items() if band is not None}
COLUMNS: Final = {"0-3": "cold", "4-6": "lukewarm", "7-10": "warm"}
SIDES: Final = {"true": "in_campaign", "false": "out_of_campaign"}
ANY: Final = Filters()


@dataclass(frozen=True, slots=True)
class Counted:
    """Hits by common properties; `names` are the organizations'."""

    warmness: Counter[str]
    in_campaign: Counter[str]
    contacts: Counter[UUID]
    names: dict[UUID, str | None]
    are_exact: bool


async def facets(
    picker: Picker, classes: Iterable[Class], queued: Collection[Pending]
) -> dict[str, Any]:
    """For the slots found, and for the queued contacts, which already passed the filters."""
    slots = picking.union(classes)
    is_much = slots.count() > picking.MOST_COUNTED
    if is_much and picker.buckets.is_known:
        counted = await _by_buckets(picker, slots, queued)
    else:
        counted = await _by_rows(picker, slots, _most(MOST_ORGANIZATIONS, queued))
    _add_queued(queued, counted)
    contacts, names = counted.contacts, counted.names
    order = sorted(contacts, key=lambda o: (-contacts[o], names[o] or "", o))
    return {
        "organizations": [
            {"id": str(o), "name": names[o], "contacts": contacts[o]}
            for o in order[:MOST_ORGANIZATIONS]
        ],
        "warmness": dict(counted.warmness),
        "inCampaign": dict(counted.in_campaign),
        "areExact": counted.are_exact,
    }


def _most(most: int, queued: Collection[Pending]) -> int:
    """How many organizations are counted to show `most`: all, if queued contacts are to be added,
    which may belong to any of them.
    """
    return picking.MOST_COUNTED if queued else most


async def _by_rows(picker: Picker, slots: Bits, most: int) -> Counted:
    """From all of them, or a sample."""
    found, several = picking.sample(slots), slots.count()
    times = several / len(found) if found else 1.0
    asked = (picker.conn, picker.user, found, picker.filters)
    row = await hits_store.facets(*asked)
    rows = await hits_store.organizations(*asked, most)
    return Counted(
        Counter({band: round(row[column] * times) for band, column in COLUMNS.items()}),
        Counter({side: round(row[column] * times) for side, column in SIDES.items()}),
        Counter({each["organization_id"]: round(each["contacts"] * times) for each in rows}),
        {each["organization_id"]: each["name"] for each in rows},
        len(found) == several,
    )


async def _by_buckets(picker: Picker, slots: Bits, queued: Iterable[Pending]) -> Counted:
    """Exact: slots by their buckets, and moved ones one by one. The organizations to count are
    those in a sample, and those of queued contacts.
    """
    moved = await _by_rows(picker, slots & picker.buckets.moved, MOST_MOVED)
    warmness, in_campaign = moved.warmness, moved.in_campaign
    still = EMPTY
    for number in wanted(picker.filters):
        inside = slots & await picker.buckets.slots(number)
        still |= inside
        several = inside.count()
        warmness[_band(number % terms.SCORES)] += several
        in_campaign["true" if number < terms.SCORES else "false"] += several
    rows = await hits_store.organizations(
        picker.conn, picker.user, picking.sample(still), picker.filters, CANDIDATES
    )
    names = {each["organization_id"]: each["name"] for each in rows}
    for organization_id, _ in moved.contacts.most_common(MOST_ORGANIZATIONS):
        names[organization_id] = moved.names[organization_id]
    for each in queued:
        if each.document is not None and each.document.organization_id is not None:
            names.setdefault(each.document.organization_id, each.organization_name)
    having = await members.slots(picker.conn, picker.user, list(names), picker.size)
    contacts = Counter({o: moved.contacts[o] + (still & having[o]).count() for o in names})
    return Counted(warmness, in_campaign, contacts, names, are_exact=True)


def _band(score: int) -> str:
    return next(band for band, (low, high) in BANDS.items() if low <= score <= high)


def _add_queued(queued: Iterable[Pending], counted: Counted) -> None:
    for each in queued:
        if each.place is None or each.document is None:
            continue
        counted.in_campaign["false" if each.place.not_in_campaign else "true"] += 1
        counted.warmness[_band(each.place.score)] += 1
        organization_id = each.document.organization_id
        if organization_id is not None:
            counted.contacts[organization_id] += 1
            counted.names[organization_id] = each.organization_name


async def organizations_found(
    conn: Connection, user: User, classes: Sequence[Class], found: Found, most: int
) -> list[dict[str, Any]]:
    """The organizations of the contacts that were found by their organization: best first, then
    those with most contacts.
    """
    ranks: dict[UUID, int] = {}
    contacts: Counter[UUID] = Counter()
    names: dict[UUID, str | None] = {}
    for each in classes:
        if len(ranks) >= most:
            break
        counted = picking.sample(each.slots)
        times = each.slots.count() / max(1, len(counted))
        for row in await hits_store.organizations(
            conn, user, counted, ANY, _most(most, found.pending)
        ):
            organization_id = row["organization_id"]
            ranks.setdefault(organization_id, each.rank)
            contacts[organization_id] += round(row["contacts"] * times)
            names[organization_id] = row["name"]
    for queued in found.pending:
        by_name = _rank_by_organization(found, queued)
        if by_name is not None and queued.document and queued.document.organization_id:
            organization_id = queued.document.organization_id
            ranks[organization_id] = min(by_name, ranks.get(organization_id, by_name))
            contacts[organization_id] += 1
            names[organization_id] = queued.organization_name
    order = sorted(ranks, key=lambda o: (ranks[o], -contacts[o], names[o] or "", o))
    return [
        {
            "id": str(o),
            "name": names[o],
            "contacts": contacts[o],
            "highlights": highlighting.of_name(names[o], found.asked, found.wide),
        }
        for o in order[:most]
    ]


def _rank_by_organization(found: Found, queued: Pending) -> int | None:
    bag = matching.bag(NOBODY, queued.organization_name)
    return matching.total(found.asked, bag, found.wide)
