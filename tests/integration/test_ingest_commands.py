"""The way back to Pipedrive: what is made once, whatever goes wrong, and where it stands then."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.pipedrive.api.account import FIRST_WRITTEN_ID, Account
from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.tables import Order
from devstack.pipedrive.changes import Entity
from services.ingest.commands import (
    command_store,
    idempotency,
    making,
    telling,
    undertaking_store,
    wanted,
)
from services.ingest.commands.command_store import Asker
from services.ingest.commands.making import Making
from services.ingest.commands.neighbours import Contact
from services.ingest.commands.undertaking_store import Undertaking
from services.ingest.commands.wanted import Wanted
from shared import db, ids
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.pipedrive.client import Clients
from shared.pipedrive.errors import Unsettled
from shared.positions import decode
from shared.tenants import Tenants
from tests.support import infra as servers
from tests.support.cluster import token
from tests.support.commands import COMPANY, DEADLINE_S, Service, serving
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = pytest.mark.integration

A_CONTACT = UUID(int=2)
A_CALL = {"contactId": str(UUID(int=1)), "type": "call", "subject": "Hello"}
ANN = {"name": "Ann Other", "email": "ann@acme.example", "phone": "+1 555 0100"}


@pytest.fixture(scope="module")
def store_url(infra: Infra) -> Iterator[str]:
    with servers.new_database(infra) as url:
        yield url


@pytest.fixture(scope="module")
async def shared_service(
    infra: Infra, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    folder = tmp_path_factory.mktemp("ingest")
    async with (
        servers.new_topics(infra) as prefix,
        serving(infra, store_url, prefix, folder) as made,
    ):
        yield made


@pytest.fixture
async def service(shared_service: Service, store: db.Pool) -> Service:
    """As new: nobody has asked for anything, and nothing is broken."""
    await store.execute("TRUNCATE commands, undertakings")
    shared_service.double.server.faults = Faults()
    shared_service.double.account.sight.has_contact_sync = True
    shared_service.double.server.limits.rules.daily_tokens = None
    shared_service.budget._days.clear()
    people = shared_service.double.account.tables["person"]
    for row_id in [one for one in people.walk(Order.ID) if int(one) >= FIRST_WRITTEN_ID]:
        people.purge(row_id)
    return shared_service


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[db.Pool]:
    async with db.pool(store_url, "ingest", size=1) as pool:
        yield pool


async def test_a_contact_is_made_in_pipedrive_and_stands_in_the_log_where_the_answer_says(
    service: Service,
) -> None:
    status, told = await service.send("POST", "/api/contacts", {**ANN, "jobTitle": "CEO"})

    assert status == 201, told
    data = told["data"]
    [person] = service.people_called("Ann Other")
    assert (person["owner_id"], person["job_title"]) == (1001, "CEO")
    assert data["pipedrivePersonId"] == str(person["id"])
    assert data["id"] == str(ids.contact(COMPANY, person["id"]))
    [position] = decode(data["after"]).positions
    record = await service.record_at(*position)
    assert position.topic == "pipedrive.persons"
    assert (record["entity_id"], record["source"]) == (str(person["id"]), "app")
    assert record["data"]["name"] == "Ann Other"
    assert record["data"]["emails"][0]["value"] == "ann@acme.example"


async def test_the_webhook_of_the_same_change_counts_as_later_than_what_the_answer_published(
    service: Service,
) -> None:
    service.double.account.remembers = True

    _, told = await service.send("POST", "/api/contacts", ANN)

    [position] = decode(told["data"]["after"]).positions
    record = await service.record_at(*position)
    [change] = service.double.account.heard[-1:]
    assert change.action == "create"
    assert record["version"] <= round(change.at.timestamp() * 1_000_000)
    assert record["version"] > round(change.at.timestamp() * 1_000_000) - 1_000_000


async def test_the_same_key_gets_the_same_answer_and_makes_nothing_again(
    service: Service,
) -> None:
    key = str(uuid4())

    first = await service.send("POST", "/api/contacts", ANN, key=key)
    again = await service.send("POST", "/api/contacts", ANN, key=key)

    assert first == again
    assert first[0] == 201
    assert len(service.people_called("Ann Other")) == 1


async def test_a_repeated_answer_is_the_first_one_to_the_byte(service: Service) -> None:
    headers = {"Authorization": f"Bearer {token(COMPANY, '1001')}", "Idempotency-Key": "k"}
    told = []
    for _ in range(2):
        async with service.client.post("/api/contacts", json=ANN, headers=headers) as response:
            told.append((response.headers.get("Idempotency-Replayed"), await response.read()))

    assert told[0][1] == told[1][1]
    assert [replayed for replayed, _ in told] == [None, "true"]


async def test_a_key_used_for_something_else_is_refused(service: Service) -> None:
    key = str(uuid4())
    await service.send("POST", "/api/contacts", ANN, key=key)

    status, told = await service.send("POST", "/api/contacts", {"name": "Bob"}, key=key)

    assert (status, told["code"]) == (422, "idempotency_key_reused")
    assert service.people_called("Bob") == []


async def test_the_keys_of_two_users_are_two_keys(service: Service) -> None:
    one = await service.send("POST", "/api/contacts", ANN, key="k", user="1001")
    other = await service.send("POST", "/api/contacts", ANN, key="k", user="1002")

    assert (one[0], other[0]) == (201, 201)
    assert {person["owner_id"] for person in service.people_called("Ann Other")} == {1001, 1002}


async def test_of_many_at_once_under_one_key_one_is_carried_out(service: Service) -> None:
    service.double.server.faults = Faults(delay_s=0.3)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(service.send("POST", "/api/contacts", ANN, key="k"))
            for _ in range(8)
        ]

    answers = [task.result() for task in tasks]
    assert {status for status, _ in answers} == {201}
    assert len({told["data"]["pipedrivePersonId"] for _, told in answers}) == 1
    assert len(service.people_called("Ann Other")) == 1


async def test_who_finds_the_request_still_being_carried_out_hears_so(service: Service) -> None:
    service.double.server.faults = Faults(delay_s=0.9)
    slow = asyncio.create_task(service.send("POST", "/api/contacts", ANN, key="k"))
    await asyncio.wait([slow], timeout=0.1)

    status, told = await service.send("POST", "/api/contacts", ANN, key="k")

    assert (status, await slow) == (201, (201, told))


async def test_without_a_key_two_contacts_of_one_name_are_two(service: Service) -> None:
    await service.send("POST", "/api/contacts", {"name": "Twin"})
    await service.send("POST", "/api/contacts", {"name": "Twin"})

    assert len(service.people_called("Twin")) == 2


async def test_a_refusal_of_pipedrives_reaches_the_user_and_frees_the_key(
    service: Service,
) -> None:
    wrong = await service.send("POST", "/api/contacts", ANN, key="k", user="4242")
    right = await service.send("POST", "/api/contacts", ANN, key="k", user="1001")

    assert wrong[0] == 422
    assert wrong[1]["code"] == "pipedrive_refused"
    assert wrong[1]["error"] == "Pipedrive refused: User not found."
    assert right[0] == 201


async def test_a_company_that_is_not_connected_hears_so_as_of_its_sync(service: Service) -> None:
    headers = {"Authorization": f"Bearer {token(COMPANY + 1, '1001')}"}

    async with service.client.post("/api/contacts", json=ANN, headers=headers) as response:
        told = response.status, (await response.json())["code"]

    assert told == (409, "not_connected")


@pytest.mark.parametrize("fault", ["cut", "errors", "garbage", "html"])
async def test_what_was_made_without_an_answer_is_found_and_not_made_again(
    service: Service, fault: str
) -> None:
    service.double.server.faults = Faults(methods="POST", after=1.0, at_most=1, **{fault: 1.0})

    status, told = await service.send("POST", "/api/contacts", ANN, key="k")

    assert status == 201, told
    [person] = service.people_called("Ann Other")
    assert told["data"]["pipedrivePersonId"] == str(person["id"])


async def test_a_contact_is_made_without_its_job_title_where_pipedrive_keeps_none(
    service: Service,
) -> None:
    service.double.account.sight.has_contact_sync = False
    asked = {**ANN, "jobTitle": "CEO"}

    status, told = await service.send("POST", "/api/contacts", asked, key="k")

    assert status == 201, told
    [person] = service.people_called("Ann Other")
    assert told["data"]["pipedrivePersonId"] == str(person["id"])
    assert (told["data"]["jobTitle"], person["job_title"]) == (None, None)


async def test_what_was_made_without_its_job_title_and_an_answer_is_not_made_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    service.double.account.sight.has_contact_sync = False
    require_writable = Account._require_writable

    def and_then_make_unheard(account: Account, entity: Entity, body: Any) -> None:
        try:
            require_writable(account, entity, body)
        except Rejected:
            service.double.server.faults = Faults(errors=1.0, after=1.0, at_most=2)
            raise

    monkeypatch.setattr(Account, "_require_writable", and_then_make_unheard)
    asked = {**ANN, "jobTitle": "CEO"}

    lost = await service.send("POST", "/api/contacts", asked, key="k")
    service.double.server.faults = Faults()
    status, told = await service.send("POST", "/api/contacts", asked, key="k")

    assert (lost[0], status) == (503, 201)
    [person] = service.people_called("Ann Other")
    assert told["data"]["pipedrivePersonId"] == str(person["id"])


async def test_what_was_not_made_is_made_once_it_is_sure_that_it_was_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.double.server.faults = Faults(methods="POST", cut=1.0, after=0.0, at_most=1)

    lost = await service.send("POST", "/api/contacts", ANN, key="k")
    too_soon = await service.send("POST", "/api/contacts", ANN, key="k")
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    later = await service.send("POST", "/api/contacts", ANN, key="k")

    assert (lost[0], lost[1]["code"]) == (503, "unsettled")
    assert (too_soon[0], too_soon[1]["code"]) == (503, "unsettled")
    assert later[0] == 201
    assert len(service.people_called("Ann Other")) == 1


async def test_what_was_made_is_found_however_many_were_made_after_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    monkeypatch.setattr(making, "LOOKED_AT", 2)
    await _made_unheard(service)
    for _ in range(5):
        await service.double.account.create("person", {"name": "Somebody", "owner_id": 1001})

    status, told = await service.send("POST", "/api/contacts", ANN, key="k")

    assert status == 201
    [person] = service.people_called("Ann Other")
    assert told["data"]["pipedrivePersonId"] == str(person["id"])


async def test_where_there_is_no_time_to_look_at_all_that_was_made_since_nothing_is_made(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    monkeypatch.setattr(making, "LOOKED_AT", 1)
    await _made_unheard(service)
    for _ in range(12):
        await service.double.account.create("person", {"name": "Somebody", "owner_id": 1001})
    service.double.server.faults = Faults(methods="GET", delay_s=0.3)

    in_haste = await service.send("POST", "/api/contacts", ANN, key="k")
    service.double.server.faults = Faults()
    at_leisure = await service.send("POST", "/api/contacts", ANN, key="k")

    assert (in_haste[0], in_haste[1]["code"]) == (503, "unsettled")
    assert at_leisure[0] == 201
    assert len(service.people_called("Ann Other")) == 1


async def test_where_pipedrive_does_not_show_its_rows_nothing_is_made_again(
    service: Service, store: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    await _made_unheard(service)
    monkeypatch.setattr(service.double.server, "_api_token", "another")

    refused = await service.send("POST", "/api/contacts", ANN, key="k")
    still_open = await store.fetchval("SELECT count(*) FROM commands")

    assert (refused[0], refused[1]["code"]) == (503, "unsettled")
    assert still_open == 1


async def _made_unheard(service: Service) -> None:
    """By a request under `k` whose answer is lost, as is that of looking."""
    service.double.server.faults = Faults(errors=1.0, after=1.0, at_most=2)
    lost = await service.send("POST", "/api/contacts", ANN, key="k")
    assert (lost[0], lost[1]["code"]) == (503, "unsettled")
    service.double.server.faults = Faults()


async def test_who_has_no_key_and_asks_again_after_silence_goes_on_with_the_first_request(
    service: Service,
) -> None:
    service.double.server.faults = Faults(delay_s=1.5, methods="POST")  # carried out after we left
    silent = await service.send("POST", "/api/contacts", ANN)
    service.double.server.faults = Faults()

    async def asked_again() -> bool:
        status, _ = await service.send("POST", "/api/contacts", ANN)
        return status == 201

    assert (silent[0], silent[1]["code"]) == (503, "unsettled")
    await until(asked_again, 20)
    assert len(service.people_called("Ann Other")) == 1


async def test_who_has_no_key_and_asks_again_before_the_answer_gets_that_of_the_first_request(
    service: Service, store: db.Pool
) -> None:
    async def has_begun() -> bool:
        return bool(await store.fetchval("SELECT EXISTS (SELECT FROM commands)"))

    service.double.server.faults = Faults(delay_s=0.5)
    slow = asyncio.create_task(service.send("POST", "/api/contacts", ANN))
    await until(has_begun)

    again = await service.send("POST", "/api/contacts", ANN)

    assert again[0] == 201
    assert again == await slow
    assert len(service.people_called("Ann Other")) == 1


# Lets everyone look, and nobody begin.
NOBODY_BEGINS = "LOCK TABLE commands IN SHARE MODE"
WAITING = """
SELECT count(*) FROM pg_locks
 WHERE NOT granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_of_many_at_once_without_a_key_one_is_carried_out(
    service: Service, store: db.Pool
) -> None:
    service.double.server.faults = Faults(delay_s=0.5)

    async with asyncio.TaskGroup() as group, store.acquire() as conn, conn.transaction():
        await conn.execute(NOBODY_BEGINS)
        tasks = [group.create_task(service.send("POST", "/api/contacts", ANN)) for _ in range(6)]

        async def all_wait() -> bool:
            return bool(await conn.fetchval(WAITING) == len(tasks))

        await until(all_wait)

    answers = [task.result() for task in tasks]
    assert {status for status, _ in answers} == {201}
    assert len({told["data"]["pipedrivePersonId"] for _, told in answers}) == 1
    assert len(service.people_called("Ann Other")) == 1


