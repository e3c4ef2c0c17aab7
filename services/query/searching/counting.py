"""Counts hits by what they have in common: facets, and the organizations that may be meant."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from services.query.batch import User
from services.query.request import WARMNESS, Filters
from services.query.searching import highlighting, hits_store, matching, picking
from services.query.searching.asking import Asked
from services.query.searching.lookup import Found
from services.query.searching.lookup_store import Pending
from services.query.searching.ranking import Class
from services.query.searching.terms import Document
from shared.db import Connection

MOST_ORGANIZATIONS: Final = 10
ANY: Final = Filters()
NOBODY: Final = Document(None, None, None, None)


async def facets(
    conn: Connection,
    user: User,
    classes: Iterable[Class],
    queued: Sequence[Pending],
    filters: Filters,
) -> dict[str, Any]:
    """Of the slots found, and of the queued contacts, which pass the filters already."""
    slots = picking.union(classes)
    counted = picking.sample(slots)
    times = slots.bit_count() / len(counted) if counted else 1.0
    row = await hits_store.facets(conn, user, counted, filters)
    rows = await hits_store.organizations(conn, user, counted, filters, MOST_ORGANIZATIONS)
    warmness = Counter(
        {
            "0-3": round(row["cold"] * times),
            "4-6": round(row["lukewarm"] * times),
            "7-10": round(row["warm"] * times),
        }
    )
    campaign = Counter(
        {
            "true": round(row["in_campaign"] * times),
            "false": round(row["out_of_campaign"] * times),
        }
    )
    _add_queued(queued, warmness, campaign)
    return {
        "organizations": _with_queued(rows, queued, times),
        "warmness": dict(warmness),
        "inCampaign": dict(campaign),
        "areExact": len(counted) == slots.bit_count(),
    }


def _add_queued(queued: Iterable[Pending], warmness: Counter[str], campaign: Counter[str]) -> None:
    for each in queued:
        if each.place is not None:
            campaign["false" if each.place.not_in_campaign else "true"] += 1
            for band, (low, high) in WARMNESS.items():
                if band is not None and low <= each.place.score <= high:
                    warmness[band] += 1


def _with_queued(
    rows: Iterable[Any], queued: Iterable[Pending], times: float
) -> list[dict[str, Any]]:
    contacts: Counter[Any] = Counter()
    names: dict[Any, str | None] = {}
    for row in rows:
        contacts[row["organization_id"]] = round(row["contacts"] * times)
        names[row["organization_id"]] = row["name"]
    for each in queued:
        if each.document is not None and each.document.organization_id is not None:
            contacts[each.document.organization_id] += 1
            names[each.document.organization_id] = each.organization_name
    order = sorted(contacts, key=lambda o: (-contacts[o], names[o] or "", o))
    return [
        {"id": str(o), "name": names[o], "contacts": contacts[o]}
        for o in order[:MOST_ORGANIZATIONS]
    ]


async def organizations_found(
    conn: Connection,
    user: User,
    classes: Sequence[Class],
    asked: Asked,
    found: Found,
    most: int,
) -> list[dict[str, Any]]:
    """Of the contacts found by their organizations, those organizations: best first, then those
    with most contacts.
    """
    ranks: dict[UUID, int] = {}
    contacts: Counter[UUID] = Counter()
    names: dict[UUID, str | None] = {}
    for each in classes:
        if len(ranks) >= most:
            break
        counted = picking.sample(each.slots)
        times = each.slots.bit_count() / max(1, len(counted))
        for row in await hits_store.organizations(conn, user, counted, ANY, most):
            organization_id = row["organization_id"]
            ranks.setdefault(organization_id, each.rank)
            contacts[organization_id] += round(row["contacts"] * times)
            names[organization_id] = row["name"]
    for queued in found.pending:
        by_name = _rank_by_organization(asked, found, queued)
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
            "highlights": highlighting.of_words(names[o], asked, found.wide),
        }
        for o in order[:most]
    ]


def _rank_by_organization(asked: Asked, found: Found, queued: Pending) -> int | None:
    bag = matching.bag(NOBODY, queued.organization_name)
    return matching.rank(asked, bag, found.wide) if asked.tokens else None
