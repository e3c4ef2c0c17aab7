"""What merely waits is alive; what is stuck is not, and says which of its loops it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from devstack import ports
from shared import db, heart, migrating, outbox, service, topics
from shared.app import preparing
from shared.kafka import consumer as consuming
from shared.kafka.consumer import Apply, Consumer, Received
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Publisher, Record
from shared.observability import CONSUMER_RESTARTS, OUTAGE_WAITS
from shared.outbox import Relay
from shared.settings import StoreSettings
from shared.states import ContactLink
from tests.integration.test_consumer import TABLE, a_note, note_down
from tests.support import proxy
from tests.support.cluster import Cluster, Instance, variables
from tests.support.infra import Infra
from tests.support.loops import running
from tests.support.pipe import COMPANY, a_tenant
from tests.support.proxy import Weather
from tests.support.waiting import answers, until

pytestmark = pytest.mark.integration

SCHEMA = "noted"


@asynccontextmanager
async def reading(
    settings: StoreSettings, database_url: str, folder: Path, apply: Apply
) -> AsyncIterator[Publisher]:
    """A consumer at work."""
    await service.prepare_store(database_url, SCHEMA, folder, asyncio.Event())
    async with (
        db.pool(database_url, SCHEMA, size=2) as pool,
        Publisher(settings, deadline_s=20) as publisher,
    ):
        consumer = Consumer(
            settings,
            service="noting",
            topics=[topics.NOTES],
            pool=pool,
            apply=apply,
            publisher=publisher,
        )
        async with running(consumer.run):
            yield publisher


def the_settings(infra: Infra, prefix: str) -> StoreSettings:
    return StoreSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=prefix,
        kafka_group_prefix=prefix,
        kafka_partitions=1,
    )


async def is_stuck(*names: str) -> bool:
    return heart.stuck() == list(names)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_consumer_that_waits_for_kafka_stays_alive(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """`answers`: the port is closed. Else it is open, and silent: a broker that was frozen."""
    monkeypatch.setattr(consuming, "START_S", 0.3)
    monkeypatch.setattr(heart, "PATIENCE_S", 6.0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if answers:
        server.close()
        await server.wait_closed()
    settings = StoreSettings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    count = CONSUMER_RESTARTS.labels("Unavailable")._value.get
    before = count()
    try:
        async with reading(settings, database_url, tmp_path, note_down):

            async def has_waited_long() -> bool:
                assert heart.stuck() == []
                return bool(count() >= before + 7)

            await until(has_waited_long, 60)
    finally:
        server.close()


async def test_a_consumer_that_never_comes_back_from_a_batch_is_stuck(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = the_settings(infra, topic_prefix)
    await service.prepare_topics(settings, [topics.NOTES], asyncio.Event())
    entered = asyncio.Event()

    async def hang(_: db.Connection, facts: Sequence[Received]) -> None:
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(heart, "PATIENCE_S", 3.0)
    async with reading(settings, database_url, tmp_path, hang) as publisher:
        await publisher.publish([a_note(1)])
        await entered.wait()

        await until(lambda: is_stuck("Consumer.run"))


async def test_a_relay_that_hangs_is_stuck_and_one_that_has_nothing_to_do_is_not(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(outbox, "IDLE_S", 0.05)
    monkeypatch.setattr(heart, "PATIENCE_S", 2.0)
    stop = asyncio.Event()
    await service.prepare_store(database_url, SCHEMA, tmp_path, stop)
    beats = counted_beats(monkeypatch)
    async with (
        db.pool(database_url, SCHEMA, size=1) as pool,
        Hanging(the_settings(infra, topic_prefix), SCHEMA, deadline_s=5) as publisher,
        running(Relay(database_url, SCHEMA, publisher).run),
    ):

        async def has_idled() -> bool:
            return len(beats) > 100

        await until(has_idled, 60)
        async with pool.acquire() as conn:
            link = ContactLink(version=1, company_id=1, person_id=1)
            await outbox.put(conn, topics.CONTACT_LINKS, [link])

        await until(lambda: is_stuck("Relay.run"))


async def test_a_loop_that_waits_out_a_silent_postgres_is_not_stuck(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections stay open, and nothing answers any more in the middle of a transaction."""
    monkeypatch.setattr(db, "ANSWER_S", 1.5)
    monkeypatch.setattr(db, "CONNECT_TIMEOUT_S", 1.5)
    monkeypatch.setattr(heart, "PATIENCE_S", 30.0)
    settings = the_settings(infra, topic_prefix)
    (tmp_path / "0001_noted.sql").write_text(TABLE)
    await service.prepare_topics(settings, [topics.NOTES], asyncio.Event())
    tries = 0
    count = OUTAGE_WAITS.labels("consumer")._value.get
    before = count()

    async def silenced(conn: db.Connection, facts: Sequence[Received]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await link.turn(Weather.HALF_OPEN)
        await note_down(conn, facts)

    async def has_waited_for_long() -> bool:
        assert heart.stuck() == []
        return bool(count() >= before + 4)

    async def is_noted() -> bool:
        async with db.pool(database_url, SCHEMA, size=1) as pool:
            return bool(await pool.fetchval("SELECT count(*) FROM noted") == 1)

    async with proxy.before(database_url) as link:
        url = proxy.through(database_url, link)
        async with reading(settings, url, tmp_path, silenced) as publisher:
            await publisher.publish([a_note(1)])
            await until(has_waited_for_long, 120)
            await link.turn(Weather.FAIR)
            await until(is_noted, 90)


async def test_services_that_find_no_server_at_their_start_wait_alive(
    infra: Infra, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    async with proxy.before(database_url) as link:
        url = proxy.through(database_url, link)
        names = variables(infra.kafka, url, infra.redis, topic_prefix, partitions=1)
        await link.turn(Weather.REFUSED)
        async with Cluster(tmp_path, names) as cluster:
            cluster.write_tenants([a_tenant(COMPANY)])
            started = [cluster.start(name) for name in ("orgs", "scoring", "query")]
            for instance in started:
                await until(lambda here=instance: answers(cluster.http, here.url + "/healthz"), 60)
                await until(
                    lambda here=instance: answers(cluster.http, here.url + "/readyz", 503), 60
                )
                assert await answers(cluster.http, instance.url + "/healthz")
                status, body = await cluster.get(instance.url + "/api/anything", COMPANY, "1")
                assert (status, body["code"]) == (503, "unavailable")
                await until(lambda here=instance: waits_for_postgres(cluster, here))

            await link.turn(Weather.FAIR)

            for instance in started:
                await cluster.ready(instance)


async def test_services_that_find_no_kafka_at_their_start_answer_what_they_know(
    infra: Infra, topic_prefix: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    paths = {
        "orgs": "/api/organizations/search?q=acme",
        "scoring": "/api/scoring/weights",
        "query": "/api/my-500",
    }
    async with proxy.before(f"kafka://{infra.kafka}") as link:
        await link.turn(Weather.REFUSED)
        names = variables(
            f"127.0.0.1:{link.port}", database_url, redis_url, topic_prefix, partitions=1
        )
        async with Cluster(tmp_path, names) as cluster:
            cluster.write_tenants([a_tenant(COMPANY)])
            started = [cluster.start(name) for name in paths]
            for instance in started:
                await cluster.ready(instance)
                url = instance.url + paths[instance.service]
                assert (await cluster.get(url, COMPANY, "1"))[0] == 200
                said = await dependencies(cluster, instance)
                assert said["kafka"].startswith("away, changes are delayed: Kafka: ")
                assert said["consumer"].startswith("waiting for Kafka: Kafka: ")

            # A worker alone has nothing to do without it.
            alone = cluster.start("query", "projector")
            await until(lambda: answers(cluster.http, alone.url + "/readyz", 503))
            started.append(alone)

            # The broker tells clients of its own address: there they go once they have found it.
            await link.turn(Weather.FAIR)

            async def have_joined() -> bool:
                states = [await dependencies(cluster, each) for each in started]
                return {each.get("consumer") for each in states} == {"ok"}

            await until(have_joined, 90)
            for instance in started:
                await cluster.ready(instance)


async def waits_for_postgres(cluster: Cluster, instance: Instance) -> bool:
    said = await dependencies(cluster, instance)
    return said["start"].startswith("migrations: Postgres: ")


async def dependencies(cluster: Cluster, instance: Instance) -> dict[str, str]:
    async with cluster.http.get(instance.url + "/readyz") as response:
        said: dict[str, str] = (await response.json())["data"]["dependencies"]
        return said


async def test_a_start_that_hangs_is_stuck_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heart, "PATIENCE_S", 1.0)
    port = ports.free()
    url = f"http://127.0.0.1:{port}/healthz"

    async def says() -> tuple[int, str]:
        async with http.get(url) as response:
            return response.status, (await response.json()).get("error", "")

    async def is_stuck_at_its_start() -> bool:
        return await says() == (503, "No progress: start.")

    async with (
        aiohttp.ClientSession() as http,
        preparing(host="127.0.0.1", port=port),
    ):
        heart.beat(3600.0)
        assert await says() == (200, "")
        heart.beat()
        await until(is_stuck_at_its_start)


async def test_a_start_that_waits_for_anothers_migration_is_not_stuck(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "PATIENCE_S", 3.0)
    looks = counted_beats(monkeypatch)
    monkeypatch.setattr(migrating, "LOCK_LOOK_S", 0.05)
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", migrating.SETTINGS_LOCK)
        async with running(partial(service.prepare_store, database_url, SCHEMA, tmp_path)):

            async def has_looked_for_long() -> bool:
                return len(looks) > 100

            await until(has_looked_for_long)
            await other.execute("SELECT pg_advisory_unlock($1)", migrating.SETTINGS_LOCK)

            async def is_migrated() -> bool:
                sql = "SELECT to_regclass('noted.schema_migrations') IS NOT NULL"
                return bool(await other.fetchval(sql))

            await until(is_migrated)
    finally:
        await other.close()


async def test_a_start_that_waits_for_a_silent_postgres_tries_again(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It falls silent while another's migration is waited for."""
    monkeypatch.setattr(db, "ANSWER_S", 2.0)
    monkeypatch.setattr(db, "CONNECT_TIMEOUT_S", 2.0)
    monkeypatch.setattr(heart, "PATIENCE_S", 30.0)

    async def is_waited_for() -> bool:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        return bool(await other.fetchval(sql, "my500-noted-migration"))

    async def has_noticed() -> bool:
        assert heart.stuck() == []
        return any(record.message == "outage_began" for record in caplog.records)

    async def goes_on() -> bool:
        assert heart.stuck() == []
        return any(record.message == "outage_ended" for record in caplog.records)

    other = await asyncpg.connect(database_url)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", migrating.SETTINGS_LOCK)
        async with proxy.before(database_url) as link:
            url = proxy.through(database_url, link)
            async with running(partial(service.prepare_store, url, SCHEMA, tmp_path)):
                await until(is_waited_for)
                await link.turn(Weather.HALF_OPEN)
                await until(has_noticed)
                await other.execute("SELECT pg_advisory_unlock($1)", migrating.SETTINGS_LOCK)
                await link.turn(Weather.FAIR)
                await until(goes_on)
    finally:
        await other.close()


def counted_beats(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rest that each beat announces from now on; at none of them is a loop stuck."""
    beats: list[float] = []
    beat = heart.beat

    def counted(rest_s: float = 0.0) -> None:
        beats.append(rest_s)
        assert heart.stuck() == []
        beat(rest_s)

    monkeypatch.setattr(heart, "beat", counted)
    return beats