# As a process leaves it that dies with Pipedrive's answer unread.
DIED = """
UPDATE commands SET status = NULL, answer = NULL, working_until = now() + interval '45 s';
UPDATE undertakings SET pipedrive_id = NULL, row = NULL,
                        working_until = now() + interval '45 s'
"""
TIME_IS_UP = (
    "UPDATE commands SET working_until = now(); UPDATE undertakings SET working_until = now()"
)


async def test_who_has_no_key_and_asks_again_just_after_a_kill_makes_nothing_a_second_time(
    service: Service, store: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAITED_S", 0.1)
    first = await service.send("POST", "/api/contacts", ANN)
    await store.execute(DIED)

    too_soon = await service.send("POST", "/api/contacts", ANN)
    await store.execute(TIME_IS_UP)
    later = await service.send("POST", "/api/contacts", ANN)

    assert (too_soon[0], too_soon[1]["code"]) == (409, "in_progress")
    assert later[0] == 201
    assert later[1]["data"]["id"] == first[1]["data"]["id"]
    assert len(service.people_called("Ann Other")) == 1


async def test_a_row_of_another_request_is_not_taken_for_ones_own(service: Service) -> None:
    twin = await service.send("POST", "/api/contacts", ANN)
    service.double.server.faults = Faults(methods="POST", cut=1.0, after=1.0, at_most=1)

    mine = await service.send("POST", "/api/contacts", ANN)

    assert (twin[0], mine[0]) == (201, 201)
    assert twin[1]["data"]["pipedrivePersonId"] != mine[1]["data"]["pipedrivePersonId"]
    assert len(service.people_called("Ann Other")) == 2


async def test_a_request_that_pipedrive_never_saw_is_told_apart_from_one_of_unknown_fate(
    service: Service,
) -> None:
    service.double.server.limits.rules.daily_tokens = 0

    status, told = await service.send("POST", "/api/contacts", ANN, key="k")

    assert (status, told["code"]) == (503, "pipedrive_day_spent")
    assert service.people_called("Ann Other") == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "'name'"),
        ({"name": "  "}, "'name'"),
        ({"name": "A\x00B"}, "'name'"),
        ({"name": "x" * 256}, "'name'"),
        ({"name": "A", "email": "nowhere"}, "'email'"),
        ({"name": "A", "phone": "none"}, "'phone'"),
        ({"name": "A", "extra": 1}, "'extra'"),
        (
            {"name": "A", "organizationId": str(UUID(int=1)), "organizationName": "B"},
            "organizationId or organizationName",
        ),
    ],
)
async def test_a_body_that_cannot_be_is_refused_before_anything_is_done(
    service: Service, body: Any, named: str
) -> None:
    status, told = await service.send("POST", "/api/contacts", body)

    assert (status, told["code"]) == (400, "bad_request")
    assert named in told["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("PATCH", f"/api/contacts/{UUID(int=1)}", {"addedToCampaign": "no"}, "addedToCampaign"),
        ("PATCH", f"/api/contacts/{UUID(int=1)}", {"addedToCampaign": 1}, "addedToCampaign"),
        ("PATCH", f"/api/contacts/{UUID(int=1)}", {"added_to_campaign": True}, "addedToCampaign"),
        ("POST", "/api/campaign", {"contactIds": [], "addedToCampaign": True}, "contactIds"),
        ("POST", "/api/activities", {**A_CALL, "dueDate": 1_700_000_000}, "dueDate"),
        ("POST", "/api/activities", {**A_CALL, "dueDate": "soon"}, "dueDate"),
        ("POST", "/api/activities", {**A_CALL, "dueDate": "9999-12-31"}, "dueDate"),
        ("POST", "/api/activities", {**A_CALL, "dueDate": "0001-01-01"}, "dueDate"),
        ("POST", "/api/activities", {**A_CALL, "done": "yes"}, "done"),
    ],
)
async def test_what_only_resembles_a_value_is_refused(
    service: Service, method: str, path: str, body: Any, named: str
) -> None:
    status, told = await service.send(method, path, body)

    assert (status, told["code"]) == (400, "bad_request")
    assert f"'{named}'" in told["error"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/contacts", ANN),
        ("POST", "/api/activities", {}),
        ("PATCH", "/api/contacts/x", {}),
        ("POST", "/api/campaign", {}),
    ],
)
async def test_nobody_does_anything_without_a_token(
    service: Service, method: str, path: str, body: Any
) -> None:
    async with service.client.request(method, path, json=body) as response:
        assert response.status == 401


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel"])
async def test_a_key_that_no_header_should_hold_is_refused(service: Service, key: str) -> None:
    status, told = await service.send("POST", "/api/contacts", ANN, key=key)

    assert (status, told["code"]) == (400, "bad_request")


