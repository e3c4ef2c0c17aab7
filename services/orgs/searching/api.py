"""Autocomplete of organizations over HTTP: our store first, then Pipedrive if that had few."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiohttp import web

from services.orgs import names
from services.orgs.searching import answers as searching_answers
from services.orgs.searching import store as searching_store
from services.orgs.searching import terms as searching_terms
from services.orgs.searching import typeahead
from services.orgs.searching.answers import (
    Asked,
    Hit,
    Remote,
    SearchAnswer,
    SearchQuery,
    Sources,
)
from services.orgs.searching.pipedrive import Fallback
from services.orgs.searching.store import Found, Pools
from shared import db
from shared.openapi import Endpoint
from shared.web import answer, identity, query

ENOUGH = 5
"""Pipedrive is searched if fewer of ours match as typed: each search costs tokens."""


def endpoints(pools: Pools, fallback: Fallback) -> Sequence[Endpoint]:
    async def search_organizations(request: web.Request) -> web.Response:
        asker = identity(request)
        wanted = query(request, SearchQuery)
        shown = await search(pools, fallback, asker.company_id, wanted)
        return answer(shown.model_dump(by_alias=True))

    return (
        Endpoint(
            "GET",
            "/api/organizations/search",
            search_organizations,
            "Autocomplete of organizations: ours first, then Pipedrive's",
            {
                200: SearchAnswer,
                400: "A parameter is not as described",
                503: "Postgres is unavailable",
            },
            query=SearchQuery,
        ),
    )


async def search(
    pools: Pools, fallback: Fallback, company_id: int, wanted: SearchQuery
) -> SearchAnswer:
    terms = searching_terms.of_query(wanted.q)
    found = await typeahead.ours(pools, company_id, terms, wanted.limit)
    hits = [searching_answers.hit(each, terms, source="store") for each in found]
    as_typed = sum(each.closeness != typeahead.MISSPELT for each in found)
    asked: Asked = "not_needed"
    if as_typed < min(ENOUGH, wanted.limit):
        asked, remote = await fallback.find(company_id, wanted.q)
        more = await _others(pools.other, company_id, terms, found_ids(hits), remote)
        # Near matches of ours give way to what Pipedrive has exactly as typed.
        hits = hits[:as_typed] + more + hits[as_typed:]
    return SearchAnswer(
        organizations=hits[: wanted.limit], sources=Sources(store="ok", pipedrive=asked)
    )


def found_ids(hits: Sequence[Hit]) -> set[UUID]:
    return {hit.id for hit in hits if hit.id is not None}


async def _others(
    pool: db.Pool,
    company_id: int,
    terms: Sequence[str],
    shown: set[UUID],
    remote: Sequence[Remote],
) -> list[Hit]:
    """Pipedrive's, each organization once, without those shown; known ones as in our store."""
    keys = {r.pipedrive_org_id: names.key(company_id, names.normalized(r.name)) for r in remote}
    with db.errors():
        known = await searching_store.known(pool, company_id, keys)
    hits: list[Hit] = []
    seen: set[Any] = {*shown}
    for each in remote:
        key = keys[each.pipedrive_org_id]
        ours = known.of_number.get(each.pipedrive_org_id) or known.of_name.get(key)
        same = ours.organization_id if ours else (key or each.pipedrive_org_id)
        if each.pipedrive_org_id in known.gone or same in seen:
            continue
        seen.add(same)
        hits.append(
            searching_answers.hit(_met(ours, each), terms, source="pipedrive")
            if ours
            else searching_answers.remote_hit(each, terms)
        )
    return hits


def _met(ours: Found, remote: Remote) -> Found:
    """With the name that Pipedrive found it by, if we show another."""
    is_same = names.normalized(ours.name) == names.normalized(remote.name)
    return ours._replace(alias=None if is_same else remote.name)
