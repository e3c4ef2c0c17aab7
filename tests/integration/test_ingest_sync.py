"""The sync with real servers and the double: what it puts into the log, whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import asyncpg
import orjson
import pytest

from services.ingest.preparing import SCHEMA
from services.ingest.sync import connecting
from services.ingest.sync.connecting import NoUrl
from shared import migrating
from tests.support import histories, proxy
from tests.support.cluster import Cluster, Instance, token
from tests.support.double import Double, double
from tests.support.infra import Infra
from tests.support.log_reading import Log, living, newest
from tests.support.pipe import COMPANY, FOREIGN, a_tenant, authorization, deliver
from tests.support.syncing import USER, Asking, a_connected_tenant, changed
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SMALL = ("--contacts", "40", "--organizations", "20", "--burst", "0", "--remember")
MANY = ("--generated", "6000,600,9000", "--burst", "0")
ENTITIES = {"person": "persons", "organization": "organizations", "activity": "activities"}
COMPARED = {
    "person": ("name", "org_id", "owner_id"),
    "organization": ("name", "owner_id"),
    "activity": ("subject", "type", "done", "due_date", "person_id", "org_id", "owner_id"),
}
TOPICS = tuple(
    f"pipedrive.{name}" for name in ("persons", "organizations", "activities", "deals", "leads")
)
Row = dict[str, Any]


@pytest.fixture
def log(infra: Infra, topic_prefix: str) -> Log:
    return Log(infra.kafka, topic_prefix)


@asynccontextmanager
async def connected(
    cluster: Cluster, *size: str, **environment: str
) -> AsyncIterator[tuple[Double, Asking]]:
    """A double and an ingest that is ready; nothing has been asked for."""
    async with double(cluster.folder, COMPANY, *size) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive), a_tenant(FOREIGN)])
        ingest = cluster.start("ingest", **environment)
        asking = Asking(cluster, ingest)
        await asking.ready()
        yield pipedrive, asking


async def rows(pipedrive: Double, path: str) -> dict[str, Row]:
    """What a list shows, all pages of it."""
    found: list[Row] = []
    cursor = ""
    while True:
        url = f"{pipedrive.url}/api/v2/{path}?limit=500{cursor}"
        headers = {"x-api-token": pipedrive.tenant()["api_token"]}
        async with pipedrive.http.get(url, headers=headers) as response:
            page = await response.json()
        found += page["data"]
        following = page["additional_data"]["next_cursor"]
        if following is None:
            return {str(row["id"]): row for row in found}
        cursor = f"&cursor={following}"


async def assert_the_log_is_what_pipedrive_holds(log: Log, pipedrive: Double) -> None:
    events = await log.read(*TOPICS)
    for entity, path in ENTITIES.items():
        shown = await rows(pipedrive, path)
        told = living(events, entity)
        assert told.keys() == shown.keys(), entity
        for number, event in told.items():
            assert _compared(entity, event["data"]) == _compared(entity, shown[number]), number


def _compared(entity: str, fields: Row) -> Row:
    """What an event and a row say alike, but for blanks around a name."""
    found = {name: fields.get(name) for name in COMPARED[entity]}
    return {name: v.strip() if isinstance(v, str) else v for name, v in found.items()}


async def test_a_first_sync_brings_all_and_a_second_one_nothing(
    cluster: Cluster, log: Log
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        first = await asking.done(await asking.connect())
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)
        before = len(await log.read(*TOPICS))
        second = await asking.sync("full")
        third = await asking.sync("incremental")

        assert len(await log.read(*TOPICS)) == before
        assert changed(first) >= before
        assert (changed(second), changed(third)) == (0, 0)
        for told in (first, second):
            persons = told["entities"]["persons"]
            assert persons["read"] == persons["total"] == len(await rows(pipedrive, "persons"))
        assert first["errors"] == []
        assert first["secondsLeft"] == 0
        _, answer = await asking.call("GET", "/api/sync", role=None)
        listed = [one["id"] for one in answer["data"]["syncs"]]
        assert listed == [third["id"], second["id"], first["id"]]


async def test_how_much_is_left_is_told_from_what_is_known_however_far_apart_the_numbers_are(
    cluster: Cluster,
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        made = await pipedrive.ask("POST", "/v2/persons", {"name": "Ann Other"})
        assert made["id"] > 1_000_000
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.3, "methods": "GET"})
        status, answer = await asking.call("POST", "/api/sync", {"mode": "full"})
        assert status == 202

        async def is_measured() -> bool:
            told = await asking.told(answer["data"]["id"])
            return "persons" in told["entities"]

        await until(is_measured)
        told = await asking.told(answer["data"]["id"])
        await pipedrive.turn("PATCH", "/faults", {})

        assert told["entities"]["persons"]["total"] <= len(await rows(pipedrive, "persons"))
        await asking.done(answer["data"]["id"])


async def test_killed_ten_times_the_full_sync_ends_as_if_it_had_not_been(
    cluster: Cluster, log: Log
) -> None:
    rng = Random(8)  # noqa: S311  moments to die at
    async with connected(cluster, *MANY) as (pipedrive, asking):
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.15})
        sync_id = await asking.connect()
        for reached in range(1_000, 15_000, 1_400):
            await _gets_on(asking, sync_id, reached)
            await asyncio.sleep(rng.random() * 0.2)
            asking.ingest.kill()
            asking.ingest = cluster.start("ingest")
            await asking.ready()
        await pipedrive.turn("PATCH", "/faults", {})
        told = await asking.done(sync_id)

        assert told["entities"]["persons"]["read"] >= 6000
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)
        again = await asking.sync("full")
        assert changed(again) == 0


async def _read(asking: Asking, sync_id: str) -> int:
    return sum(of["read"] for of in (await asking.told(sync_id))["entities"].values())


async def _gets_on(asking: Asking, sync_id: str, reached: int) -> None:
    async def is_further() -> bool:
        told = await asking.told(sync_id)
        return told["finishedAt"] is not None or await _read(asking, sync_id) > reached

    await until(is_further)


async def test_two_instances_share_one_sync_and_one_goes_on_when_the_other_dies(
    cluster: Cluster, log: Log
) -> None:
    async with connected(cluster, *MANY) as (pipedrive, asking):
        other = cluster.start("ingest")
        await cluster.ready(other)
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.05})
        sync_id = await asking.connect()
        await _gets_on(asking, sync_id, 1_000)
        status, answer = await Asking(cluster, other).call("POST", "/api/sync", {"mode": "full"})
        assert (status, answer["code"], answer["data"]["id"]) == (409, "sync_running", sync_id)
        owner = other if "sync_step" in other.log.read_text() else asking.ingest
        owner.kill()
        survivor = Asking(cluster, asking.ingest if owner is other else other)
        told = await survivor.done(sync_id)

        assert told["state"] == "done"
        persons = [e for e in await log.read("pipedrive.persons") if e["entity"] == "person"]
        assert 6000 <= len(persons) <= 6000 + 2 * 500
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)


async def test_live_changes_during_a_sync_are_not_undone(cluster: Cluster, log: Log) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.05, "methods": "GET"})
        for mode in ("full", "incremental", "full"):
            async with asyncio.TaskGroup() as group:
                syncing = group.create_task(asking.sync(mode))
                group.create_task(_live(pipedrive, syncing))
        await pipedrive.turn("PATCH", "/faults", {})

        async def is_settled() -> bool:
            counts = await pipedrive.turn("GET")
            heard = sum(each["ok"] for each in counts["webhooks"].values())
            events = await log.read(*TOPICS)
            return heard > 0 and _webhooks(events) and await _as_lived(pipedrive, events)

        await until(is_settled, every_s=0.5)


async def _live(pipedrive: Double, syncing: "asyncio.Task[Any]") -> None:
    """Bounded: a list that grew faster than it is read would never be read to its end."""
    for _ in range(60):
        if syncing.done():
            return
        await pipedrive.happen(5)


def _webhooks(events: list[Row]) -> bool:
    return any(event["source"].startswith("webhook") for event in events)


async def _as_lived(pipedrive: Double, events: list[Row]) -> bool:
    for entity, path in ENTITIES.items():
        last = {
            str(body["meta"]["entity_id"]): body["meta"]["action"]
            for body in await pipedrive.bodies("2")
            if body["meta"]["entity"] == entity
        }
        told = {number: event["action"] for number, event in newest(events, entity).items()}
        gone = {number for number, action in last.items() if action == "delete"}
        if {number for number, action in told.items() if action == "delete"} != gone & told.keys():
            return False
        shown = await rows(pipedrive, path)
        for number, event in living(events, entity).items():
            if _compared(entity, event["data"]) != _compared(entity, shown[number]):
                return False
    return True


async def test_what_is_gone_is_deleted_and_what_is_archived_or_hidden_is_not(
    cluster: Cluster, log: Log
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        persons = sorted(await rows(pipedrive, "persons"), key=int)
        purged, hidden = persons[:3], persons[3:6]
        deleted = persons[6]
        deals = await _some_deals(pipedrive)
        *leads, lost = await _some_leads(pipedrive, 3)
        await pipedrive.turn("PATCH", "/webhooks", {"dropped": 1.0})
        await _archive(pipedrive, deals, leads)
        await pipedrive.ask("DELETE", f"/v1/leads/{lost}")
        await pipedrive.turn("POST", "/purge", {"person": [int(one) for one in purged]})
        await pipedrive.turn(
            "PATCH", "/sight", {"hidden": {"person": [int(one) for one in hidden]}}
        )
        await pipedrive.ask("DELETE", f"/v2/persons/{deleted}")
        await asking.sync("full")

        told = newest(await log.read("pipedrive.persons"), "person")
        assert {n for n in told if told[n]["action"] == "delete"} >= {*purged, deleted}
        assert all(told[number]["action"] == "change" for number in hidden)
        events = await log.read("pipedrive.deals", "pipedrive.leads")
        assert _archived(events, "deal") >= set(deals)
        assert _archived(events, "lead") >= set(leads)
        assert [e["entity_id"] for e in events if e["action"] == "delete"] == [lost]
        again = await asking.sync("full")
        assert changed(again) == 0

        await pipedrive.turn("PATCH", "/sight", {"hidden": {"person": []}})
        assert changed(await asking.sync("full")) == 0


async def test_what_was_archived_unheard_is_found_by_a_delta(cluster: Cluster, log: Log) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        deals, leads = await _some_deals(pipedrive), await _some_leads(pipedrive)
        await pipedrive.turn("PATCH", "/webhooks", {"dropped": 1.0})
        await _archive(pipedrive, deals, leads)

        await asking.sync("incremental")

        events = await log.read("pipedrive.deals", "pipedrive.leads")
        assert _archived(events, "deal") >= set(deals)
        assert _archived(events, "lead") >= set(leads)


async def _some_deals(pipedrive: Double) -> list[str]:
    return sorted(await rows(pipedrive, "deals"), key=int)[:2]


async def _some_leads(pipedrive: Double, count: int = 2) -> list[str]:
    return [row["id"] for row in (await pipedrive.ask("GET", "/v1/leads"))[:count]]


async def _archive(pipedrive: Double, deals: list[str], leads: list[str]) -> None:
    paths = [f"/v2/deals/{one}" for one in deals] + [f"/v1/leads/{one}" for one in leads]
    for path in paths:
        await pipedrive.ask("PATCH", path, {"is_archived": True})


def _archived(events: list[Row], entity: str) -> set[str]:
    told = living(events, entity)
    return {number for number, event in told.items() if event["data"]["is_archived"]}


async def test_trouble_on_the_way_is_waited_out(cluster: Cluster, log: Log) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        trouble = {"errors": 0.15, "cut": 0.05, "garbage": 0.05, "html": 0.05, "methods": "GET"}
        await pipedrive.turn("PATCH", "/faults", {**trouble, "paths": "/v2"})
        await asking.done(await asking.connect(), 120)
        assert (await pipedrive.turn("GET"))["faults"] > 0
        await pipedrive.turn("PATCH", "/faults", {})
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)


async def test_the_burst_limit_slows_a_sync_and_stops_none(cluster: Cluster, log: Log) -> None:
    size = ("--generated", "6000,600,9000", "--burst", "10")
    async with connected(cluster, *size) as (pipedrive, asking):
        await asking.done(await asking.connect(), 120)

        assert (await pipedrive.turn("GET"))["refused"] < 20
        await pipedrive.turn("PATCH", "/limits", {"burst": None})
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)


async def test_a_spent_day_waits_for_midnight_while_webhooks_flow_on(
    cluster: Cluster, log: Log
) -> None:
    async with connected(cluster, *SMALL, "--daily-tokens", "400") as (pipedrive, asking):
        sync_id = await asking.connect()

        async def is_out_of_tokens() -> bool:
            told = await asking.told(sync_id)
            return told["state"] == "waiting" and "tokens" in told["reason"]

        await until(is_out_of_tokens)
        told = await asking.told(sync_id)
        assert told["waitingUntil"] is not None
        assert told["tokens"] <= 200
        assert (await pipedrive.turn("GET"))["tokens_used"] <= 250
        body = orjson.dumps(histories.a_webhook(company_id=COMPANY))
        assert await deliver(cluster, asking.ingest, body, authorization(COMPANY)) == 200
        _, answer = await asking.call("GET", "/api/connection")
        assert answer["data"]["tokens"]["limit"] == 400
        assert answer["data"]["tokens"]["usedBySync"] <= 200


async def test_what_was_read_before_a_wait_of_hours_is_told_as_it_begins(
    cluster: Cluster, log: Log
) -> None:
    async with connected(cluster, *SMALL, "--daily-tokens", "400") as (_, asking):
        sync_id = await asking.connect()
        read: list[int] = []

        async def waits() -> bool:
            is_waiting = (await asking.told(sync_id))["state"] == "waiting"
            read.append(await _read(asking, sync_id))
            return bool(is_waiting)

        async def is_told() -> bool:
            said = (await log.read("sync.status"))[-1]
            return (said["state"], said["processed"]) == ("running", read[-1])

        await until(waits)
        await until(is_told, 10)
        assert read[-1] > 0


async def test_a_blocked_company_is_left_alone(cluster: Cluster) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await pipedrive.turn("PATCH", "/limits", {"burst": 0, "blocked_after": 0})
        _, answer = await asking.call("POST", "/api/sync", {"mode": "full"})

        async def is_blocked() -> bool:
            told = await asking.told(answer["data"]["id"])
            return told["state"] == "waiting" and "firewall" in told["reason"]

        await until(is_blocked)
        assert (await pipedrive.turn("GET"))["requests"] < 20


@pytest.mark.parametrize(
    ("limits", "code", "longest_s"),
    [
        ({"daily_tokens": 0}, "pipedrive_day_spent", 3600),
        ({"burst": 0, "blocked_after": 0}, "pipedrive_blocked", 300),
    ],
)
async def test_who_connects_while_pipedrive_takes_no_calls_is_told_why_and_until_when(
    cluster: Cluster, limits: Row, code: str, longest_s: int
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await pipedrive.turn("PATCH", "/limits", limits)

        async def answer() -> tuple[int, str, int]:
            url, bearer = f"{asking.ingest.url}/api/connection", token(COMPANY, USER, role="admin")
            async with cluster.http.post(
                url,
                json={"url": asking.ingest.url},
                headers={"Authorization": f"Bearer {bearer}"},
            ) as response:
                told = await response.json()
                return response.status, told["code"], int(response.headers["Retry-After"])

        async def is_told() -> bool:
            return (await answer())[:2] == (503, code)

        await until(is_told, 20)
        _, _, after_s = await answer()
        # The day may end before the hour does.
        assert after_s > 2
        assert after_s <= longest_s + 1


async def test_who_connects_at_once_shares_one_webhook_and_one_sync(cluster: Cluster) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        await asking.call("GET", "/api/connection")
        elsewhere = {"url": asking.ingest.url.replace("127.0.0.1", "localhost")}

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(asking.call("POST", "/api/connection", elsewhere))
                for _ in range(4)
            ]
        made = [task.result() for task in tasks]

        [hook] = await pipedrive.hooks()
        assert hook["subscription_url"].startswith(elsewhere["url"])
        assert {status for status, _ in made} == {202}
        assert {answer["data"]["webhookId"] for _, answer in made} == {hook["id"]}
        assert len({answer["data"]["syncId"] for _, answer in made}) == 1
        _, answer = await asking.call("GET", "/api/connection")
        assert answer["data"]["webhook"]["id"] == hook["id"]
        assert answer["data"]["problem"] is None


async def test_a_full_sync_follows_the_incremental_one_that_was_open_at_connecting(
    cluster: Cluster,
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.2, "methods": "GET"})
        _, answer = await asking.call("POST", "/api/sync", {"mode": "incremental"})
        is_open = answer["data"]["id"]

        assert await asking.connect() == is_open
        await pipedrive.turn("PATCH", "/faults", {})

        async def has_followed() -> bool:
            _, listed = await asking.call("GET", "/api/sync")
            newest = listed["data"]["syncs"][0]
            return bool(newest["mode"] == "full" and newest["createdAt"] > open_since)

        open_since = (await asking.told(is_open))["createdAt"]
        await until(has_followed)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example",
        "http://",
        "http://[::1",
        "http://hooks.example:99999",
        "http://hooks example",
        "http://hooks.example/\u0000",
        "https://hooks.example/?a=b",
        "https://hooks.example/#here",
    ],
)
def test_what_nobody_can_be_reached_at_is_refused_before_pipedrive_is_asked(url: str) -> None:
    with pytest.raises(NoUrl):
        connecting.door_at(url)


async def test_the_command_connects_fills_and_says_what_it_read_and_may_be_given_again(
    cluster: Cluster, log: Log
) -> None:
    async with double(cluster.folder, COMPANY, *SMALL) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive)])
        door = cluster.start("ingest", "api")  # so that the command itself does the work
        await cluster.ready(door)
        command = ("connect", "--company", str(COMPANY), "--url", door.url)

        first = await _ended(cluster.start("ingest", *command))
        again = await _ended(cluster.start("ingest", *command))

        persons = len(await rows(pipedrive, "persons"))
        assert f"to {door.url}/webhooks/pipedrive: registered" in first
        assert "[" + "." * 30 + "]" in first
        assert f"persons: {persons} read, {persons} changed, 0 failed" in first
        assert f"to {door.url}/webhooks/pipedrive: unchanged" in again
        assert f"persons: {persons} read, 0 changed, 0 failed" in again
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)
        assert len(await pipedrive.hooks()) == 1
        assert (await log.read("sync.status"))[-1]["state"] == "idle"  # though nobody else relays


async def _ended(command: Instance) -> str:
    """What a command said that came to its end."""

    async def has_ended() -> bool:
        return command.process.poll() is not None

    await until(has_ended, 90)
    said = command.log.read_text()
    assert command.process.returncode == 0, said
    return said


async def test_the_command_says_in_a_sentence_that_postgres_went_away_and_may_be_given_again(
    cluster: Cluster, database_url: str
) -> None:
    async with (
        double(cluster.folder, COMPANY, *SMALL) as pipedrive,
        proxy.before(database_url) as link,
    ):
        cluster.write_tenants([a_connected_tenant(pipedrive)])
        door = cluster.start("ingest", "api")
        await cluster.ready(door)
        given = ("connect", "--company", str(COMPANY), "--url", door.url)
        await pipedrive.turn("PATCH", "/faults", {"delay_s": 0.5, "paths": "/v2"})
        command = cluster.start("ingest", *given, DATABASE_URL=proxy.through(database_url, link))

        async def shows_progress() -> bool:
            return "[" in command.log.read_text()

        async def has_ended() -> bool:
            return command.process.poll() is not None

        await until(shows_progress)
        await link.turn(proxy.Weather.REFUSED)
        await until(has_ended)
        await pipedrive.turn("PATCH", "/faults", {})

        said = command.log.read_text()
        assert command.process.returncode == 1, said
        assert "Traceback" not in said
        assert "Postgres: " in said.splitlines()[-1]
        assert "so does this command when run again." in said.splitlines()[-1]
        await _ended(cluster.start("ingest", *given))


@pytest.mark.parametrize("change", [{"is_active": False}, {"deleted": True}])
async def test_a_webhook_that_was_switched_off_or_deleted_is_made_anew_and_what_was_lost_is_read(
    cluster: Cluster, log: Log, change: dict[str, bool]
) -> None:
    async with connected(cluster, *SMALL, HOOK_CHECK_SECONDS="0.5") as (pipedrive, asking):
        await asking.done(await asking.connect())
        [hook] = await pipedrive.hooks()
        await pipedrive.turn("PATCH", f"/webhooks/{hook['id']}", change)
        made = await pipedrive.ask("POST", "/v2/persons", {"name": "Made in silence"})

        async def is_told() -> bool:
            return str(made["id"]) in living(await log.read("pipedrive.persons"), "person")

        await until(is_told, every_s=0.5)
        [mended] = await pipedrive.hooks()
        assert mended["is_active"] == 1
        _, answer = await asking.call("GET", "/api/sync")
        assert "hook" in {one["cause"] for one in answer["data"]["syncs"]}


async def test_a_password_that_was_changed_in_the_tenants_file_is_brought_to_pipedrive_at_once(
    cluster: Cluster,
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        [hook] = await pipedrive.hooks()
        tenant = {**a_connected_tenant(pipedrive), "webhook_password": "another"}
        cluster.write_tenants([tenant, a_tenant(FOREIGN)])

        async def is_another() -> bool:
            return hook["id"] not in {one["id"] for one in await pipedrive.hooks()}

        await until(is_another, 20, every_s=0.2)
        await pipedrive.ask("POST", "/v2/persons", {"name": "Ann Other"})

        async def is_taken() -> bool:
            [fresh] = await pipedrive.hooks()
            return bool(fresh["last_http_status"] == 200)

        await until(is_taken, 20, every_s=0.2)


async def test_how_the_webhook_is_is_asked_of_pipedrive_seldom_by_all_processes_together(
    cluster: Cluster, database_url: str
) -> None:
    async with connected(cluster, *SMALL) as (pipedrive, asking):
        await asking.done(await asking.connect())
        other = Asking(cluster, cluster.start("ingest", "api"))
        await other.ready()
        [hook] = await pipedrive.hooks()
        requests = (await pipedrive.turn("GET"))["requests"]

        for each in (asking, other, asking, other):
            _, fresh = await each.call("GET", "/api/connection", role=None)
            assert fresh["data"]["webhook"]["id"] == hook["id"]
            assert fresh["data"]["webhookSeenAt"] is not None
        assert (await pipedrive.turn("GET"))["requests"] == requests

        await pipedrive.turn("PATCH", f"/webhooks/{hook['id']}", {"is_active": False})
        conn = await asyncpg.connect(database_url)
        await conn.execute("UPDATE ingest.connections SET hook_asked_at = '-infinity'")
        await conn.close()
        for each in (asking, other, asking, other):
            _, told = await each.call("GET", "/api/connection", role=None)
            assert told["data"]["problem"] == "Pipedrive has switched the webhook off."
            assert told["data"]["webhook"]["isActive"] is False
            assert told["data"]["webhookSeenAt"] > fresh["data"]["webhookSeenAt"]
        whose_and_which = 2 + 1  # whose the token is, by a process that has not asked yet, too
        assert (await pipedrive.turn("GET"))["requests"] <= requests + whose_and_which


async def test_a_webhook_is_made_anew_also_on_a_day_whose_share_of_the_sync_is_spent(
    cluster: Cluster,
) -> None:
    a_small_share = {"SYNC_DAILY_SHARE": "0.01", "HOOK_CHECK_SECONDS": "0.5"}
    size = (*SMALL, "--daily-tokens", "20000")
    async with connected(cluster, *size, **a_small_share) as (pipedrive, asking):
        sync_id = await asking.connect()

        async def is_out_of_tokens() -> bool:
            told = await asking.told(sync_id)
            return told["state"] == "waiting" and "tokens" in told["reason"]

        await until(is_out_of_tokens)
        [hook] = await pipedrive.hooks()
        await pipedrive.turn("PATCH", f"/webhooks/{hook['id']}", {"deleted": True})

        async def is_back() -> bool:
            return bool(await pipedrive.hooks())

        await until(is_back, 20, every_s=0.2)
        assert await is_out_of_tokens()
        _, answer = await asking.call("GET", "/api/connection")
        assert answer["data"]["webhook"]["id"] == (await pipedrive.hooks())[0]["id"]
        assert answer["data"]["problem"] is None


async def test_a_delta_brings_all_that_another_program_brought_in_whatever_its_age(
    cluster: Cluster, database_url: str
) -> None:
    async with connected(cluster, "--generated", "1200,60,100", "--burst", "0") as (_, asking):
        await asking.done(await asking.connect())
        conn = await asyncpg.connect(database_url)
        await conn.execute("DELETE FROM ingest.known WHERE entity = 'person'")
        await conn.close()

        told = await asking.sync("incremental")

        assert told["entities"]["persons"]["changed"] == 1200


async def test_what_webhooks_leave_out_is_fetched_soon_after(cluster: Cluster, log: Log) -> None:
    async with connected(cluster, *SMALL, SYNC_COMPLETE_SECONDS="0.3") as (pipedrive, asking):
        await asking.done(await asking.connect())
        made = await pipedrive.ask("POST", "/v2/persons", {"name": "Ada", "job_title": "Pilot"})
        number = str(made["id"])

        async def has_a_title() -> bool:
            events = await log.read("pipedrive.persons")
            return any(
                event["data"].get("job_title") == "Pilot"
                for event in events
                if event["entity_id"] == number and event["data"]
            )

        await until(has_a_title, every_s=0.5)


async def test_an_industry_is_told_by_its_name_by_syncs_and_soon_after_a_webhook(
    cluster: Cluster, log: Log, database_url: str
) -> None:
    async with connected(cluster, *SMALL, SYNC_COMPLETE_SECONDS="0.3") as (pipedrive, asking):
        names = await _industries(pipedrive)
        await asking.done(await asking.connect())
        shown = await rows(pipedrive, "organizations")
        number = next(iter(shown))

        told = living(await log.read("pipedrive.organizations"), "organization")
        assert any(row["industry"] for row in shown.values())
        for each, row in shown.items():
            assert told[each]["data"]["industry"] == names.get(row["industry"]), row

        conn = await asyncpg.connect(database_url)
        for forgotten in (False, True):  # an option may have come after the names were read
            if forgotten:
                await conn.execute("DELETE FROM ingest.field_options")
            option = next(one for one in names if one != shown[number]["industry"])
            body = {"industry": option}
            await pipedrive.ask("PATCH", f"/v2/organizations/{number}", body)
            shown[number]["industry"] = option

            async def is_named(wanted: str = names[option]) -> bool:
                events = await log.read("pipedrive.organizations")
                return bool(_last_said(events, number, "industry") == wanted)

            await until(is_named, every_s=0.5)
        await conn.close()
        events = await log.read("pipedrive.organizations")
        assert not [e for e in events if e["data"] and _is_a_number(e["data"].get("industry"))]


async def _industries(pipedrive: Double) -> dict[int, str]:
    fields = await pipedrive.ask("GET", "/v2/organizationFields")
    [industry] = [one for one in fields if one["field_code"] == "industry"]
    return {one["id"]: one["label"] for one in industry["options"]}


def _last_said(events: list[Row], number: str, field: str) -> Any:
    said = [
        event
        for event in events
        if event["entity_id"] == number and event["data"] and field in event["data"]
    ]
    newest_of = max(said, key=lambda event: (event["version"], event["event_id"]))
    return newest_of["data"][field]


def _is_a_number(said: Any) -> bool:
    return said is not None and str(said).isdecimal()


async def test_webhooks_are_taken_while_there_is_no_postgres(cluster: Cluster) -> None:
    async with double(cluster.folder, COMPANY, *SMALL) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive)])
        nowhere = "postgresql://nobody@127.0.0.1:9/nowhere"
        ingest = cluster.start("ingest", DATABASE_URL=nowhere)
        await cluster.ready(ingest)
        body = orjson.dumps(histories.a_webhook(company_id=COMPANY))

        assert await deliver(cluster, ingest, body, authorization(COMPANY)) == 200
        status, answer = await Asking(cluster, ingest).call("GET", "/api/sync")
        assert (status, answer["code"]) == (503, "unavailable")


async def test_who_asks_before_the_tables_are_there_is_answered_when_they_are(
    cluster: Cluster, database_url: str
) -> None:
    """As at every start: readiness is the door's, which needs no tables."""
    other = await asyncpg.connect(database_url)
    await other.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE')
    async with double(cluster.folder, COMPANY, *SMALL) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive)])
        await other.execute("SELECT pg_advisory_lock($1)", migrating.SETTINGS_LOCK)
        asking = Asking(cluster, cluster.start("ingest"))
        await cluster.ready(asking.ingest)
        async with asyncio.TaskGroup() as group:
            syncs = group.create_task(asking.call("GET", "/api/sync"))
            made = group.create_task(asking.call("POST", "/api/contacts", {"name": "Ann Other"}))
            answered, _ = await asyncio.wait(
                (syncs, made), timeout=0.5, return_when=asyncio.FIRST_COMPLETED
            )
            assert [each.result() for each in answered] == []
            await other.close()

        assert (syncs.result()[0], made.result()[0]) == (200, 201)


async def test_the_roles_can_run_apart(cluster: Cluster, log: Log) -> None:
    async with double(cluster.folder, COMPANY, *SMALL) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive)])
        door, worker = cluster.start("ingest", "api"), cluster.start("ingest", "sync")
        for instance in (door, worker):
            await cluster.ready(instance)
        asking = Asking(cluster, door)
        await asking.ready()

        await asking.done(await asking.connect())

        assert await _status(cluster, worker) == 404
        await assert_the_log_is_what_pipedrive_holds(log, pipedrive)


async def _status(cluster: Cluster, instance: Instance) -> int:
    async with cluster.http.get(f"{instance.url}/api/sync") as response:
        return response.status