async def test_what_a_process_made_before_it_died_is_found_by_the_next_try(
    service: Service, store: db.Pool
) -> None:
    asker, it = Asker(COMPANY, 1001), Undertaking(COMPANY, "person", "1001:+k")
    first = await service.send("POST", "/api/contacts", ANN, key="k")
    await store.execute("UPDATE commands SET status = NULL, answer = NULL")
    await command_store.let_go(store, asker, "+k")
    await store.execute("UPDATE undertakings SET pipedrive_id = NULL, row = NULL")
    await undertaking_store.let_go(store, it)

    again = await service.send("POST", "/api/contacts", ANN, key="k")

    assert first[0] == again[0] == 201
    assert first[1]["data"]["id"] == again[1]["data"]["id"]
    assert len(service.people_called("Ann Other")) == 1


async def test_an_organization_that_one_user_made_unheard_is_found_by_the_next_who_needs_it(
    service: Service, store: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Undertaking(COMPANY, "organization", str(uuid4()))
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    async with Clients(Tenants(service.settings.tenants_file), service.budget) as clients:
        pipedrive, once = clients.of(COMPANY), Making(store, DEADLINE_S).once
        await pipedrive.owner()
        service.double.server.faults = Faults(errors=1.0, after=1.0, at_most=2)  # its look, too
        with pytest.raises(Unsettled):
            await once(pipedrive, it, an_organization(owner_id=1001))

        found = await once(pipedrive, it, an_organization(owner_id=1002))

        made = await pipedrive.get("/v2/organizations", {"sort_by": "id", "limit": 500})
    assert [row["id"] for row in made if row["name"] == "Ours & Co"] == [found["id"]]
    assert found["owner_id"] == 1001


async def test_who_looks_for_an_organization_too_long_makes_none_as_another_may_be_at_it_by_then(
    service: Service, store: db.Pool
) -> None:
    it = Undertaking(COMPANY, "organization", str(uuid4()))
    once = Making(store, deadline_s=0.2).once

    async def looks_for_ever() -> dict[str, Any] | None:
        await asyncio.Event().wait()
        return None

    async with Clients(Tenants(service.settings.tenants_file), service.budget) as clients:
        pipedrive = clients.of(COMPANY)
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="took too long"):
                await once(pipedrive, it, an_organization(owner_id=1001), instead=looks_for_ever)

    sent_at = await store.fetchval("SELECT sent_at FROM undertakings WHERE name = $1", it.name)
    assert sent_at is None


