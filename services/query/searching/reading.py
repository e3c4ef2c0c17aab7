"""Answers a search from one snapshot: what is indexed, what is queued, and the rows to show.

Rule: a page whose figures may improve by themselves, as the index catches up, is not cached. Nor
      is one based on a sample, which changes as contacts are assigned their places.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from services.query import answers as query_answers
from services.query import store
from services.query.batch import User
from services.query.reading import Read
from services.query.request import Filters
from services.query.searching import (
    answers,
    asking,
    bits,
    counting,
    essentials,
    hits_store,
    lookup,
    matching,
    members,
    ranking,
    slots,
)
from services.query.searching.asking import Asked, Token
from services.query.searching.buckets import Buckets
from services.query.searching.hits_store import Hit
from services.query.searching.lookup import Found
from services.query.searching.lookup_store import Pending
from services.query.searching.picking import MOST_COUNTED, Picker
from services.query.searching.ranking import Class
from services.query.searching.request import DEEPEST, SearchRequest, SuggestRequest
from services.query.searching.terms import Document
from shared.db import Connection
from shared.observability import SEARCH_QUEUED

LONGEST_MS: Final = 3000
SPARE: Final = 50
"""Extra hits fetched where some may turn out to be none."""


@dataclass(frozen=True, slots=True)
class Results:
    """Hits up to the end of the requested page."""

    found: Found
    picker: Picker
    classes: Sequence[Class]
    queued: Sequence[Pending]
    hits: Sequence[Hit]
    total: int
    is_exact: bool


async def search(conn: Connection, user: User, request: SearchRequest) -> Read:
    await hits_store.prepare(conn, longest_ms=LONGEST_MS)
    found = await _found(conn, user, request.text)
    filters = await _living(conn, user, request.filters)
    results = await _results(conn, user, found, filters, request.end + 1)
    shown = results.hits[request.start : request.end]
    page: dict[str, Any] = {
        "contacts": await _contacts(conn, user, shown, results.found),
        "pagination": _pagination(request, results, len(results.hits) > request.end),
    }
    if request.facets:
        page["facets"] = await counting.facets(results.picker, results.classes, results.queued)
    body = query_answers.dump({"success": True, "data": page})[:-1]
    is_counted = results.is_exact and not (request.facets and results.total > MOST_COUNTED)
    lasts = results.found.is_exact and (is_counted or results.found.is_settled)
    return Read(body, lasts=lasts and _is_own(request, filters, results))


def _is_own(request: SearchRequest, living: Filters | None, results: Results) -> bool:
    """Unless another organization's end can change the page (see `Read`)."""
    if request.filters.organization_id is None:
        return True
    return living == request.filters and results.total > 0


async def _living(conn: Connection, user: User, filters: Filters) -> Filters | None:
    """The filters, with the organization's present id; null if it no longer exists."""
    if filters.organization_id is None:
        return filters
    living = await store.living_organization(conn, user.company_id, filters.organization_id)
    return None if living is None else Filters(living, filters.scores, filters.in_campaign)


async def _results(
    conn: Connection, user: User, found: Found, filters: Filters | None, most: int
) -> Results:
    SEARCH_QUEUED.set(len(found.state.contacts))
    buckets = Buckets.of(conn, user, found)
    picker = Picker(conn, user, filters or Filters(), found.size, buckets)
    if filters is None or not found.asked.needs:
        return Results(found, picker, (), (), (), 0, True)
    classes = found.classes
    organization_id = filters.organization_id
    if organization_id is not None:
        having = await members.slots(conn, user, [organization_id], found.size)
        within = [Class(each.rank, each.slots & having[organization_id]) for each in classes]
        classes = [each for each in within if each.slots]
    wanted = most if found.is_exact else 2 * most + SPARE
    picked = await picker.best(classes, wanted)
    queued = [each for each in found.pending if _passes(each, filters)]
    fresh = [hit for each in queued if (hit := _queued_hit(found, each)) is not None]
    hits = sorted([*picked.hits, *fresh])
    if not found.is_exact:
        hits = await _checked(conn, user, hits[:wanted], found)
    matched = {hit.place.contact_id for hit in fresh}
    return Results(
        found,
        picker,
        classes,
        [each for each in queued if each.contact_id in matched],
        hits[:most],
        picked.total + len(fresh),
        picked.is_exact and found.is_exact,
    )


async def _found(conn: Connection, user: User, text: str) -> Found:
    """If nobody is found, without what records often lack."""
    found = await _with_slips(conn, user, asking.parse(text))
    rest = essentials.of(text)
    if rest is None or found.classes or any(_queued_hit(found, each) for each in found.pending):
        return found
    shorter = asking.parse(rest)
    if not shorter.needs:
        return found
    less = await _with_slips(conn, user, shorter)
    return replace(less, is_exact=less.is_exact and found.is_exact)


async def _with_slips(conn: Connection, user: User, asked: Asked) -> Found:
    """With slips in words that many have, if nobody is found, or only by an organization's name:
    its hundred people would hide a person of nearly that name.
    """
    found = await lookup.find(conn, user, asked)
    widened = matching.widened(asked, found.wide)
    if not widened or _is_anybody(found) or not _may_be_met(found, widened):
        return found
    everything = () if found.size else found.pending
    return await lookup.find(conn, user, asked, widened, everything)


