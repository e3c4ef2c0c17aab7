"""The webhook door on real Kafka: each answer of the contract, and what is in the log after it."""

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from services.ingest import storage
from services.ingest.api import Door
from services.ingest.intake import Intake
from services.ingest.preparing import TOPICS
from services.ingest.settings import IngestSettings
from shared import topics
from shared.app import application
from shared.events import PersonChange, parse
from shared.http_connection import PARSING
from shared.kafka.client import ensure_topics
from shared.kafka.publisher import Publisher
from shared.observability import WEBHOOKS
from shared.tenants import Tenants
from tests.support.cluster import Cluster
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = pytest.mark.integration

COMPANY = 8_087_566
PATH = "/webhooks/pipedrive"
MAX_BODY_BYTES = 64 * 1024
READ_S = 20.0
TENANT = {"company_id": COMPANY, "webhook_user": "hook", "webhook_password": "geheim:ß"}


@dataclass(frozen=True, slots=True)
class Service:
    client: TestClient[Any, Any]
    settings: IngestSettings
    publisher: Publisher
    tenants_file: Path

    async def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        found = {"Authorization": basic("hook", "geheim:ß")} | headers
        async with self.client.post(PATH, data=body, headers=found) as response:
            return response.status, await response.json()

    async def records(self, topic: str, count: int) -> list[ConsumerRecord[bytes, bytes]]:
        """The topic's first records, in no order across partitions."""
        consumer = AIOKafkaConsumer(
            self.settings.kafka_topic_prefix + topic,
            bootstrap_servers=self.settings.kafka_bootstrap_servers,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            async with asyncio.timeout(READ_S):
                return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def body(name: str = "Ann", *, custom: str | None = None, **meta: Any) -> bytes:
    whole = {
        "action": "change",
        "company_id": str(COMPANY),
        "entity": "person",
        "entity_id": "8",
        "id": "7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
        "timestamp": "2026-05-27T06:54:41.426Z",
        "version": "2.0",
    }
    data: dict[str, Any] = {"id": 8, "name": name}
    if custom is not None:
        data["custom_fields"] = {"f" * 40: custom}
    return json.dumps({"data": data, "meta": whole | meta}).encode()


def counted(outcome: str, entity: str = "unknown") -> float:
    return float(WEBHOOKS.labels(outcome, entity)._value.get())


@asynccontextmanager
async def serving(
    kafka: str,
    prefix: str,
    folder: Path,
    *,
    deadline_s: float = 20.0,
    spool_max_bytes: int = 1024**3,
) -> AsyncIterator[Service]:
    """The deadline leaves time for topics that have only just been created."""
    tenants_file = folder / "tenants.json"
    write_tenants(tenants_file, TENANT)
    settings = IngestSettings(
        kafka_bootstrap_servers=kafka,
        kafka_topic_prefix=prefix,
        kafka_partitions=2,
        tenants_file=tenants_file,
        publish_deadline_seconds=deadline_s,
        spool_dir=folder / "spool",
        spool_max_bytes=spool_max_bytes,
    )
    await ensure_topics(settings, TOPICS, [topics.WEBHOOKS])
    tenants = Tenants(tenants_file)
    stop = asyncio.Event()
    async with (
        Publisher(settings, deadline_s=20) as publisher,
        AsyncExitStack() as held,
        asyncio.TaskGroup() as group,
    ):
        outlet, spooling = await held.enter_async_context(
            storage.stored(settings, publisher, lambda: True)
        )
        loops = (tenants.watch, *spooling)
        door = Door(tenants, Intake(outlet), MAX_BODY_BYTES)
        app = application(
            door.endpoints(),
            title="ingest",
            pings={"kafka": publisher.ping},
            max_body_bytes=MAX_BODY_BYTES,
        )
        for loop in loops:
            group.create_task(loop(stop))
        server = TestServer(app)
        await server.start_server(**PARSING)
        async with TestClient(server) as client:
            yield Service(client, settings, publisher, tenants_file)
        stop.set()


def write_tenants(file: Path, *tenants: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(tenants))


@pytest.fixture
async def service(infra: Infra, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(infra.kafka, topic_prefix, tmp_path) as service:
        yield service


async def test_a_webhook_is_in_the_log_when_it_is_answered(service: Service) -> None:
    before = counted("accepted", "person")

    status, answer = await service.post(body())

    event_id = "7c812ffd-8f50-45ea-a597-b8fcba2da9c0"
    assert (status, answer) == (200, {"success": True, "data": {"eventId": event_id}})
    (record,) = await service.records("pipedrive.persons", 1)
    assert record.key == b"%d:8" % COMPANY
    change = parse(PersonChange, record.value)
    assert (change.event_id, change.version) == (event_id, 1_779_864_881_426_000)
    assert change.data is not None
    assert change.data.name == "Ann"
    assert (datetime.now(UTC) - change.received_at).total_seconds() < 60
    assert counted("accepted", "person") == before + 1


async def test_many_at_once_are_each_stored_in_their_own_topic(service: Service) -> None:
    entities = ("person", "deal", "organization", "activity", "user", "note", "task")

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                service.post(body(entity=entities[n % 7], entity_id=str(n), id=f"{n}"))
            )
            for n in range(140)
        ]

    assert all(task.result()[0] == 200 for task in tasks)
    for number, entity in enumerate(entities):
        topic = topics.OF_ENTITY.get(entity, topics.OTHER).name
        keys = {record.key for record in await service.records(topic, 20)}
        assert keys == {b"%d:%d" % (COMPANY, n) for n in range(number, 140, 7)}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ?",
        "Bearer x",
        basic("hook", "wrong"),
        basic("somebody", "geheim:ß"),
        basic("", ""),
    ],
)
async def test_who_cannot_prove_to_be_a_tenant_is_turned_away(
    service: Service, authorization: str
) -> None:
    status, answer = await service.post(body(), Authorization=authorization)

    assert (status, answer["success"], answer["code"]) == (401, False, "unauthorized")