def an_organization(owner_id: int) -> Wanted:
    return wanted.organization(name="Ours & Co", owner_id=owner_id, address=None, website=None)


async def test_after_a_day_a_key_is_a_new_one(service: Service, store: db.Pool) -> None:
    await service.send("POST", "/api/contacts", ANN, key="k")
    await store.execute("UPDATE commands SET asked_at = asked_at - interval '25 hours'")
    await store.execute("UPDATE undertakings SET begun_at = begun_at - interval '25 hours'")

    status, _ = await service.send("POST", "/api/contacts", {"name": "Another"}, key="k")

    assert status == 201
    assert len(service.people_called("Another")) == 1


async def test_a_key_that_is_a_new_one_does_not_bring_back_what_it_was_used_for_first(
    service: Service, store: db.Pool
) -> None:
    """What is made lives from when it was begun, which may be long after the key came."""
    first = await service.send("POST", "/api/contacts", ANN, key="k")
    await store.execute("UPDATE commands SET asked_at = asked_at - interval '25 hours'")

    status, told = await service.send("POST", "/api/contacts", {"name": "Another"}, key="k")

    assert (first[0], status) == (201, 201)
    [another] = service.people_called("Another")
    assert told["data"]["pipedrivePersonId"] == str(another["id"])


async def test_what_kafka_does_not_take_goes_to_the_spool_and_the_answer_names_no_position(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise Unavailable("Kafka: it is away")

    monkeypatch.setattr(Publisher, "place", refuse)

    status, told = await service.send("POST", "/api/contacts", ANN)

    assert (status, told["data"]["after"]) == (201, None)


async def test_a_command_waits_a_moment_for_kafka_to_be_back_and_names_its_position(
    service: Service,
) -> None:
    service.telling.outlet.lose("it missed its deadline")

    contact = Contact(ids.contact(COMPANY, 7), 7, datetime.now(UTC))
    told = await service.telling.tell([telling.campaign_record(COMPANY, contact, added=True)])

    assert told is not None
    [position] = decode(told).positions
    assert (await service.record_at(*position))["entity_id"] == "7"


async def test_a_contact_on_its_way_to_query_is_waited_for_and_none_that_is_not(
    infra: Infra, store_url: str, tmp_path: Path
) -> None:
    async with (
        _query(shows := asyncio.Event()) as query_url,
        servers.new_topics(infra) as prefix,
        serving(infra, store_url, prefix, tmp_path, query_url=query_url) as one,
    ):
        asked = "POST", "/api/activities?after=token", {**A_CALL, "contactId": str(A_CONTACT)}
        too_soon = await one.send(*asked, key="a call")
        shows.set()
        there = await one.send(*asked, key="a call")
        nobodys = await one.send("POST", "/api/activities?after=token", A_CALL)

    assert (too_soon[0], too_soon[1]["code"]) == (503, "unavailable")
    assert (there[0], there[1]["data"]["contactId"]) == (201, str(A_CONTACT))
    assert (nobodys[0], nobodys[1]["error"]) == (404, "You have no such contact.")


BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"


@pytest.mark.parametrize(
    ("sent", "heard"),
    [(BROWSER, BROWSER), (f"{BROWSER} \udcff", f"{BROWSER} ?"), ("", "")],
)
async def test_whom_a_command_asks_in_the_users_name_hears_of_the_users_browser(
    infra: Infra, store_url: str, tmp_path: Path, sent: str, heard: str
) -> None:
    asked_by: list[str] = []
    (shows := asyncio.Event()).set()
    async with (
        _query(shows, asked_by=asked_by) as query_url,
        servers.new_topics(infra) as prefix,
        serving(infra, store_url, prefix, tmp_path, query_url=query_url) as one,
    ):
        status = await _as_browser(one, sent)

    assert status == 404
    assert asked_by == [heard]


async def _as_browser(service: Service, user_agent: str) -> int:
    """By hand: a client sends no bytes that are not UTF-8."""
    url = service.client.make_url("/api/activities")
    content = orjson.dumps(A_CALL)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {token(COMPANY, '1001')}\r\nUser-Agent: {user_agent}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode("utf-8", "surrogateescape") + content)
    answered = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answered.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, {"success": False, "error": "Nothing here.", "code": "no_such_address"}),
        (405, {"success": False, "error": "Not so.", "code": "method_not_allowed"}),
        (404, {"message": "no Route matched with those values"}),
        (404, []),
        (503, {"success": False, "error": "It is starting.", "code": "unavailable"}),
        (None, None),
    ],
)
async def test_what_is_not_said_of_the_contact_does_not_count_as_said_of_it(
    infra: Infra, store_url: str, tmp_path: Path, status: int | None, answer: Any
) -> None:
    async with (
        _answering(status, answer) as query_url,
        servers.new_topics(infra) as prefix,
        serving(infra, store_url, prefix, tmp_path, query_url=query_url) as one,
    ):
        headers = {"Authorization": f"Bearer {token(COMPANY, '1001')}"}
        async with one.client.post("/api/activities", json=A_CALL, headers=headers) as response:
            told = response.status, (await response.json())["code"]
            again_after = response.headers.get("Retry-After")

    assert told == (503, "unavailable")
    assert again_after is not None


