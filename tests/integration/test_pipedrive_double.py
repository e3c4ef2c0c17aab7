"""The double's API over HTTP: writes, webhooks and their ends, and what it breaks on purpose."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.pipedrive.api.double import Double
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.delivery import Rules as DeliveryRules
from devstack.pipedrive.world import Sizes
from tests.support import rest_shapes
from tests.support.commands import API_TOKEN, COMPANY, double
from tests.support.waiting import until

pytestmark = pytest.mark.integration

QUICK = DeliveryRules(time_scale=1e-4)
"""Retries after 0.3, 3 and 15 ms, bans of 180 ms, the end of a silent webhook after 26 s."""


class Api:
    def __init__(self, made: Double, http: aiohttp.ClientSession) -> None:
        self.double = made
        self._http = http

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"x-api-token": API_TOKEN}
        url = self.double.url + path
        async with self._http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def data(self, method: str, path: str, body: Any = None) -> Any:
        status, told = await self.ask(method, path, body)
        assert status in (200, 201), told
        return told["data"]

    async def hook(self, url: str, **more: Any) -> Any:
        fields = {"subscription_url": url, "event_action": "*", "event_object": "*", **more}
        return await self.data("POST", "/api/v1/webhooks", fields)


@asynccontextmanager
async def api(**setup: Any) -> AsyncIterator[Api]:
    async with double(**setup) as made, aiohttp.ClientSession() as http:
        yield Api(made, http)


class Receiver:
    """Takes webhooks, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[Any] = []
        self.authorizations: list[str | None] = []

    async def take(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.bodies.append(await request.json())
            self.authorizations.append(request.headers.get("Authorization"))
        return web.Response(status=self.status)

    async def has(self, count: int) -> None:
        async def is_there() -> bool:
            return len(self.bodies) >= count

        await until(is_there)


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/hook", receiver.take)
    async with TestServer(app) as server:
        yield receiver, str(server.make_url("/hook"))


async def test_what_is_written_is_listed_searched_and_told_to_webhooks() -> None:
    async with api() as pipedrive, receiving() as (receiver, url):
        hook = await pipedrive.hook(url, http_auth_user="u", http_auth_password="p")
        body = {"name": "Ann Other", "emails": [{"value": "ann@x.example"}], "job_title": "CEO"}

        made = await pipedrive.data("POST", "/api/v2/persons", body)
        edited = await pipedrive.data(
            "PATCH", f"/api/v2/persons/{made['id']}", {"name": "Ann Othername"}
        )
        await pipedrive.data("DELETE", f"/api/v2/persons/{made['id']}")
        await receiver.has(3)

        assert list(rest_shapes.differences("person", made)) == []
        assert list(rest_shapes.differences("hook", hook)) == []
        assert (made["update_time"], made["job_title"]) == (None, "CEO")
        assert (edited["name"], edited["last_name"]) == ("Ann Othername", "Othername")
        told = sorted(receiver.bodies, key=lambda one: one["meta"]["timestamp"])
        assert [one["meta"]["action"] for one in told] == ["create", "change", "delete"]
        assert told[0]["data"]["name"] == "Ann Other"
        assert "job_title" not in told[0]["data"]
        assert told[0]["meta"]["company_id"] == str(COMPANY)
        assert set(receiver.authorizations) == {aiohttp.encode_basic_auth("u", "p")}
        gone = await pipedrive.data("GET", f"/api/v2/persons/{made['id']}")
        assert gone["is_deleted"] is True
        listed = await pipedrive.data("GET", f"/api/v2/persons?ids={made['id']}")
        assert listed == []


async def test_an_activity_names_its_person_by_participants_alone() -> None:
    async with api() as pipedrive:
        about = {"participants": [{"person_id": 2, "primary": True}]}

        made = await pipedrive.data(
            "POST", "/api/v2/activities", {"type": "call", "done": True, **about}
        )
        refused = await pipedrive.ask(
            "POST", "/api/v2/activities", {"type": "call", "person_id": 2}
        )
        nobody = await pipedrive.ask(
            "POST", "/api/v2/activities", {"participants": [{"person_id": 999_999}]}
        )

        assert (made["person_id"], made["subject"]) == (2, "Call")
        assert made["marked_as_done_time"] == made["add_time"]
        person = await pipedrive.data("GET", "/api/v2/persons/2")
        assert person["update_time"] == made["add_time"]
        assert refused[0] == 400
        assert nobody == (400, {**nobody[1], "error": "Person not found"})


async def test_a_webhook_that_cannot_be_reached_or_is_not_described_is_refused() -> None:
    async with api() as pipedrive:
        nowhere = {"subscription_url": "http://127.0.0.1:1/", "event_action": "*"}

        unreachable = await pipedrive.ask(
            "POST", "/api/v1/webhooks", {**nowhere, "event_object": "*"}
        )
        undescribed = await pipedrive.ask("POST", "/api/v1/webhooks", nowhere)

        assert unreachable[0] == undescribed[0] == 400
        assert unreachable[1]["errors"] == {"subscription_url": ["invalid or non-reachable URL"]}
        assert list(undescribed[1]["errors"]) == ["event_object"]


async def test_a_user_has_forty_webhooks_at_most() -> None:
    async with api() as pipedrive, receiving() as (_, url):
        for _ in range(40):
            await pipedrive.hook(url)

        status, told = await pipedrive.ask(
            "POST",
            "/api/v1/webhooks",
            {"subscription_url": url, "event_action": "*", "event_object": "*"},
        )

        assert (status, told["error"]) == (422, "Webhooks limit reached")


async def test_each_webhook_hears_what_it_asked_for_until_it_is_deleted() -> None:
    async with api() as pipedrive, receiving() as (receiver, url):
        hook = await pipedrive.hook(url, event_object="organization", event_action="create")

        await pipedrive.data("POST", "/api/v2/persons", {"name": "Ann"})
        await pipedrive.data("POST", "/api/v2/organizations", {"name": "Acme"})
        await receiver.has(1)
        path = f"/api/v1/webhooks/{hook['id']}"
        deleted, again = await pipedrive.ask("DELETE", path), await pipedrive.ask("DELETE", path)
        await pipedrive.data("POST", "/api/v2/organizations", {"name": "Other"})
        await asyncio.sleep(0.05)

        assert [one["data"]["name"] for one in receiver.bodies] == ["Acme"]
        assert deleted == (200, {"status": "ok", "success": True})
        assert again[0] == 404
        assert again[1]["errors"] == {"id": ["not found"]}


async def test_a_webhook_tells_how_its_deliveries_went_and_is_banned_after_ten_failures() -> None:
    async with api(delivery=QUICK) as pipedrive, receiving() as (receiver, url):
        await pipedrive.hook(url)
        receiver.status = 500

        await pipedrive.data("POST", "/api/v2/persons", {"name": "Ann"})
        await receiver.has(4)
        [hook] = await pipedrive.data("GET", "/api/v1/webhooks")
        await pipedrive.double.account.happen(40)

        async def is_banned() -> bool:
            [counters] = pipedrive.double.account.hooks.counters().values()
            return counters.bans > 0

        await until(is_banned)

        assert hook["last_http_status"] == 500
        assert hook["last_delivery_time"] is not None
        assert hook["is_active"] == 1


async def test_a_webhook_without_success_for_three_days_is_deleted() -> None:
    days_of_26_ms = DeliveryRules(time_scale=1e-7)
    async with api(delivery=days_of_26_ms) as pipedrive, receiving() as (receiver, url):
        await pipedrive.hook(url)
        receiver.status = 404

        async def is_deleted() -> bool:
            await pipedrive.double.account.happen(1)
            return await pipedrive.data("GET", "/api/v1/webhooks") == []

        await until(is_deleted)


async def test_a_webhook_hears_nothing_of_what_its_user_cannot_see() -> None:
    async with api() as pipedrive, receiving() as (receiver, url):
        await pipedrive.hook(url)
        await pipedrive.hook(url, user_id=1002)
        await pipedrive.ask("PATCH", "/_double/sight", {"hidden": {"person": [1]}})

        await pipedrive.data("PATCH", "/api/v2/persons/1", {"name": "Hidden"})
        await pipedrive.data("PATCH", "/api/v2/persons/2", {"name": "Seen"})
        await receiver.has(3)

        hooks = pipedrive.double.account.hooks
        told = [(one["meta"]["webhook_id"], one["data"]["name"]) for one in receiver.bodies]
        of_the_token, of_another = (str(one.hook_id) for one in hooks.all())
        assert sorted(told) == [
            (of_the_token, "Seen"),
            (of_another, "Hidden"),
            (of_another, "Seen"),
        ]


async def test_the_screws_drop_webhooks_and_switch_them_off() -> None:
    async with api() as pipedrive, receiving() as (receiver, url):
        hook = await pipedrive.hook(url)
        off = await pipedrive.ask("PATCH", f"/_double/webhooks/{hook['id']}", {"is_active": False})
        await pipedrive.ask("POST", "/_double/happen", {"events": 20})
        await pipedrive.ask("PATCH", f"/_double/webhooks/{hook['id']}", {"is_active": True})
        await pipedrive.ask("PATCH", "/_double/webhooks", {"dropped": 1.0})
        await pipedrive.ask("POST", "/_double/happen", {"events": 20})
        await pipedrive.ask("PATCH", "/_double/webhooks", {"dropped": 0.0})
        await pipedrive.data("POST", "/api/v2/persons", {"name": "Last"})
        await receiver.has(1)

        _, counts = await pipedrive.ask("GET", "/_double")
        assert off[1]["is_active"] == 0
        assert len(receiver.bodies) == 1
        assert counts["webhooks_lost"] == 20


@pytest.mark.parametrize(
    ("endless", "rows"),
    [("page", 2 * [[4, 5, 6]]), ("anew", [[1, 2, 3], [4, 5, 6]]), ("empty", [[]] * 2)],
)
async def test_the_screws_put_odd_rows_into_lists_and_let_them_never_end(
    endless: str, rows: list[list[int]]
) -> None:
    """Of six persons, three a page: what the third and the fourth page show."""
    async with api(sizes=Sizes(1, 6, 1, 1.0)) as pipedrive:
        faults = {"endless": endless, "odd_rows": [None, {"id": "x"}], "paths": "/v2/persons"}
        assert (await pipedrive.ask("PATCH", "/_double/faults", faults))[0] == 200
        path, query, pages = "/api/v2/persons", "?limit=3", []
        for _ in range(4):
            _, told = await pipedrive.ask("GET", path + query)
            pages.append(told["data"])
            query = f"?limit=3&cursor={told['additional_data']['next_cursor']}"

    assert pages[0][:2] == [None, {"id": "x"}]
    assert [[row["id"] for row in page[2:]] for page in pages[2:]] == rows


async def test_what_was_written_outlives_the_double(tmp_path: Path) -> None:
    async with api(folder=tmp_path) as pipedrive:
        made = await pipedrive.data("POST", "/api/v2/persons", {"name": "Ann Other"})
        doomed = await pipedrive.data("POST", "/api/v2/persons", {"name": "Gone"})
        await pipedrive.data("DELETE", f"/api/v2/persons/{doomed['id']}")

    async with api(folder=tmp_path) as pipedrive:
        kept = await pipedrive.data("GET", f"/api/v2/persons/{made['id']}")
        ended = await pipedrive.data("GET", f"/api/v2/persons/{doomed['id']}")
        newer = await pipedrive.data("POST", "/api/v2/persons", {"name": "Newer"})

    assert kept == made
    assert ended["is_deleted"] is True
    assert newer["id"] > doomed["id"]


async def test_a_request_may_be_carried_out_though_its_answer_is_lost() -> None:
    async with api() as pipedrive:
        pipedrive.double.server.faults = Faults(methods="POST", cut=1.0, after=1.0, at_most=1)

        with pytest.raises(aiohttp.ClientError):
            await pipedrive.ask("POST", "/api/v2/persons", {"name": "Unheard"})

        found = await pipedrive.data("GET", "/api/v2/persons/search?term=Unheard")
        assert [one["item"]["name"] for one in found["items"]] == ["Unheard"]


async def test_a_lead_that_was_deleted_is_not_shown_for_it_has_no_mark() -> None:
    async with api() as pipedrive:
        lead = (await pipedrive.data("GET", "/api/v1/leads"))[0]
        await pipedrive.ask("PATCH", "/_double/sight", {"shows_deleted": True})
        await pipedrive.data("DELETE", f"/api/v1/leads/{lead['id']}")

        status, told = await pipedrive.ask("GET", f"/api/v1/leads/{lead['id']}")
        listed = await pipedrive.data("GET", "/api/v1/leads")

        assert (status, told["error"]) == (404, "Lead not found")
        assert lead["id"] not in {row["id"] for row in listed}


async def test_a_job_title_is_written_only_with_contact_sync() -> None:
    titled = {"name": "Ann Other", "job_title": "CEO"}
    async with api() as pipedrive:
        with_sync, _ = await pipedrive.ask("POST", "/api/v2/persons", titled)
        await pipedrive.ask("PATCH", "/_double/sight", {"has_contact_sync": False})
        made, _ = await pipedrive.ask("POST", "/api/v2/persons", titled)
        changed, _ = await pipedrive.ask("PATCH", "/api/v2/persons/1", {"job_title": "CEO"})
        untitled, _ = await pipedrive.ask("POST", "/api/v2/persons", {"name": "Bo Other"})

    assert (with_sync, made, changed, untitled) == (200, 403, 403, 200)


async def test_hidden_deleted_and_purged_are_three_things() -> None:
    async with api() as pipedrive:
        await pipedrive.ask("PATCH", "/_double/sight", {"hidden": {"person": [1]}})
        await pipedrive.ask("DELETE", "/api/v2/persons/2")
        await pipedrive.ask("POST", "/_double/purge", {"person": [3]})

        answers = [await pipedrive.ask("GET", f"/api/v2/persons/{n}") for n in (1, 2, 3)]
        listed = await pipedrive.data("GET", "/api/v2/persons?ids=1,2,3,4")

        assert [status for status, _ in answers] == [403, 200, 404]
        assert [row["id"] for row in listed] == [4]
