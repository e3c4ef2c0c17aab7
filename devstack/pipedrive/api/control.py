"""How tests and demonstrations control the double: `/_double/…`, without a token.

GET   /_double                  counts of rows, requests, tokens, deliveries
PATCH /_double/faults           {"delay_s", "errors", "cut", "garbage", "html", "refused",
"status", "as_page", "after", "paths", "methods", "at_most", "most_rows",
"endless": "page"|"anew"|"empty", "odd_rows": [null, {"id": "x"}]}: the others go back to none
PATCH /_double/limits           {"burst", "daily_tokens", "blocked_after", "blocked_s",
"tokens_used"}: the others stay
PATCH /_double/webhooks         {"dropped": share, "duplicated": share, "delayed": share}
PATCH /_double/webhooks/{id}    {"is_active": bool} or {"user_id": 1002}, or {"banned": true} or
{"deleted": true}
PATCH /_double/sight            {"shows_deleted": bool, "hidden": {"person": [1, 2]}} or
{"is_admin": bool} or {"has_contact_sync": bool}
POST  /_double/purge            {"person": [1, 2]}: gone without a trace
POST  /_double/happen           {"events": n}: so many live changes, as fast as they go
GET   /_double/bodies?version=  every change so far as a webhook's body, if it remembers
"""

from dataclasses import asdict, fields
from typing import Any

import orjson
from aiohttp import web

from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.server import Server
from devstack.pipedrive.bodies import Hook, v2
from devstack.pipedrive.bodies_v1 import can_say, v1
from devstack.pipedrive.changes import Change
from devstack.pipedrive.delivery import Faults as DeliveryFaults


class Control:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._account = server.account

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_double", self._counts),
            web.patch("/_double/faults", self._faults),
            web.patch("/_double/limits", self._limits),
            web.patch("/_double/webhooks", self._deliveries),
            web.patch("/_double/webhooks/{id}", self._webhook),
            web.patch("/_double/sight", self._sight),
            web.post("/_double/purge", self._purge),
            web.post("/_double/happen", self._happen),
            web.get("/_double/bodies", self._bodies),
        ]

    async def _counts(self, _: web.Request) -> web.Response:
        server, hooks = self._server, self._account.hooks
        deliveries = {str(one): each.as_dict() for one, each in hooks.counters().items()}
        return _json(
            {
                "rows": self._account.tables.counts(),
                "requests": server.requests,
                "refused": server.limits.refused,
                "tokens_used": server.limits.tokens_used,
                "faults": server.faults.struck,
                "webhooks": deliveries,
                "webhooks_lost": hooks.lost,
            }
        )

    async def _faults(self, request: web.Request) -> web.Response:
        self._server.faults = Faults(**await request.json())
        return _json({})

    async def _limits(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = await request.json()
        limits = self._server.limits
        limits.tokens_used = given.pop("tokens_used", limits.tokens_used)
        for name, value in given.items():
            if name not in {one.name for one in fields(limits.rules)}:
                raise web.HTTPBadRequest(text=f"no limit is called {name}")
            setattr(limits.rules, name, value)
        return _json(asdict(limits.rules))

    async def _deliveries(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = await request.json()
        hooks = self._account.hooks
        hooks.dropped = given.pop("dropped", hooks.dropped)
        if given:
            hooks.disturb(DeliveryFaults(**given))
        return _json({})

    async def _webhook(self, request: web.Request) -> web.Response:
        hook_id, given = int(request.match_info["id"]), await request.json()
        hooks = self._account.hooks
        hook = hooks.get(hook_id)
        if hook is None:
            raise web.HTTPNotFound
        if given.get("deleted"):
            hooks.delete(hook_id)
        if given.get("banned"):
            hooks.ban(hook_id)
        hook.is_active = given.get("is_active", hook.is_active)
        hook.user_id = given.get("user_id", hook.user_id)
        return _json(hook.shown())

    async def _sight(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = await request.json()
        sight = self._account.sight
        sight.shows_deleted = given.get("shows_deleted", sight.shows_deleted)
        sight.is_admin = given.get("is_admin", sight.is_admin)
        sight.has_contact_sync = given.get("has_contact_sync", sight.has_contact_sync)
        for entity, ids in given.get("hidden", {}).items():
            sight.hidden[entity] = set(ids)
        return _json({})

    async def _purge(self, request: web.Request) -> web.Response:
        given: dict[str, list[Any]] = await request.json()
        for entity, ids in given.items():
            for row_id in ids:
                self._account.tables[entity].purge(row_id)
        return _json({})

    async def _happen(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = await request.json()
        return _json({"happened": await self._account.happen(int(given["events"]))})

    async def _bodies(self, request: web.Request) -> web.Response:
        version = request.query.get("version", "2")
        account = self._account
        hook = Hook(account.company_id, account.company.user_ids)

        def body(change: Change) -> Any:
            return v1(change, hook) if version == "1" and can_say(change) else v2(change, hook)

        return _json([body(change) for change in account.heard])


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