@asynccontextmanager
async def _answering(status: int | None, told: Any) -> AsyncIterator[str]:
    """A service that answers so whatever it is asked; none is there where it has no status."""

    async def answer(_: web.Request) -> web.Response:
        assert status is not None
        return web.json_response(told, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        if status is None:
            await server.close()
        yield url


@pytest.mark.parametrize("key", [None, "a call"])
async def test_what_was_made_unheard_is_found_also_by_who_was_refused_in_between(
    infra: Infra,
    store_url: str,
    store: db.Pool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
) -> None:
    monkeypatch.setattr(making, "SETTLED", timedelta(0))
    contacts = {A_CONTACT}
    (shows := asyncio.Event()).set()
    async with (
        _query(shows, contacts) as query_url,
        servers.new_topics(infra) as prefix,
        serving(infra, store_url, prefix, tmp_path, query_url=query_url) as one,
    ):
        await store.execute("TRUNCATE commands, undertakings")
        asked = "POST", "/api/activities", {**A_CALL, "contactId": str(A_CONTACT)}
        before = len(_activities(one))
        one.double.server.faults = Faults(errors=1.0, after=1.0, at_most=2, paths="/v2")
        unheard = await one.send(*asked, key=key)
        one.double.server.faults = Faults()
        contacts.clear()
        refused = await one.send(*asked, key=key)
        contacts.add(A_CONTACT)
        found = await one.send(*asked, key=key)

        made = _activities(one)[before:]

    assert (unheard[0], unheard[1]["code"]) == (503, "unsettled")
    assert refused[0] == 404
    assert found[0] == 201
    assert [str(each) for each in made] == [found[1]["data"]["id"]]


def _activities(service: Service) -> list[Any]:
    """The ids that Pipedrive has."""
    return list(service.double.account.tables["activity"].walk(Order.ID))


@asynccontextmanager
async def _query(
    shows: asyncio.Event,
    contacts: Collection[UUID] = (A_CONTACT,),
    *,
    asked_by: list[str] | None = None,
) -> AsyncIterator[str]:
    """A query service that knows of these contacts, and shows them when it is told to. It notes
    the browsers it is asked by.
    """

    async def contact(request: web.Request) -> web.Response:
        if asked_by is not None:
            asked_by.append(request.headers.get("User-Agent", ""))
        state = {"X-After": "shown" if shows.is_set() else "pending"}
        if shows.is_set() and UUID(request.match_info["id"]) in contacts:
            told = {
                "id": str(A_CONTACT),
                "pipedrivePersonId": "1",
                "updatedAt": "2026-01-02T03:04:05Z",
            }
            return web.json_response({"success": True, "data": told}, headers=state)
        no = {"success": False, "error": "You have no such contact.", "code": "not_found"}
        return web.json_response(no, status=404, headers=state)

    app = web.Application()
    app.router.add_get("/api/contacts/{id}", contact)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_twenty_new_contacts_at_once_are_twenty(service: Service) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(service.send("POST", "/api/contacts", {"name": f"Person {n}"}))
            for n in range(20)
        ]

    assert {task.result()[0] for task in tasks} == {201}
    assert len({task.result()[1]["data"]["id"] for task in tasks}) == 20
