"""What users may ask of the sync, and what they are answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.api.faults import Faults
from services.ingest.settings import IngestSettings
from services.ingest.sync import connecting, hooks
from services.ingest.sync.role import Sync
from shared import db
from shared.app import application
from shared.auth import Authenticator
from tests.support import proxy, synchronised
from tests.support.cluster import SECRET, token
from tests.support.commands import API_TOKEN, COMPANY, a_tenant
from tests.support.infra import Infra
from tests.support.proxy import Weather
from tests.support.synchronised import SIZES, Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FOREIGN = 7002
USER = "1001"
SOON_S = 10.0


@dataclass(frozen=True, slots=True)
class Asking:
    """The API over a company that was read in full."""

    company: Company
    client: TestClient[Any, Any]

    @property
    def url(self) -> str:
        """Where Pipedrive is told to reach us."""
        return str(self.client.make_url("")).rstrip("/")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        company_id: int = COMPANY,
        role: str | None = "admin",
    ) -> tuple[int, Any]:
        claims = {"role": role} if role else {}
        headers = {"Authorization": f"Bearer {token(company_id, USER, **claims)}"}
        async with self.client.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def connect(self) -> None:
        status, answer = await self.call("POST", "/api/connection", {"url": self.url})
        assert status == 202, answer
        assert await self.company.ends(UUID(answer["data"]["syncId"])) == "done"

    async def reason_of_failure(self) -> str | None:
        _, answer = await self.call("POST", "/api/sync", {"mode": "full"})
        assert await self.company.ends(UUID(answer["data"]["id"])) == "failed"
        _, answer = await self.call("GET", f"/api/sync/{answer['data']['id']}")
        reason: str | None = answer["data"]["reason"]
        return reason

    def write_tenants(self, *tenants: dict[str, Any]) -> None:
        self.company.sync.parts.settings.tenants_file.write_text(json.dumps(tenants))
        self.company.sync.tenants.reload()


@asynccontextmanager
async def asked(sync: Sync) -> AsyncIterator[TestClient[Any, Any]]:
    app = application(
        sync.endpoints(),
        title="sync",
        pings={},
        authenticator=Authenticator(SecretStr(SECRET), None),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def asking(synchronised_company: Company) -> AsyncIterator[Asking]:
    async with asked(synchronised_company.sync) as client:
        yield Asking(synchronised_company, client)


async def test_who_may_ask_for_what(asking: Asking) -> None:
    theirs = {"company_id": FOREIGN}

    assert (await asking.call("POST", "/api/sync", {"mode": "full"}, role=None))[0] == 403
    assert (await asking.call("POST", "/api/connection", role=None))[0] == 403
    assert (await asking.call("POST", "/api/sync", {"mode": "all"}))[0] == 400
    assert (await asking.call("POST", "/api/connection"))[1]["code"] == "no_public_url"
    status, answer = await asking.call("POST", "/api/sync", {"mode": "incremental"}, **theirs)
    assert (status, answer["code"]) == (409, "not_connected")
    status, answer = await asking.call("POST", "/api/sync", {"mode": "incremental"}, role=None)
    assert status == 202
    ours = answer["data"]["id"]
    assert await asking.company.ends(UUID(ours)) == "done"
    assert (await asking.call("GET", f"/api/sync/{ours}"))[0] == 200
    assert (await asking.call("GET", f"/api/sync/{ours}", **theirs))[0] == 404
    assert (await asking.call("GET", "/api/sync/nonsense"))[0] == 400
    assert (await asking.call("GET", "/api/sync", **theirs))[1]["data"]["syncs"] == []
    async with asking.client.get("/api/sync") as response:
        assert response.status == 401


async def test_connecting_twice_leaves_one_webhook_and_those_of_others(asking: Asking) -> None:
    account = asking.company.double.account
    wanted = {"action": "*", "entity": "*", "version": hooks.VERSION, "url": asking.url}
    by = {"user_id": account.user_id, "user": None, "password": None}
    theirs = await account.hooks.add(**wanted, **by, name="somebody")
    await account.hooks.add(**wanted, **by, name=hooks.NAME)

    await asking.connect()
    [ours] = [one for one in account.hooks.all() if one.hook_id != theirs.hook_id]
    await asking.connect()

    assert [one.hook_id for one in account.hooks.all()] == [theirs.hook_id, ours.hook_id]
    assert ours.url == hooks.door(asking.url)
    assert (ours.version, ours.is_active) == ("2.0", True)
    _, answer = await asking.call("GET", "/api/connection", role=None)
    assert answer["data"]["webhook"]["id"] == ours.hook_id
    assert (answer["data"]["connected"], answer["data"]["problem"]) == (True, None)


@pytest.mark.parametrize(
    ("methods", "status", "as_page"),
    [
        ("GET", 403, False),
        ("GET", 404, False),
        ("GET", 403, True),
        ("GET", 402, False),
        ("POST", 403, False),
    ],
)
async def test_who_may_not_manage_webhooks_is_told_what_is_missing_and_syncs_all_the_same(
    asking: Asking, methods: str, status: int, as_page: bool
) -> None:
    asking.company.double.server.faults = Faults(
        paths=hooks.PATH, methods=methods, refused=1.0, status=status, as_page=as_page, after=0.0
    )

    said, answer = await asking.call("POST", "/api/connection", {"url": asking.url})
    _, made = await asking.call("POST", "/api/sync", {"mode": "full"})

    assert (said, answer["code"]) == (409, "pipedrive_refuses")
    assert answer["error"].startswith(
        "Pipedrive does not let the API token manage webhooks: "
        "put the token of an admin into the tenants file."
    )
    assert answer["error"].endswith("no reason given." if as_page else "Not for this account.")
    assert await asking.company.ends(UUID(made["data"]["id"])) == "done"


OWN = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'my500-ingest-own'
"""