async def test_strangers_are_turned_away_before_their_body_is_read(service: Service) -> None:
    url = str(service.client.make_url(PATH))

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with (
        asyncio.timeout(30),
        ClientSession() as session,
        session.post(url, data=endless()) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


async def test_the_scheme_is_read_in_any_case(service: Service) -> None:
    authorization = basic("hook", "geheim:ß").replace("Basic", "bAsIc ")

    assert (await service.post(body(), Authorization=authorization))[0] == 200


async def test_credentials_speak_for_their_own_company_only(service: Service) -> None:
    before = counted("foreign_company", "person")

    status, answer = await service.post(body(company_id="12"))

    assert (status, answer["code"]) == (403, "foreign_company")
    assert counted("foreign_company", "person") == before + 1
    assert (await service.post(body(name="after")))[0] == 200
    (record,) = await service.records("pipedrive.persons", 1)
    assert b"after" in (record.value or b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"data": {"id": 8}}',
        pytest.param(body(entity="lead", entity_id="x" * 8_000), id="a lead's endless id"),
    ],
)
async def test_what_cannot_be_read_is_put_aside_and_accepted(
    service: Service, content: bytes
) -> None:
    status, answer = await service.post(content)

    assert status == 200
    (record,) = await service.records("pipedrive.webhooks.dlq", 1)
    assert record.value == content
    assert record.key == f"{COMPANY}:{answer['data']['eventId']}".encode()
    headers = dict(record.headers)
    assert headers["topic"] == b"pipedrive.webhooks"
    assert headers["reason"]


@pytest.mark.parametrize("framing", ["length", "chunked", "bomb"])
async def test_a_body_over_the_limit_is_refused_however_it_is_sent(
    service: Service, framing: str
) -> None:
    content = b" " * (MAX_BODY_BYTES + 1)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 8_000):
            yield content[start : start + 8_000]

    match framing:
        case "length":
            status, answer = await service.post(content)
        case "chunked":
            status, answer = await service.post(chunks())
        case _:
            bomb = gzip.compress(b" " * 50_000_000)
            status, answer = await service.post(bomb, **{"Content-Encoding": "gzip"})

    assert (status, answer["success"], answer["code"]) == (413, False, "too_large")


async def test_a_body_of_exactly_the_limit_is_taken(service: Service) -> None:
    content = body().ljust(MAX_BODY_BYTES)

    assert (await service.post(content))[0] == 200


async def test_a_compressed_body_is_read(service: Service) -> None:
    status, _ = await service.post(gzip.compress(body()), **{"Content-Encoding": "gzip"})

    assert status == 200
    (record,) = await service.records("pipedrive.persons", 1)
    assert b"Ann" in (record.value or b"")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_cannot_be_decoded_is_put_aside_as_it_came(
    service: Service, encoding: str
) -> None:
    packed = gzip.compress(body())[:-9]

    status, _ = await service.post(packed, **{"Content-Encoding": encoding})

    assert status == 200
    (letter,) = await service.records("pipedrive.webhooks.dlq", 1)
    assert letter.value == packed


