"""The client against the double: pages, limits, broken answers, one budget for all processes."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from devstack.pipedrive.api.double import Double
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.limits import Rules
from devstack.pipedrive.world import Sizes
from shared import db
from shared.pipedrive import client, reading
from shared.pipedrive.budget import Budget, Purpose
from shared.pipedrive.client import Clients, Pipedrive
from shared.pipedrive.errors import (
    Blocked,
    BurstSpent,
    DaySpent,
    NotConnected,
    NotOfTheCompany,
    PipedriveRefused,
    Unavailable,
    Unsettled,
)
from shared.pipedrive.owner import UNTOLD
from shared.tenants import Tenants
from tests.support.commands import API_TOKEN, COMPANY, a_tenant, double
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SIZES = Sizes(2, 20, 8, 10.0)
OTHER = 7002
NOBODY = "redis://127.0.0.1:1/0"
LISTS = (
    "/v2/persons",
    "/v2/organizations",
    "/v2/deals",
    "/v2/activities",
    "/v1/leads",
    "/v1/notes",
)


@dataclass(frozen=True, slots=True)
class Together:
    double: Double
    client: Pipedrive
    clients: Clients
    budget: Budget


@asynccontextmanager
async def together(
    folder: Path, *, limits: Rules | None = None, redis_url: str | None = None, **budget: Any
) -> AsyncIterator[Together]:
    async with double(limits=limits or Rules(None, None), sizes=SIZES) as made:
        file = folder / "tenants.json"
        file.write_text(json.dumps([a_tenant(made.url)]))
        async with (
            Budget(redis_url, **budget) as counted,
            Clients(Tenants(file), counted) as clients,
        ):
            yield Together(made, clients.of(COMPANY), clients, counted)


async def all_ids(client: Pipedrive, path: str, **params: Any) -> list[Any]:
    return [row["id"] async for page in client.pages(path, params) for row in page.rows]


@pytest.mark.parametrize("path", LISTS)
async def test_all_pages_together_are_the_whole_list_whatever_their_size(
    tmp_path: Path, path: str
) -> None:
    async with together(tmp_path) as found:
        whole = await all_ids(found.client, path)
        assert len(whole) > 3

        for limit in (1, 3, len(whole) - 1, len(whole)):
            assert await all_ids(found.client, path, limit=limit) == whole


async def test_a_walk_goes_on_at_the_mark_of_a_page(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        whole = await all_ids(found.client, "/v2/persons")
        first = await found.client.page("/v2/persons", {"limit": 7})

        rest = [
            row["id"]
            async for page in found.client.pages("/v2/persons", {"limit": 4}, start=first.next)
            for row in page.rows
        ]

        assert [row["id"] for row in first.rows] + rest == whole


async def test_a_page_is_fetched_ahead_and_only_one(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        async with aclosing(found.client.pages("/v2/persons", {"limit": 2})) as pages:
            await anext(pages)
            began = found.double.server.requests
            await asyncio.sleep(0.1)
            ahead = found.double.server.requests
            await asyncio.sleep(0.1)
            assert found.double.server.requests == ahead
        assert ahead - began <= 1


async def test_no_page_is_fetched_ahead_for_who_does_not_want_it(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        whole = await all_ids(found.client, "/v2/persons")
        began = found.double.server.requests
        shown: list[Any] = []

        pages = found.client.pages("/v2/persons", {"limit": 2}, ahead=False)
        async with aclosing(pages):
            async for page in pages:
                shown += [row["id"] for row in page.rows]
                assert found.double.server.requests - began == len(shown) // 2
                if len(shown) == 6:
                    break

        assert shown == whole[:6]


async def test_what_is_left_of_a_day_whose_limit_is_not_said_is_learned(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        found.budget.learn(COMPANY, limit=1000, remaining=900)
        found.budget.learn(COMPANY, limit=None, remaining=800)

        usage = await found.budget.usage(COMPANY)

    assert (usage.limit, usage.remaining) == (1000, 800)


async def test_hundreds_of_calls_at_once_are_never_too_many(tmp_path: Path) -> None:
    async with together(tmp_path, limits=Rules(burst=200, daily_tokens=None)) as found:
        found.double.server.limits.rules.blocked_after = 0
        await found.client.get("/v2/persons/1")  # tells the limit

        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(found.client.get("/v2/persons/1", deadline_s=30))

        assert found.double.server.limits.refused == 0


async def test_a_burst_that_others_used_up_is_waited_out(tmp_path: Path) -> None:
    async with together(tmp_path, limits=Rules(burst=5, daily_tokens=None)) as found:
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as others:
            for _ in range(4):  # and one that asks whose the token is
                await others.of(COMPANY).get("/v2/persons/1")
        began = time.monotonic()

        person = await found.client.get("/v2/persons/1")

        assert person["id"] == 1
        assert time.monotonic() - began > 0.9
        assert found.double.server.limits.refused == 1


async def test_a_burst_longer_than_the_deadline_is_told_at_once(tmp_path: Path) -> None:
    async with together(tmp_path, limits=Rules(burst=1, daily_tokens=None)) as found:
        await found.client.get("/v2/persons/1")
        began = time.monotonic()

        with pytest.raises(BurstSpent):
            await found.client.get("/v2/persons/1", deadline_s=1.0)

        assert time.monotonic() - began < 1.0


async def test_searches_have_a_burst_of_their_own(tmp_path: Path) -> None:
    async with together(tmp_path, limits=Rules(burst=100, daily_tokens=None)) as found:
        for _ in range(10):
            await found.client.get("/v2/persons/search", {"term": "an"})

        with pytest.raises(BurstSpent):
            await found.client.get("/v2/persons/search", {"term": "an"}, deadline_s=0.5)
        await found.client.get("/v2/persons/1", deadline_s=0.5)


async def test_a_spent_day_is_not_asked_again_by_any_process(
    tmp_path: Path, redis_url: str
) -> None:
    rules = Rules(burst=None, daily_tokens=15)
    async with together(tmp_path, limits=rules, redis_url=redis_url) as found:
        await found.client.get("/v2/persons")
        with pytest.raises(DaySpent) as told:
            await found.client.get("/v2/persons")
        asked = found.double.server.requests

        async with Budget(redis_url) as own, Clients(_tenants(tmp_path), own) as others:
            with pytest.raises(DaySpent):
                await others.of(COMPANY).get("/v2/persons/1")

        assert found.double.server.requests == asked
        assert 0 < (told.value.until - datetime.now(UTC)).total_seconds() <= 3600


async def test_a_spent_day_that_no_header_names_is_asked_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BURST_S", 0.2)
    rules = Rules(burst=None, daily_tokens=1, names_day=False)
    async with together(tmp_path, limits=rules) as found:
        with pytest.raises(BurstSpent):
            await found.client.get("/v2/persons", deadline_s=3.0)

        assert 3 <= found.double.server.limits.refused <= 6


async def test_the_firewalls_page_is_no_refusal_and_ends_all_calls_for_a_while(
    tmp_path: Path, redis_url: str
) -> None:
    rules = Rules(burst=1, daily_tokens=None, blocked_after=0)
    async with together(tmp_path, limits=rules, redis_url=redis_url) as found:
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as others:
            await others.of(COMPANY).get("/v2/persons/1")

        with pytest.raises(Blocked):
            await found.client.get("/v2/persons/1")
        asked = found.double.server.requests
        with pytest.raises(Blocked):
            await found.client.get("/v2/persons/1")

        assert found.double.server.requests == asked


async def test_a_page_for_one_path_alone_stops_no_other_call_and_one_for_all_does(
    tmp_path: Path,
) -> None:
    page = Faults(refused=1.0, status=403, as_page=True, after=0.0)
    async with together(tmp_path) as found:
        found.double.server.faults = replace(page, paths="/v1/leads")
        with pytest.raises(PipedriveRefused) as told:
            await found.client.get("/v1/leads")
        await found.client.get("/v2/persons/1")

        found.double.server.faults = page
        with pytest.raises(Blocked):
            await found.client.get("/v1/leads")

    assert (told.value.status, told.value.sentence) == (
        403,
        "Pipedrive refused: no reason given.",
    )


async def test_sync_stops_at_its_share_and_leaves_the_rest_to_users(
    tmp_path: Path, redis_url: str
) -> None:
    rules = Rules(burst=None, daily_tokens=100)
    async with together(tmp_path, limits=rules, redis_url=redis_url, sync_share=0.3) as found:
        sync = found.clients.of(COMPANY, Purpose.SYNC)
        await found.client.get("/v2/persons/1")

        for _ in range(3):
            await sync.get("/v2/persons")
        with pytest.raises(DaySpent):
            await sync.get("/v2/persons")
        for _ in range(6):
            await found.client.get("/v2/persons")

        usage = await found.budget.usage(COMPANY)
        assert (usage.limit, usage.used_by_sync, usage.used) == (100, 30, 93)
        assert found.double.server.limits.tokens_used == 93


async def test_sync_leaves_a_part_of_the_day_alone_whoever_used_the_rest(tmp_path: Path) -> None:
    rules = Rules(burst=None, daily_tokens=1000)
    async with together(tmp_path, limits=rules) as found:
        await found.client.owner()
        found.double.server.limits.tokens_used = 960
        sync = found.clients.of(COMPANY, Purpose.SYNC)
        await sync.get("/v2/persons/1")

        with pytest.raises(DaySpent):
            await sync.get("/v2/persons/1")
        await found.client.get("/v2/persons/1")


async def test_a_redis_that_lost_the_day_is_told_of_it_by_who_knows(redis_url: str) -> None:
    async with (
        Budget(redis_url, sync_share=0.5, plan_tokens=100) as one,
        Budget(redis_url, sync_share=0.5, plan_tokens=100) as other,
        Redis.from_url(redis_url) as client,
    ):
        await one.take(COMPANY, 40, Purpose.SYNC)
        await other.take(COMPANY, 5, Purpose.SYNC)
        await one.usage(COMPANY)
        blocked = await one.block(COMPANY)
        await client.flushdb()

        with pytest.raises(Blocked):
            await one.take(COMPANY, 1, Purpose.INTERACTIVE)
        await one.usage(COMPANY)  # what was not called is given back
        found = await other.usage(COMPANY)

    assert (found.used, found.used_by_sync) == (45, 45)
    assert found.blocked_until == blocked.until.replace(microsecond=0)


async def test_processes_count_together_and_alone_while_redis_is_away(
    tmp_path: Path, redis_url: str
) -> None:
    async with Budget(redis_url) as one, Budget(redis_url) as other, Budget(NOBODY) as alone:
        await one.take(COMPANY, 10, Purpose.INTERACTIVE)
        await other.take(COMPANY, 5, Purpose.SYNC)
        await alone.take(COMPANY, 7, Purpose.SYNC)

        assert (await one.usage(COMPANY)).used == 15
        assert (await other.usage(COMPANY)).used_by_sync == 5
        assert (await alone.usage(COMPANY)).used == 7


async def test_a_share_holds_while_redis_is_away(tmp_path: Path) -> None:
    async with Budget(NOBODY, sync_share=0.5, plan_tokens=100) as alone:
        for _ in range(5):
            await alone.take(COMPANY, 10, Purpose.SYNC)

        with pytest.raises(DaySpent):
            await alone.take(COMPANY, 1, Purpose.SYNC)


@pytest.mark.parametrize("fault", ["errors", "cut", "garbage", "html"])
async def test_a_broken_answer_to_a_read_is_an_outage_and_to_a_write_leaves_it_open(
    tmp_path: Path, fault: str
) -> None:
    async with together(tmp_path) as found:
        await found.client.owner()
        found.double.server.faults = Faults(**{fault: 1.0})

        with pytest.raises(Unavailable) as read:
            await found.client.get("/v2/persons/1")
        with pytest.raises(Unsettled):
            await found.client.post("/v2/persons", {"name": "Ann"})

        assert not isinstance(read.value, Unsettled)


async def test_a_slow_answer_is_waited_for_as_long_as_the_deadline_and_no_longer(
    tmp_path: Path,
) -> None:
    async with together(tmp_path) as found:
        found.double.server.faults = Faults(delay_s=30)
        began = time.monotonic()

        with pytest.raises(Unavailable):
            await found.client.get("/v2/persons/1", deadline_s=0.1)

        assert time.monotonic() - began < 5


async def test_a_connection_refused_is_no_unknown_fate(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        (tmp_path / "tenants.json").write_text(json.dumps([a_tenant("http://127.0.0.1:1")]))
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as others:
            with pytest.raises(Unavailable) as told:
                await others.of(COMPANY).post("/v2/persons", {"name": "Ann"})

    assert not isinstance(told.value, Unsettled)
    assert found.double.server.requests == 0


async def test_a_connection_that_does_not_come_about_is_no_unknown_fate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a firewall drops every packet: nothing was sent that could be carried out."""
    monkeypatch.setattr(client, "CONNECT_S", 0.2)
    with _full_house() as port:
        (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(f"http://127.0.0.1:{port}")]))
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as clients:
            ours = clients.of(COMPANY)
            ours._ownership.is_ours = True
            with pytest.raises(Unavailable, match="cannot connect") as told:
                await ours.post("/v2/persons", {"name": "Ann"})

    assert not isinstance(told.value, Unsettled)


