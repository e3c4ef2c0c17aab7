"""The live stream: a client that applies it holds what the page shows, whatever happens."""

import asyncio
import contextlib
import itertools
import secrets
import socket
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from devstack import postgres
from services.query import reading
from services.query.batch import User
from services.query.live import api as stream_api
from services.query.live import reading as live_reading
from services.query.live import store as live_store
from services.query.live.events import RESET
from services.query.live.hub import MOST_OF_USER
from services.query.live.pruning import Pruner
from services.query.live.reading import MOST_READ
from services.query.live.touched import Names
from shared import db
from shared.errors import Unavailable
from shared.kafka.consumer import Received
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.cluster import token
from tests.support.infra import Infra, on_database
from tests.support.live import STREAM, Client, read_events
from tests.support.query_facts import COMPANY
from tests.support.query_stage import Stage, staged
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
async def stage(database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    async with staged(database_url, redis_url, Settings()) as made:
        yield made


def holds(client: Client, page: dict[str, Any]) -> bool:
    copy = client.copy
    return (
        not copy.needs_reading
        and {
            "contacts": copy.listed(),
            "total": copy.total,
            "status": copy.status,
        }
        == page
    )


async def agrees(client: Client, page: dict[str, Any]) -> None:
    async def does() -> bool:
        return holds(client, page)

    try:
        await until(does)
    except TimeoutError:
        assert client.copy.listed() == page["contacts"]
        assert client.copy.total == page["total"]
        assert client.copy.status == page["status"]
        raise


@pytest.mark.parametrize("seed", range(6))
async def test_a_client_that_applies_the_stream_holds_what_the_page_shows(
    stage: Stage, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  seeded
    history = facts.history(random, persons=25, facts=400)
    client, other = stage.client("7"), stage.client("8")

    async def tell() -> None:
        rest = iter(history)
        while batch := list(itertools.islice(rest, random.randrange(1, 12))):
            await stage.told(*batch)

    async with stage.instance() as one, stage.instance() as two:
        telling = asyncio.create_task(tell())
        while not telling.done():
            async with client.following(random.choice([one, two]).url), other.following(one.url):
                seen = len(client.events)
                enough = seen + random.randrange(1, 40)
                await until(lambda n=enough: _either(telling, client, n), 20)
        await telling
        async with client.following(two.url), other.following(two.url):
            await agrees(client, await stage.page("7"))
            await agrees(other, await stage.page("8"))

    resets = sum(event.name == "reset" for event in client.events)
    assert len(client.events) > 20
    assert resets < 5


async def _either(telling: asyncio.Task[None], client: Client, events: int) -> bool:
    return telling.done() or len(client.events) >= events


async def first(client: Client, count: int) -> list[str]:
    """The names of the first events."""
    await until(lambda: _either_count(client, count))
    return [event.name for event in client.events]


async def _either_count(client: Client, count: int) -> bool:
    return len(client.events) >= count


async def test_a_client_that_begins_is_told_to_read_and_then_what_changes(stage: Stage) -> None:
    await stage.told(facts.person(1, name="Ada"), facts.link(1, 1), facts.organization(1))
    client = stage.client()

    async with stage.instance() as instance, client.following(instance.url):
        await first(client, 1)
        await stage.told(facts.score(1, 7))
        await first(client, 2)
        await stage.told(facts.organization(1, 2, name="Renamed"))
        await first(client, 3)
        await stage.told(facts.person(2, name="Grace"), facts.status(1, "running"))
        await first(client, 5)
        await stage.told(facts.person(1, 2, owner_id=8))
        names = await first(client, 6)

        await agrees(client, await stage.page())

    assert names == ["reset", "contact", "organization", "contact", "sync", "removed"]
    assert client.events[1].data["contact"]["warmnessScore"] == 7
    assert client.events[2].data["organization"]["name"] == "Renamed"
    assert client.events[3].data["total"] == 2
    assert client.events[5].data == {"id": facts.contact_id(1), "total": 1}


async def test_another_instance_goes_on_where_the_first_ended(stage: Stage) -> None:
    await stage.told(facts.person(1))
    client = stage.client()
    async with stage.instance() as one, client.following(one.url):
        await first(client, 1)

    await stage.told(facts.score(1, 3))
    await stage.told(facts.score(1, 5, 2), facts.person(2))
    async with stage.instance() as two, client.following(two.url):
        names = await first(client, 3)
        await agrees(client, await stage.page())

    assert names == ["reset", "contact", "contact"]


async def test_a_change_that_commits_late_is_not_passed_over(stage: Stage) -> None:
    await stage.told(facts.person(1), facts.person(2))
    client = stage.client()
    async with stage.instance() as one, stage.pool.acquire() as conn:
        slow = conn.transaction()
        await slow.start()
        after = await stage.projector.apply(conn, [facts.person(1, 2, name="slow")])
        async with client.following(one.url):
            await first(client, 1)
            await stage.told(facts.person(2, 2, name="quick"))
            await first(client, 2)
        await slow.commit()
        await after(committed=True)
        async with client.following(one.url):
            names = await first(client, 3)
            await agrees(client, await stage.page())

    assert names == ["reset", "contact", "contact"]
    assert client.events[2].data["contact"]["name"] == "slow"


@pytest.mark.parametrize(
    "last",
    [
        "1",
        "nonsense",
        f"{'0' * 32}-1-3:3:",
        f"{'0' * 32}-99999999999-3:3:",
        f"{'0' * 32}-1-9:3:4,5",
        f"{'0' * 32}-1-{'9' * 20}:{'9' * 20}:",
        "é",
    ],
)
async def test_who_goes_on_from_nowhere_reads_all_anew(stage: Stage, last: str) -> None:
    client = stage.client()
    client.ids.append(last)

    async with stage.instance() as instance, client.following(instance.url):
        assert await first(client, 1) == ["reset"]


async def test_a_place_that_is_too_old_or_from_before_a_crash_leads_nowhere(stage: Stage) -> None:
    await stage.told(facts.person(1))
    client = stage.client()
    async with stage.instance() as one, client.following(one.url):
        await first(client, 1)
    epoch, at, snapshot = client.ids[-1].split("-")

    for stale in (f"{epoch}-{int(at) - 601}-{snapshot}", f"{'a' * 32}-{at}-{snapshot}"):
        other = stage.client()
        other.ids.append(stale)
        async with stage.instance() as two, other.following(two.url):
            assert await first(other, 1) == ["reset"]


async def test_who_cannot_send_the_header_goes_on_by_a_parameter_and_no_other_is_taken(
    stage: Stage,
) -> None:
    client = stage.client()
    async with stage.instance() as one, client.following(one.url):
        await first(client, 1)
    await stage.told(facts.person(1))
    url = f"{STREAM}?lastEventId={client.ids[-1]}"

    async with (
        stage.instance() as two,
        stage.http.get(two.url + url, headers=client.headers) as response,
        stage.http.get(two.url + url + "&x=1", headers=client.headers) as refused,
    ):
        event = await anext(read_events(response, []))

    assert event.name == "contact"
    assert refused.status == 400


async def test_nobody_hears_of_the_contacts_of_others(stage: Stage) -> None:
    mine, colleague, abroad = (
        stage.client("7"),
        stage.client("8"),
        stage.client("7", company=COMPANY + 1),
    )

    async with (
        stage.instance() as instance,
        mine.following(instance.url),
        colleague.following(instance.url),
        abroad.following(instance.url),
    ):
        for client in (mine, colleague, abroad):
            await first(client, 1)
        await stage.told(facts.person(1, owner_id=7))
        await stage.told(facts.person(2, owner_id=8))
        await stage.told(facts.person(3, company=COMPANY + 1, owner_id=7))
        seen = [await first(client, 2) for client in (mine, colleague, abroad)]

    assert seen == [["reset", "contact"]] * 3
    assert [
        c.events[1].data["contact"]["pipedrivePersonId"] for c in (mine, colleague, abroad)
    ] == [
        "1",
        "2",
        "3",
    ]


async def test_an_import_is_told_as_a_few_wishes_to_read_anew(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance() as instance, client.following(instance.url):
        await first(client, 1)
        for start in range(0, 2_000, 200):
            await stage.told(*[facts.person(n) for n in range(start, start + 200)])

        async def has_all() -> bool:
            return client.copy.total == 2_000

        await until(has_all)

    assert {event.name for event in client.events} == {"reset"}
    assert len(client.events) < 6


async def test_an_organization_that_appears_to_many_is_not_read_for_each(stage: Stage) -> None:
    users, contacts = range(1, 62), range(MOST_READ + 50)
    persons = [facts.person(number, owner_id=users[number % 61]) for number in contacts]
    await stage.told(*persons)
    await stage.told(*(facts.link(number, 1) for number in contacts))
    await stage.told(facts.organization(1))
    appeared = {facts.organization_id(1)}
    many = {User(COMPANY, user): Names(appeared=set(appeared)) for user in users}
    few = {User(COMPANY, user): Names(appeared=set(appeared)) for user in users[:2]}

    async with reading.snapshot(stage.pool) as conn:
        told_many = await live_reading.news(conn, many)
        told_few = await live_reading.news(conn, few)

    assert [*told_many.values()] == [RESET] * len(users)
    assert [len(said.contacts) for said in told_few.values()] == [50, 50]


async def test_a_hundred_contacts_with_long_texts_are_told_to_a_reader_that_keeps_up(
    stage: Stage,
) -> None:
    client = stage.client()
    async with stage.instance() as instance, client.following(instance.url):
        await first(client, 1)
        subjects = [facts.activity(n, subject="Я" * 255, person_id=n // 5) for n in range(500)]
        await stage.told(*[facts.person(n) for n in range(100)], *subjects)
        names = await first(client, 101)
        # By the connection that is there: the first was not cut off, and no second one opened.
        await stage.told(facts.score(1, 7))
        again = await first(client, 102)
        await agrees(client, await stage.page())

    assert names == ["reset", *["contact"] * 100]
    assert again[101:] == ["contact"]


async def test_a_reader_that_does_not_read_is_cut_off(stage: Stage) -> None:
    await stage.told(*[facts.person(n, name="x" * 5_000) for n in range(1, 60)])
    url = None
    async with stage.instance() as instance:
        url = instance.url
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(
            f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token(COMPANY, '7')}\r\n\r\n".encode()
        )
        await reader.readuntil(b"event: reset")
        hub = instance.live.hub
        version = 1

        async def is_gone() -> bool:
            nonlocal version
            version += 1
            await stage.told(
                *[facts.person(n, version, name=f"{version}" * 2_000) for n in range(1, 60)]
            )
            return not hub.open

        try:
            await until(is_gone, 60)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_reader_whose_network_takes_nothing_more_gives_back_its_place(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_api, "GONE_S", 1.0)
    monkeypatch.setattr(stream_api, "BEAT_S", 0.1)
    async with stage.instance() as instance:
        host, port = instance.url.removeprefix("http://").split(":")
        with socket.socket() as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            gone.connect((host, int(port)))
            gone.sendall(
                f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {token(COMPANY, '7')}\r\n\r\n".encode()
            )
            hub = instance.live.hub

            async def has(places: int) -> bool:
                return hub.open == places

            await until(lambda: has(1))
            # More than its side takes, and less than is kept for one who reads slowly.
            await stage.told(*[facts.person(n, name="x" * 500) for n in range(1, 20)])
            await until(lambda: has(0), 20)


async def test_a_quiet_stream_says_that_it_is_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_api, "BEAT_S", 0.1)
    client = stage.client()

    async with stage.instance() as instance, client.following(instance.url):
        await first(client, 1)

        async def has_beaten() -> bool:
            return len(client.ids) > 3

        await until(has_beaten)

    assert len(client.events) == 1


async def test_a_page_of_another_origin_may_follow_a_stream(stage: Stage) -> None:
    headers = {**stage.client().headers, "Origin": "http://page.example"}
    async with (
        stage.instance() as instance,
        stage.http.get(instance.url + STREAM, headers=headers) as response,
    ):
        first_line = await response.content.readline()

    assert first_line.startswith(b"retry: ")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_stream_ends_with_its_token(stage: Stage) -> None:
    client = stage.client(exp=int(time.time()) + 2)

    async with stage.instance() as instance:
        async with asyncio.timeout(30):
            await client.follow(instance.url)
        again = await stage.http.get(instance.url + STREAM, headers=client.headers)

    assert [event.name for event in client.events] == ["reset"]
    assert again.status == 401


async def test_a_stop_ends_the_streams_at_once(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance() as instance:
        following = asyncio.create_task(client.follow(instance.url))
        await first(client, 1)
        instance.stop.set()
        async with asyncio.timeout(20):
            await following


async def test_a_process_that_stops_takes_no_stream_that_nobody_would_end(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance() as instance:
        following = asyncio.create_task(client.follow(instance.url))
        await first(client, 1)
        instance.stop.set()
        await following
        late = await stage.http.get(instance.url + STREAM, headers=client.headers)
        late.close()

    assert late.status == 503


async def test_a_user_has_so_many_streams_and_gets_back_those_that_ended(stage: Stage) -> None:
    clients = [stage.client() for _ in range(MOST_OF_USER)]
    async with stage.instance() as instance:
        following = [asyncio.create_task(each.follow(instance.url)) for each in clients]
        for each in clients:
            await first(each, 1)
        refused = await stage.http.get(instance.url + STREAM, headers=clients[0].headers)
        other = stage.client("8")
        async with other.following(instance.url):
            await first(other, 1)
        following[0].cancel()

        async def is_let_in() -> bool:
            response = await stage.http.get(instance.url + STREAM, headers=clients[0].headers)
            response.close()
            return response.status == 200

        await until(is_let_in)
        for task in following:
            task.cancel()
        await asyncio.wait(following)

    assert refused.status == 429
    assert (await refused.json())["code"] == "too_many_streams"


async def test_a_process_that_is_full_says_so_and_not_that_the_user_has_too_many(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.query.live.hub.MOST", 1)
    client, other = stage.client(), stage.client("8")
    async with stage.instance() as instance, client.following(instance.url):
        await first(client, 1)
        refused = await stage.http.get(instance.url + STREAM, headers=other.headers)

    assert (refused.status, (await refused.json())["code"]) == (503, "overloaded")
    assert "Retry-After" in refused.headers


async def test_what_was_told_long_ago_is_forgotten(stage: Stage) -> None:
    await stage.told(facts.person(1))
    await stage.pool.execute("UPDATE live_changes SET at = now() - interval '16 minutes'")
    await stage.told(facts.person(2))

    await Pruner(stage.pool).prune()

    assert await stage.pool.fetchval("SELECT count(*) FROM live_changes") == 1


def test_a_notification_is_never_too_long() -> None:
    users = [User(company, company * 7) for company in range(5_000)]

    payloads = live_store.payloads([*users, User(1, None)])

    assert all(len(payload) < 8_000 for payload in payloads)
    assert [user for each in payloads for user in live_store.told(each)] == [*users, User(1, None)]


async def test_a_crash_of_postgres_leaves_streams_open_and_has_them_read_anew(
    killable: Infra, redis_url: str
) -> None:
    name = f"test_{secrets.token_hex(6)}"
    await asyncio.to_thread(postgres.ask, killable.database, f"CREATE DATABASE {name}")
    dsn = on_database(killable.database, name)
    async with staged(dsn, redis_url, Settings()) as stage:
        await stage.told(facts.person(1))
        client = stage.client()
        async with stage.instance() as one, client.following(one.url):
            await first(client, 1)
            await stage.told(facts.score(1, 3))
            await first(client, 2)
            before = client.ids[-1]

            # What a crash takes back is read from Kafka again, of which there is none here.
            await stage.pool.execute("CHECKPOINT")
            await asyncio.to_thread(killable.kill, "postgres")
            await asyncio.to_thread(killable.start, "postgres")

            names = await first(client, 3)
            await until(lambda: _told(stage, facts.score(1, 5, 2)))
            names = await first(client, 4)
            await agrees(client, await stage.page())
        late = stage.client()
        late.ids.append(before)
        async with stage.instance() as two, late.following(two.url):
            assert await first(late, 1) == ["reset"]

    assert names == ["reset", "contact", "reset", "contact"]


async def _told(stage: Stage, fact: Received) -> bool:
    """False while Postgres is still coming back."""
    try:
        with db.errors():
            await stage.told(fact)
    except Unavailable:
        return False
    return True