async def test_a_body_that_is_readable_whatever_its_header_claims_is_read(
    service: Service,
) -> None:
    status, _ = await service.post(body(), **{"Content-Encoding": "gzip"})

    assert status == 200
    assert len(await service.records("pipedrive.persons", 1)) == 1


async def test_a_sender_who_hangs_up_leaves_the_service_well(service: Service) -> None:
    url = service.client.make_url(PATH)
    _, writer = await asyncio.open_connection(url.host, url.port)
    authorization = basic("hook", "geheim:ß")
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await service.post(body()))[0] == 200


async def test_tenants_are_read_again_without_a_restart(service: Service) -> None:
    renewed = {**TENANT, "webhook_password": "renewed"}
    write_tenants(service.tenants_file, renewed)

    async def is_renewed() -> bool:
        status, _ = await service.post(body(), Authorization=basic("hook", "renewed"))
        return status == 200

    await until(is_renewed)
    assert (await service.post(body()))[0] == 401


async def test_a_broken_tenants_file_changes_nothing(service: Service) -> None:
    service.tenants_file.write_text("[{")
    other = service.tenants_file.with_name("other.json")
    write_tenants(other, TENANT, {**TENANT, "company_id": 7, "webhook_user": "seven"})

    assert (await service.post(body()))[0] == 200
    other.replace(service.tenants_file)

    async def seven_is_known() -> bool:
        answered = await service.post(
            body(company_id="7"), Authorization=basic("seven", "geheim:ß")
        )
        return answered[0] == 200

    await until(seven_is_known)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", PATH, 405), ("POST", "/x", 404)])
async def test_other_addresses_answer_in_the_same_shape(
    service: Service, method: str, path: str, status: int
) -> None:
    async with service.client.request(method, path) as response:
        assert response.status == status
        assert (await response.json())["success"] is False


async def test_while_kafka_is_away_webhooks_are_taken_at_once_and_reach_it_after(
    killable: Infra, topic_prefix: str, tmp_path: Path
) -> None:
    async with serving(killable.kafka, topic_prefix, tmp_path, deadline_s=0.25) as service:
        assert (await service.post(body(entity_id="0")))[0] == 200
        await asyncio.to_thread(killable.kill, "kafka")
        try:
            for turn in range(3):
                began = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(service.post(body(entity_id=f"{1 + 20 * turn + n}")))
                        for n in range(20)
                    ]
                assert time.monotonic() - began < 1.5
                assert {task.result()[0] for task in tasks} == {200}
        finally:
            await asyncio.to_thread(killable.start, "kafka")

        keys = {record.key for record in await service.records("pipedrive.persons", 61)}

        assert keys == {b"%d:%d" % (COMPANY, n) for n in range(61)}


async def test_with_kafka_away_and_the_spool_full_webhooks_are_refused_until_it_is_back(
    killable: Infra, topic_prefix: str, tmp_path: Path
) -> None:
    limit = 1024 * 1024
    async with serving(
        killable.kafka, topic_prefix, tmp_path, deadline_s=0.25, spool_max_bytes=limit
    ) as service:
        large = body(custom="x" * 60_000)  # names are cut
        await asyncio.to_thread(killable.kill, "kafka")
        try:
            answers = [await service.post(large) for _ in range(20)]
        finally:
            await asyncio.to_thread(killable.start, "kafka")

        taken = [status for status, _ in answers].count(200)
        assert [status for status, _ in answers] == [200] * taken + [503] * (20 - taken)
        assert limit // 2 < taken * len(large) < limit
        assert answers[-1][1]["code"] == "unavailable"
        assert "the spool is full" in answers[-1][1]["error"]
        assert len(await service.records("pipedrive.persons", taken)) == taken

        async def is_taken() -> bool:
            return (await service.post(body()))[0] == 200

        await until(is_taken, 30)


async def test_the_service_makes_the_topics_it_needs_and_says_when_it_is_ready(
    infra: Infra, topic_prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(
        tmp_path,
        {"KAFKA_BOOTSTRAP_SERVERS": infra.kafka, "KAFKA_TOPIC_PREFIX": topic_prefix},
    )
    cluster.write_tenants([TENANT])
    async with cluster:
        instance = cluster.start("ingest")
        await cluster.ready(instance)

        async def is_taken() -> bool:
            headers = {"Authorization": basic("hook", "geheim:ß")}
            url = instance.url + PATH
            async with cluster.http.post(url, data=b"unreadable", headers=headers) as response:
                return response.status == 200

        await until(is_taken, 30)
        assert await instance.stop() == 0