def _is_anybody(found: Found) -> bool:
    """Whether somebody was found by more than an organization's name."""
    own = any(_own_hit(found, each) for each in found.pending)
    return own or bool(_own(found))


def _may_be_met(found: Found, widened: Collection[Token]) -> bool:
    """Whether each need has one of these tokens, or somebody who meets it."""
    needs = [
        need for need in found.asked.needs if not any(set(way) & set(widened) for way in need)
    ]
    bags = [
        matching.bag(each.document, each.organization_name)
        for each in found.pending
        if each.document is not None
    ]
    return all(
        ranking.everyone(levels)
        or any(matching.met(need, bag, found.wide) is not None for bag in bags)
        for need, levels in zip(needs, slots.anyhow(needs, found.tokens), strict=True)
    )


def _passes(queued: Pending, filters: Filters) -> bool:
    if queued.document is None or queued.place is None:
        return False
    organization_id = queued.document.organization_id
    return hits_store.passes(queued.place, filters) and (
        filters.organization_id in (None, organization_id)
    )


def _queued_hit(found: Found, queued: Pending) -> Hit | None:
    if queued.document is None or queued.place is None:
        return None
    bag = matching.bag(queued.document, queued.organization_name)
    rank = matching.rank(found.asked, bag, found.wide)
    return None if rank is None else Hit(rank, queued.place)


async def _checked(conn: Connection, user: User, hits: Sequence[Hit], found: Found) -> list[Hit]:
    """Those whose rows confirm them as hits."""
    rows = await hits_store.shown(conn, user, [hit.place.contact_id for hit in hits])
    return [hit for hit in hits if _is_hit(rows.get(hit.place.contact_id), found)]


def _is_hit(row: Any, found: Found) -> bool:
    if row is None:
        return False
    document = Document(row["name"], row["email"], row["phone"], row["organization_id"])
    bag = matching.bag(document, row["organization_name"])
    return matching.rank(found.asked, bag, found.wide) is not None


def _pagination(request: SearchRequest, results: Results, has_more: bool) -> dict[str, Any]:
    pagination = query_answers.pagination(
        page=request.page,
        limit=request.limit,
        total=results.total,
        has_next=has_more and request.end < DEEPEST,
        has_prev=request.page > 1,
        next_key=None,
    )
    reachable = min(pagination["totalPages"], math.ceil(DEEPEST / request.limit))
    return pagination | {"totalPages": reachable, "totalIsExact": results.is_exact}


async def _contacts(
    conn: Connection, user: User, hits: Iterable[Hit], found: Found
) -> list[dict[str, Any]]:
    rows = await _rows(conn, user, hits)
    activities = await store.activities(conn, user.company_id, [r["person_id"] for r in rows])
    contacts = query_answers.contacts(rows, activities)
    for contact, row in zip(contacts, rows, strict=True):
        contact["highlights"] = answers.highlights(row, found.asked, found.wide)
    return contacts


async def _rows(conn: Connection, user: User, hits: Iterable[Hit]) -> list[Any]:
    order: list[UUID] = [hit.place.contact_id for hit in hits]
    rows = await hits_store.shown(conn, user, order) if order else {}
    return [rows[contact_id] for contact_id in order]


async def suggest(conn: Connection, user: User, request: SuggestRequest) -> Read:
    """Contacts that match at least in part by their own text, organizations by their names."""
    await hits_store.prepare(conn, longest_ms=LONGEST_MS)
    found = await _found(conn, user, request.text)
    own = _own(found)
    buckets = Buckets.of(conn, user, found)
    picked = await Picker(conn, user, Filters(), found.size, buckets).best(own, request.limit)
    fresh = [hit for each in found.pending if (hit := _own_hit(found, each)) is not None]
    hits = sorted([*picked.hits, *fresh])[: request.limit]
    if not found.is_exact:
        hits = await _checked(conn, user, hits, found)
    rows = await _rows(conn, user, hits)
    by_organization = ranking.classes(slots.by_organization(found.asked.needs, found.tokens))
    suggestions = {
        "contacts": [answers.suggested(row, found.asked, found.wide) for row in rows],
        "organizations": await counting.organizations_found(
            conn, user, by_organization, found, request.limit
        ),
    }
    body = query_answers.dump({"success": True, "data": suggestions})[:-1]
    is_counted = all(each.slots.count() <= MOST_COUNTED for each in by_organization)
    return Read(body, lasts=found.is_exact and (is_counted or found.is_settled))


def _own(found: Found) -> list[Class]:
    """What was found, without those that meet every need by their organization's name only."""
    own = bits.union(map(ranking.everyone, slots.own(found.asked.needs, found.tokens)))
    within = [Class(each.rank, each.slots & own) for each in found.classes]
    return [each for each in within if each.slots]


def _own_hit(found: Found, queued: Pending) -> Hit | None:
    if queued.document is None:
        return None
    own = matching.bag(queued.document, None)
    if all(matching.met(need, own, found.wide) is None for need in found.asked.needs):
        return None
    return _queued_hit(found, queued)
