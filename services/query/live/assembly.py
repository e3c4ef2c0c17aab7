"""Connects the API to committed changes: the streams, waiting readers, the sessions, and, where
Redis cannot be told of them, the cache.
"""

import functools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from services.query.cache import Cache
from services.query.live import api as stream_api
from services.query.live.arrivals import Arrivals
from services.query.live.hub import Hub
from services.query.live.listening import Ear, Listener
from services.query.sessions.api import SessionsApi
from services.query.sessions.people import People
from services.query.sessions.seen import Sessions
from shared import lifecycle
from shared.openapi import Endpoint
from shared.positions import HEADER

AFTER_TOLD: Final = "Where `after` was given: shown if the answer has that change, else pending"


@dataclass(frozen=True, slots=True)
class Live:
    cache: Cache
    hub: Hub
    arrivals: Arrivals
    sessions: Sessions
    people: People
    api: SessionsApi

    def with_after(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with `after` supported where it takes one."""
        handler = endpoint.handler
        if endpoint.query is None or "after" not in endpoint.query.model_fields:
            return endpoint

        @functools.wraps(handler)
        def answer(request: web.Request) -> Awaitable[web.StreamResponse]:
            if "after=" in request.rel_url.raw_query_string:
                return self.arrivals.answer_after(request, handler)
            return handler(request)

        return replace(endpoint, handler=answer, told={**endpoint.told, HEADER: AFTER_TOLD})

    def endpoints(self) -> list[Endpoint]:
        return [stream_api.endpoint(self.hub), *self.api.endpoints()]

    def loops(self, dsn: str, schema: str) -> Sequence[lifecycle.Loop]:
        listeners = [
            Listener(each.hear, each.missed)
            for each in (self.cache, self.hub, self.arrivals, self.sessions, self.people)
        ]
        ear = Ear(dsn, schema, listeners)
        return [
            ear.run,
            self.hub.run,
            self.sessions.run,
            self.sessions.write,
            self.people.run,
        ]
