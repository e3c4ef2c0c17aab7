"""The double's HTTP server: routes, the order in which a request is checked, and its answers.

Rule 1: a request meets in this order: the wait, the token, the limits, the faults, its handler.
Rule 2: what is refused says so in the envelope of the API: `success`, `error`, `error_info`.
Rule 3: nothing under `/_double` exists in Pipedrive: it is how tests control the double.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from devstack.pipedrive.api import asking, lists, metadata, rows, searching
from devstack.pipedrive.api.account import Account
from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.api.faults import Fault, Faults
from devstack.pipedrive.api.hooks import WrongFields
from devstack.pipedrive.api.limits import Limits
from devstack.pipedrive.api.rows import UNMARKED
from devstack.pipedrive.api.tables import Order
from devstack.pipedrive.changes import Entity, Id
from shared.pipedrive import costs

Handler = Callable[[web.Request], Awaitable[web.Response]]

V2_KINDS: dict[str, Entity] = {
    "persons": "person",
    "organizations": "organization",
    "deals": "deal",
    "activities": "activity",
}
WRITABLE = ("persons", "organizations", "activities")
INFO = "Please check developers.pipedrive.com for more information about Pipedrive API."
FIREWALL_PAGE = b"""<!DOCTYPE html><html><head><title>Access denied</title></head><body>
<h1>Error 1015</h1><p>You are being rate limited.</p></body></html>"""


class Server:
    def __init__(self, account: Account, limits: Limits, faults: Faults, api_token: str) -> None:
        self.account = account
        self.limits = limits
        self.faults = faults
        self.requests = 0
        self._api_token = api_token

    def routes(self) -> list[web.RouteDef]:
        found: list[web.RouteDef] = []

        def add(method: str, path: str, handler: Handler) -> None:
            found.append(web.route(method, f"/api{path}", self._faced(handler)))

        for plural, entity in V2_KINDS.items():
            add("GET", f"/v2/{plural}", self._list(entity))
            if entity == "deal":
                add("GET", "/v2/deals/archived", self._list(entity, archived=True))
            if entity != "activity":
                add("GET", f"/v2/{plural}/search", self._search(entity))
            add(
                "GET",
                f"/v2/{plural[:-1] if entity != 'activity' else entity}Fields",
                _fields(entity),
            )
            self._add_objects(add, f"/v2/{plural}", entity, writable=plural in WRITABLE)
        add("PATCH", "/v2/deals/{id}", self._update("deal"))
        add("GET", "/v2/pipelines", _said(metadata.pipelines))
        add("GET", "/v2/stages", _said(metadata.stages))
        add("GET", "/v2/itemSearch", self._search_all)
        add("GET", "/v2/itemSearch/field", self._search_field)
        add("GET", "/v1/leads", self._list_v1("lead"))
        add("GET", "/v1/leads/archived", self._list_v1("lead", archived=True))
        self._add_objects(add, "/v1/leads", "lead", writable=True)
        add("GET", "/v1/notes", self._list_v1("note"))
        add("GET", "/v1/users", self._users)
        add("GET", "/v1/users/me", self._me)
        add("GET", "/v1/leadLabels", _said(metadata.lead_labels))
        add("GET", "/v1/leadFields", _said(metadata.lead_fields))
        add("GET", "/v1/activityTypes", _said(metadata.activity_types))
        add("GET", "/v1/webhooks", self._hooks)
        add("POST", "/v1/webhooks", self._add_hook)
        add("DELETE", "/v1/webhooks/{id}", self._delete_hook)
        add("*", "/{path:.*}", _nothing_there)
        return found

    def _add_objects(
        self,
        add: Callable[[str, str, Handler], None],
        path: str,
        entity: Entity,
        *,
        writable: bool,
    ) -> None:
        add("GET", f"{path}/{{id}}", self._one(entity))
        if writable:
            add("POST", path, self._create(entity))
            add("PATCH", f"{path}/{{id}}", self._update(entity))
            add("DELETE", f"{path}/{{id}}", self._delete(entity))

    # How a request is checked

    def _faced(self, handler: Handler) -> Handler:
        async def face(request: web.Request) -> web.Response:
            self.requests += 1
            path = request.path.removeprefix("/api")
            concerned = self.faults.concerns(request.method, path)
            await request.read()  # a client that disconnects later has made its request
            if concerned and self.faults.delay_s:
                await asyncio.sleep(self.faults.delay_s)
            if request.headers.get("x-api-token") != self._api_token:
                return _error(401, "unauthorized access", errorCode=401)
            now = datetime.now(UTC)
            called = costs.call(request.method, path)
            judged = self.limits.judge(called, time.monotonic(), f"{now:%Y-%m-%d}")
            if judged.status == 403:  # noqa: PLR2004
                return _page(403)
            if judged.status == 429:  # noqa: PLR2004
                response: web.Response = _error(429, "request over limit")
            else:
                response = await self._carried_out(handler, request, concerned=concerned)
            response.headers.update(judged.headers)
            return response

        return face

    async def _carried_out(
        self, handler: Handler, request: web.Request, *, concerned: bool
    ) -> web.Response:
        rows = request.query.get("limit")
        fault, is_done = self.faults.draw(rows) if concerned else (Fault.NONE, True)
        response = (
            await self._done(handler, request, concerned=concerned) if is_done else web.Response()
        )
        match fault:
            case Fault.NONE:
                return response
            case Fault.ERROR:
                return _error(500, "Internal server error")
            case Fault.GARBAGE:
                return web.Response(body=b'{"success":true,"data":[{"id":1,"na')
            case Fault.HTML:
                return web.Response(status=502, body=b"<html>Bad gateway</html>")
            case Fault.REFUSED:
                return _refused(self.faults)
            case Fault.CUT:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()

    async def _done(
        self, handler: Handler, request: web.Request, *, concerned: bool
    ) -> web.Response:
        faults, url = self.faults, request.rel_url
        if not (concerned and faults.spoils(request.method)):
            return await _answered(handler, request)
        answer = await _answered(handler, request.clone(rel_url=faults.asked(url)))
        told = orjson.loads(answer.body if isinstance(answer.body, bytes) else b"")
        spoiled = faults.spoiled(url, told)
        return answer if spoiled is told else _raw(orjson.dumps(spoiled))

    # Reading

    def _list(self, entity: Entity, *, archived: bool = False) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            asked = asking.v2(entity, request.query)
            table, sight = self.account.tables[entity], self.account.sight
            return _raw(lists.v2(table, asked, sight, archived=archived))

        return listed

    def _list_v1(self, entity: Entity, *, archived: bool = False) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            asked = asking.v1(entity, request.query)
            table, sight = self.account.tables[entity], self.account.sight
            return _raw(lists.v1(table, asked, sight, archived=archived))

        return listed

    def _one(self, entity: Entity) -> Handler:
        async def one(request: web.Request) -> web.Response:
            """Shows what was deleted, marked as such, but for leads, which have no mark; what the
            user may not see is forbidden.
            """
            row_id = _id(entity, request)
            table = self.account.tables[entity]
            state = table.get(row_id)
            if state is None or (entity in UNMARKED and state.get("gone")):
                raise Rejected(404, f"{entity.capitalize()} not found")
            if self.account.sight.is_hidden(entity, row_id):
                raise Rejected(403, f"You do not have permission to see this {entity}")
            return _raw(b'{"success":true,"data":%b}' % table.json(row_id))

        return one

    def _search(self, entity: Entity) -> Handler:
        async def search(request: web.Request) -> web.Response:
            account = self.account
            table = account.tables[entity]
            found = searching.items(table, account.tables, request.query, account.sight)
            return _ok({"items": found}, additional_data={"next_cursor": None})

        return search

    async def _search_all(self, request: web.Request) -> web.Response:
        found = searching.all_items(self.account.tables, request.query, self.account.sight)
        return _ok({"items": found, "related_items": []}, additional_data={"next_cursor": None})

    async def _search_field(self, request: web.Request) -> web.Response:
        found = searching.field_items(self.account.tables, request.query, self.account.sight)
        return _ok(found, additional_data={"next_cursor": None})

    async def _users(self, _: web.Request) -> web.Response:
        table = self.account.tables["user"]
        found = [self._user(user_id) for user_id in sorted(table.walk(Order.ID))]
        return _ok(found, additional_data={"company_id": self.account.company_id})

    async def _me(self, _: web.Request) -> web.Response:
        told = {
            "company_id": self.account.company_id,
            "company_name": f"Company {self.account.company_id}",
            "company_domain": f"company{self.account.company_id}",
            "company_country": "EE",
            "company_industry": None,
            "language": {"language_code": "en", "country_code": "US"},
            "activated": True,
        }
        return _ok(self._user(self.account.user_id) | told)

    def _user(self, user_id: Id) -> dict[str, Any]:
        found = self.account.tables["user"].get(user_id)
        if found is None:
            raise Rejected(404, "User not found")
        is_me = user_id == self.account.user_id
        is_admin = is_me and self.account.sight.is_admin
        access = [{"app": "global", "admin": is_admin, "permission_set_id": "1"}] if is_me else []
        return rows.user(found) | {"is_you": is_me, "is_admin": int(is_admin), "access": access}

    # Writing

    def _create(self, entity: Entity) -> Handler:
        async def create(request: web.Request) -> web.Response:
            state = await self.account.create(entity, await _body(request))
            return _ok(rows.SPELLED[entity](state), 201 if entity == "lead" else 200)

        return create

    def _update(self, entity: Entity) -> Handler:
        async def update(request: web.Request) -> web.Response:
            body = await _body(request)
            state = await self.account.update(entity, _id(entity, request), body)
            return _ok(rows.SPELLED[entity](state))

        return update

    def _delete(self, entity: Entity) -> Handler:
        async def delete(request: web.Request) -> web.Response:
            row_id = _id(entity, request)
            await self.account.delete(entity, row_id)
            return _ok({"id": row_id})

        return delete

    # Webhooks

    async def _hooks(self, _: web.Request) -> web.Response:
        return _ok([hook.shown() for hook in self.account.hooks.all()], status_text="ok")

    async def _add_hook(self, request: web.Request) -> web.Response:
        hook = await self.account.hooks.register(await _body(request))
        return _ok(hook.shown(), 201, status_text="ok")

    async def _delete_hook(self, request: web.Request) -> web.Response:
        if not self.account.hooks.delete(int(_id("user", request))):
            body = {"status": "error", "success": False, "errors": {"id": ["not found"]}}
            return _raw(orjson.dumps(body), 404)
        return _raw(b'{"status":"ok","success":true}')


async def _answered(handler: Handler, request: web.Request) -> web.Response:
    try:
        return await handler(request)
    except WrongFields as wrong:
        body = {"status": "error", "success": False, "errors": wrong.errors}
        return _raw(orjson.dumps(body), 400)
    except Rejected as rejected:
        return _error(rejected.status, rejected.sentence)


async def _nothing_there(_: web.Request) -> web.Response:
    raise Rejected(404, "Unknown method.")


def _fields(entity: str) -> Handler:
    async def fields(_: web.Request) -> web.Response:
        return _ok(metadata.fields(entity), additional_data={"next_cursor": None})

    return fields


def _said(tell: Callable[[], Any]) -> Handler:
    async def said(_: web.Request) -> web.Response:
        return _ok(tell(), additional_data={"next_cursor": None})

    return said


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Rejected(400, "Invalid JSON in the body") from error
    if not isinstance(found, dict):
        raise Rejected(400, "The body must be a JSON object")
    return found


def _id(entity: str, request: web.Request) -> Id:
    text = request.match_info["id"]
    if entity == "lead":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise Rejected(400, "id: must be a number")
    return int(text)


def _ok(
    data: Any,
    status: int = 200,
    *,
    additional_data: Any = None,
    status_text: str | None = None,
) -> web.Response:
    body: dict[str, Any] = {"status": status_text} if status_text else {}
    body |= {"success": True, "data": data}
    if additional_data is not None:
        body["additional_data"] = additional_data
    return _raw(orjson.dumps(body), status)


def _error(status: int, sentence: str, **more: Any) -> web.Response:
    body = {"success": False, "error": sentence, "error_info": INFO}
    body |= {"data": None, "additional_data": None, **more}
    return _raw(orjson.dumps(body), status)


def _refused(faults: Faults) -> web.Response:
    if faults.as_page:
        return _page(faults.status)
    return _error(faults.status, "Not for this account")


def _page(status: int) -> web.Response:
    return web.Response(status=status, body=FIREWALL_PAGE, content_type="text/html")


def _raw(content: bytes, status: int = 200) -> web.Response:
    return web.Response(body=content, status=status, content_type="application/json")