@contextmanager
def _full_house() -> Iterator[int]:
    """A port with as many connections as wait there at most: further ones get no answer."""
    with socket.socket() as server, socket.socket() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting.connect(server.getsockname())
        yield server.getsockname()[1]


async def test_names_that_no_server_answers_for_hold_up_no_other_lookups(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop has at most 32 threads for lookups, most often far fewer."""
    asked, answering = set[str](), threading.Event()
    getaddrinfo = socket.getaddrinfo

    def silent_for_companies(host: str, *args: Any, **named: Any) -> Any:
        if str(host).endswith(".test"):
            asked.add(host)
            answering.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return getaddrinfo(host, *args, **named)

    async def all_threads_wait() -> bool:
        return len(asked) >= min(32, (os.cpu_count() or 1) + 4)

    async def ask(client: Pipedrive) -> None:
        with pytest.raises(Unavailable):
            await client.get("/v2/persons/1", deadline_s=60)

    monkeypatch.setattr(socket, "getaddrinfo", silent_for_companies)
    companies = [
        a_tenant(f"https://c{number}.test", number, webhook_user=f"hook{number}")
        for number in range(1, 41)
    ]
    (tmp_path / "tenants.json").write_text(json.dumps(companies))
    async with (
        Budget(None) as budget,
        Clients(_tenants(tmp_path), budget) as clients,
        db.pool(database_url.replace("127.0.0.1", "localhost"), "public", size=1) as pool,
        asyncio.TaskGroup() as group,
    ):
        for company in companies:
            group.create_task(ask(clients.of(company["company_id"])))
        await until(all_threads_wait)
        try:
            await db.ping(pool)
        finally:
            answering.set()

    assert len(asked) == len(companies)


ENDING = """
import asyncio, socket, threading
from shared import lifecycle
from shared.pipedrive.lookups import Lookups

async def main():
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def silent(*_, **__):
        loop.call_soon_threadsafe(asked.set)
        threading.Event().wait()

    socket.getaddrinfo = silent
    looking = asyncio.create_task(Lookups().resolve("c1.test"))
    await asked.wait()

lifecycle.start(main())
"""


def test_a_lookup_that_goes_on_keeps_no_process_from_ending() -> None:
    process = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False
    )

    assert (process.returncode, process.stderr) == (0, "")


async def test_refusals_are_in_pipedrives_own_words(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        with pytest.raises(PipedriveRefused, match="Person not found") as missing:
            await found.client.get("/v2/persons/999999")
        with pytest.raises(PipedriveRefused, match="person_id: is not allowed") as wrong:
            await found.client.post("/v2/activities", {"type": "call", "person_id": 1})

    assert (missing.value.status, wrong.value.status) == (404, 400)


async def test_a_wrong_token_is_refused_and_stands_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with together(tmp_path) as found:
        tenant = {**a_tenant(found.double.url), "api_token": "a-stolen-token"}
        (tmp_path / "tenants.json").write_text(json.dumps([tenant]))
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as others:
            with pytest.raises(PipedriveRefused, match="API token") as told:
                await others.of(COMPANY).get("/v2/persons")

    assert told.value.status == 401
    assert "a-stolen-token" not in caplog.text
    assert API_TOKEN not in caplog.text
    assert "a-stolen-token" not in repr(told.value)


async def test_with_a_token_of_another_company_nothing_is_asked_but_whose_it_is(
    tmp_path: Path,
) -> None:
    async with together(tmp_path) as found:
        (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(found.double.url, OTHER)]))
        async with Budget(None) as own, Clients(_tenants(tmp_path), own) as others:
            for purpose in Purpose:
                with pytest.raises(NotOfTheCompany, match="belongs to another company") as told:
                    await others.of(OTHER, purpose).get("/v2/persons/1")
            with pytest.raises(NotOfTheCompany):
                await others.of(OTHER).post("/v2/persons", {"name": "Ann"})

        assert told.value.status == 409
        assert found.double.server.requests == 1


async def test_whose_a_token_is_is_asked_once_by_all_that_call_at_once(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        clients = [found.clients.of(COMPANY, purpose) for purpose in Purpose]
        async with asyncio.TaskGroup() as group:
            for client in clients * 5:
                group.create_task(client.get("/v2/persons/1"))
        assert found.double.server.requests == 1 + 5 * len(clients)

        another = a_tenant(found.double.url, OTHER, webhook_user="another")
        (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(found.double.url), another]))
        tenants = _tenants(tmp_path)
        async with Budget(None) as own, Clients(tenants, own) as others:
            for _ in range(2):
                await others.of(COMPANY).get("/v2/persons/1")
                (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(found.double.url)]))
                tenants.reload()
        assert found.double.server.requests == 1 + 5 * len(clients) + 3


async def test_a_pipedrive_that_does_not_say_whose_the_token_is_stops_nothing(
    tmp_path: Path,
) -> None:
    async with together(tmp_path) as found:
        found.double.account.tables["user"].purge(found.double.account.user_id)

        assert await found.client.owner() == UNTOLD
        assert (await found.client.get("/v2/persons/1"))["id"] == 1


async def test_a_company_without_a_token_is_not_connected(tmp_path: Path) -> None:
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps([{**a_tenant("http://127.0.0.1:1"), "api_token": None}]))
    async with Budget(None) as own, Clients(Tenants(file), own) as clients:
        for company_id in (COMPANY, 4242):
            with pytest.raises(NotConnected):
                clients.of(company_id)


@pytest.mark.parametrize(
    "wrong",
    [{"api_token": f"{API_TOKEN}\n"}, {"api_domain": "https://acme..pipedrive.com"}],
)
async def test_a_token_or_a_domain_that_no_call_can_be_made_with_is_named_to_who_asks(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    async with double() as made:
        file = tmp_path / "tenants.json"
        file.write_text(json.dumps([a_tenant(made.url) | wrong]))
        async with Budget(None) as own, Clients(Tenants(file), own) as clients:
            with pytest.raises(NotConnected, match="api_token or api_domain"):
                await clients.of(COMPANY).get("/v2/persons/1")


@pytest.mark.parametrize("domain", ["acme.pipedrive.com", "https://acme.pipedrive.com/"])
async def test_a_domain_is_understood_with_and_without_its_scheme(
    tmp_path: Path, domain: str
) -> None:
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps([a_tenant(domain)]))
    async with Budget(None) as own, Clients(Tenants(file), own) as clients:
        assert clients.of(COMPANY)._base == "https://acme.pipedrive.com/api"


async def test_a_token_that_changes_in_the_file_is_used_from_then_on(tmp_path: Path) -> None:
    async with together(tmp_path) as found:
        tenants = _tenants(tmp_path)
        async with Budget(None) as own, Clients(tenants, own) as clients:
            stale = {**a_tenant(found.double.url), "api_token": "an-old-token-with-other-length"}
            (tmp_path / "tenants.json").write_text(json.dumps([stale]))
            tenants.reload()
            with pytest.raises(PipedriveRefused):
                await clients.of(COMPANY).get("/v2/persons/1")

            (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(found.double.url)]))
            tenants.reload()

            assert (await clients.of(COMPANY).get("/v2/persons/1"))["id"] == 1


async def test_a_credential_is_looked_up_in_the_file_and_is_another_only_if_it_says_another(
    tmp_path: Path,
) -> None:
    async with together(tmp_path) as found:
        before = found.clients.credential(COMPANY)
        rewritten = [a_tenant(found.double.url, webhook_password="another")]
        (tmp_path / "tenants.json").write_text(json.dumps(rewritten))
        after = found.clients.credential(COMPANY)
        changed = [a_tenant(found.double.url, api_token="another-token")]
        (tmp_path / "tenants.json").write_text(json.dumps(changed))

        assert after == before
        assert found.clients.credential(COMPANY) != before
        (tmp_path / "tenants.json").write_text("[]")
        with pytest.raises(NotConnected):
            found.clients.credential(COMPANY)


def _tenants(folder: Path) -> Tenants:
    return Tenants(folder / "tenants.json")