async def test_while_many_wait_for_pipedrive_to_connect_them_others_are_answered(
    asking: Asking, database_url: str
) -> None:
    asking.company.double.server.faults = Faults(delay_s=8.0)
    onlooker = await db.connect(database_url, "ingest")
    tasks = [asyncio.create_task(asking.connect()) for _ in range(3 * connecting.AT_ONCE)]
    try:
        # The onlooker and the relay have one of their own, too.
        await until(lambda: _reaches(onlooker, OWN, connecting.AT_ONCE + 2))

        status, _ = await asking.call("GET", "/api/sync")

        answered = [task for task in tasks if task.done()]
        assert (status, answered) == (200, [])
        assert await onlooker.fetchval(OWN) == connecting.AT_ONCE + 2
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await onlooker.close()


async def _reaches(conn: db.Connection, count: str, wanted: int) -> bool:
    return bool(await conn.fetchval(count) >= wanted)


async def test_a_token_that_is_not_accepted_fails_the_sync_in_words(asking: Asking) -> None:
    asking.write_tenants({**a_tenant(asking.company.double.url), "api_token": "wrong"})

    assert await asking.reason_of_failure() == "Pipedrive does not accept the API token."


async def test_with_the_token_of_another_company_a_sync_fails_in_words_and_tells_nothing(
    asking: Asking,
) -> None:
    told = len(asking.company.told.events)
    async with Double(Setup(FOREIGN, API_TOKEN, sizes=SIZES)) as theirs:
        await theirs.account.live_through_history()
        asking.write_tenants(a_tenant(theirs.url))

        reason = await asking.reason_of_failure()
        status, answer = await asking.call("POST", "/api/connection", {"url": asking.url})

    assert "belongs to another company" in (reason or "")
    assert (status, answer["code"], answer["error"]) == (409, "not_connected", reason)
    assert len(asking.company.told.events) == told
    assert theirs.account.hooks.all() == []


async def test_who_asks_while_postgres_is_silent_hears_soon_that_it_is_away(
    infra: Infra,
    database_url: str,
    redis_url: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "REQUEST_ANSWER_S", 0.5)
    (tmp_path / "tenants.json").write_text("[]")
    async with proxy.before(database_url) as link:
        settings = IngestSettings(
            kafka_bootstrap_servers=infra.kafka,
            kafka_topic_prefix=topic_prefix,
            kafka_partitions=1,
            DATABASE_URL=SecretStr(proxy.through(database_url, link)),
            redis_url=SecretStr(redis_url),
            tenants_file=tmp_path / "tenants.json",
        )
        async with synchronised.assembled(settings) as sync, asked(sync) as client:
            headers = {"Authorization": f"Bearer {token(COMPANY, USER)}"}
            async with client.get("/api/sync", headers=headers) as response:
                assert response.status == 200
            await link.turn(Weather.HALF_OPEN)

            async with (
                asyncio.timeout(SOON_S),
                client.get("/api/sync", headers=headers) as response,
            ):
                assert response.status == 503
