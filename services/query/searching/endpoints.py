"""The search endpoints."""

from services.query import pages
from services.query.answers import Beside
from services.query.generation import View
from services.query.parts import NO_ROOM, UNCHANGED, Parts
from services.query.searching import answers, reading
from services.query.searching.request import SearchQuery, SuggestQuery
from shared.openapi import Endpoint
from shared.web import query


def endpoints(parts: Parts) -> list[Endpoint]:
    ask_search = pages.remembering(lambda request: query(request, SearchQuery).request())
    ask_suggest = pages.remembering(lambda request: query(request, SuggestQuery).request())
    search, suggest = "/api/my-500/search", "/api/my-500/suggest"
    out_of_bounds = "A parameter is unknown or out of bounds, or the query is empty"
    refusals = {**UNCHANGED, 400: out_of_bounds, **NO_ROOM}
    return [
        Endpoint(
            "GET",
            search,
            pages.cached(parts, View.CONTACTS, search, ask_search, reading.search),
            "Search the user's contacts by name, e-mail, phone and organization; best match first",
            {200: answers.SearchPage, **refusals},
            query=SearchQuery,
            beside=Beside,
        ),
        Endpoint(
            "GET",
            suggest,
            pages.cached(parts, View.CONTACTS, suggest, ask_suggest, reading.suggest),
            "Autocomplete of contacts and organizations",
            {200: answers.Suggestions, **refusals},
            query=SuggestQuery,
            beside=Beside,
        ),
    ]
