"""Dead letters on real Kafka: found, replayed, dropped, and back if they are still poison."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.ingest import redelivery
from services.ingest.preparing import TOPICS
from shared import db, service, topics
from shared.dlq import box, command
from shared.errors import Poison
from shared.kafka.client import ensure_compacted, ensure_topics
from shared.kafka.consumer import Consumer, Received
from shared.kafka.dead_letters import Origin, letter
from shared.kafka.publisher import Publisher, Record
from shared.kafka.scanning import scan
from shared.settings import Settings, StoreSettings
from shared.topics import dead_letters_of
from tests.integration.test_ingest_spool import delete_topic
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = pytest.mark.integration

NOW = datetime(2026, 5, 27, 6, 54, 41, tzinfo=UTC)
WHEN = NOW.isoformat()
LATER = b"2026-06-01T00:00:00+00:00"


@pytest.fixture
async def settings(
    infra: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> StoreSettings:
    """As the command line reads them, from the environment."""
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": infra.kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_GROUP_PREFIX": topic_prefix,
        "KAFKA_PARTITIONS": "2",
    }.items():
        monkeypatch.setenv(name, value)
    settings = StoreSettings()
    await ensure_topics(settings, TOPICS, [topics.WEBHOOKS])
    return settings


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, deadline_s=20) as publisher:
        yield publisher


def a_letter(number: int, *, company: int = 7, reason: str = "no version") -> Record:
    key = b"%d:%d" % (company, number)
    origin = Origin(topics.NOTES.name, 0, number)
    return letter(origin, key=key, value=b"note %d" % number, reason=reason, now=NOW)


async def listed(capsys: pytest.CaptureFixture[str], *filters: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert await command.main(["list", "--json", *filters]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def keys(capsys: pytest.CaptureFixture[str], *filters: str) -> list[str]:
    return sorted(each["key"] for each in await listed(capsys, *filters))


async def contents(settings: Settings, topic: str) -> list[bytes]:
    found: list[bytes] = []
    async for stretch in scan(settings, [topic]):
        found += [record.value for record in stretch.records]
    return sorted(found)


async def test_letters_are_listed_filtered_and_shown(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    await publisher.publish([a_letter(1), a_letter(2, reason="Too deep"), a_letter(3, company=8)])

    assert await keys(capsys) == ["7:1", "7:2", "8:3"]
    assert await keys(capsys, "--reason-contains", "deep") == ["7:2"]
    assert await keys(capsys, "--company", "8") == ["8:3"]
    assert await keys(capsys, "--topic", "pipedrive.persons") == []
    assert await keys(capsys, "--topic", "no.such") == []
    assert await keys(capsys, "--until", WHEN) == []
    assert len(await keys(capsys, "--since", WHEN, "--limit", "2")) == 2

    (name,) = [each["name"] for each in await listed(capsys, "--key", "7:2")]
    assert await command.main(["show", name]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["value"], shown["reason"]) == (name, "note 2", "Too deep")
    assert shown["origin"] == {"topic": "pipedrive.notes", "partition": 0, "offset": 2}


async def test_letters_are_also_found_by_the_name_of_the_topic_that_they_are_in(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    await publisher.publish([a_letter(1), a_letter(2)])
    box = dead_letters_of(topics.NOTES.name)

    assert await keys(capsys, "--topic", box) == ["7:1", "7:2"]
    (name,) = [each["name"] for each in await listed(capsys, "--key", "7:1")]
    assert await keys(capsys, name.replace(topics.NOTES.name, box)) == ["7:1"]
    capsys.readouterr()
    assert await command.main(["drop", name.replace(topics.NOTES.name, box)]) == 0
    assert capsys.readouterr().out == "1 dropped\n"
    assert await command.main(["replay", "--topic", box]) == 0
    assert await contents(settings, topics.NOTES.name) == [b"note 2"]


OBEYED = "\x1b[2J\x9b31m\x07\r\n\u202e"
"""Clears a terminal, colours it, rings, begins the line anew, turns it round."""


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["show"], ["show", "--json"]])
async def test_what_a_sender_chose_does_nothing_to_the_terminal_that_shows_it(
    settings: Settings,
    publisher: Publisher,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    key, value = f"7:{OBEYED}".encode(), json.dumps({"name": OBEYED}, ensure_ascii=False).encode()
    origin = Origin(topics.NOTES.name, 0, 1)
    await publisher.publish([letter(origin, key=key, value=value, reason=OBEYED, now=NOW)])
    (name,) = [each["name"] for each in await listed(capsys)]

    assert await command.main([*words, *([name] if "show" in words else [])]) == 0
    shown = capsys.readouterr().out
    assert not set(OBEYED) - {*"[2J31m\n"} & set(shown)
    assert "7:\\u001b[2J\\u009b31m" in shown
    if words != ["show"]:
        assert shown.count("\n") == 1
    if words != ["list"]:
        assert json.loads(shown)["key"] == f"7:{OBEYED}"


async def test_a_reader_of_the_list_may_have_enough(
    settings: Settings, publisher: Publisher
) -> None:
    await publisher.publish([a_letter(number) for number in range(3)])
    listing = [sys.executable, "-m", "shared.dlq", "list"]

    unread, written = os.pipe()
    os.close(unread)
    process = await asyncio.create_subprocess_exec(*listing, stdout=written, stderr=PIPE)
    os.close(written)
    _, complaints = await process.communicate()

    assert (process.returncode, complaints) == (0, b"")


async def test_where_there_is_none_it_says_so(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (["list"], "there is no open dead letter\n"),
        (["list", "--json", "--all"], "there is no dead letter\n"),
        (["drop", "--company", "9"], "there is no open dead letter that matches\n"),
    ):
        capsys.readouterr()
        assert await command.main(words) == 0
        assert capsys.readouterr().err.endswith(said)

    await publisher.publish([a_letter(1)])
    (name,) = [each["name"] for each in await listed(capsys)]
    absent = "pipedrive.notes:0:99"

    assert await command.main(["drop", name, absent]) == command.FAILED
    told = capsys.readouterr()
    assert told.out == "1 dropped\n"
    assert told.err.splitlines()[-1] == f"{absent}: there is no open dead letter that matches"


@pytest.mark.parametrize(
    "words",
    [
        ("--limit", "-1"),
        ("--limit", "0"),
        ("--limit", "all"),
        ("--since", "yesterday"),
        ("--until", "2026-13-01"),
        ("pipedrive.notes",),
        ("--reason-contains", ""),
        ("--topic", ""),
        ("--key", ""),
        ("--company", ""),
    ],
)
async def test_what_cannot_be_read_of_a_command_is_named(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        await command.main(["drop", *words])

    assert ended.value.code == command.MISUSED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("python -m shared.dlq drop: error: argument ")
    assert repr(words[-1]) in last or not words[-1]


async def test_what_is_replayed_or_dropped_is_no_longer_open(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    await publisher.publish([a_letter(number) for number in range(1, 6)])

    assert await command.main(["replay"]) == command.MISUSED
    assert await command.main(["replay", "--key", "7:1", "--dry-run"]) == 0
    assert await contents(settings, topics.NOTES.name) == []
    assert await command.main(["replay", "--key", "7:1"]) == 0
    assert await command.main(["drop", "--key", "7:2"]) == 0
    assert await keys(capsys) == ["7:3", "7:4", "7:5"]

    assert await command.main(["replay", "--everything"]) == 0
    assert await command.main(["replay", "--everything"]) == 0

    assert await keys(capsys) == []
    states = {each["key"]: each["state"] for each in await listed(capsys, "--all")}
    assert states == {f"7:{n}": "dropped" if n == 2 else "replayed" for n in range(1, 6)}
    assert await contents(settings, topics.NOTES.name) == [b"note %d" % n for n in (1, 3, 4, 5)]


async def test_what_is_still_poison_comes_back_with_one_more_try(
    settings: StoreSettings,
    publisher: Publisher,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = asyncio.Event()
    await service.prepare_store(database_url, "noted", tmp_path, stop)

    async def refuse(_: db.Connection, facts: Sequence[Received]) -> None:
        raise Poison("never")

    async with (
        db.pool(database_url, "noted", size=2) as pool,
        asyncio.TaskGroup() as group,
    ):
        consumer = Consumer(
            settings,
            service="noting",
            topics=[topics.NOTES],
            pool=pool,
            apply=refuse,
            publisher=publisher,
        )
        group.create_task(consumer.run(stop))
        await publisher.publish([Record(topics.NOTES.name, b"7:1", b"no note")])
        for tries in (1, 2, 3):

            async def is_back(tries: int = tries) -> bool:
                return [each["attempts"] for each in await listed(capsys)] == [tries]

            await until(is_back, 20)
            assert (await listed(capsys))[0]["reader"].endswith(".noting")
            assert await command.main(["replay", "--everything"]) == 0
        stop.set()


async def test_what_was_decided_about_a_letter_is_not_about_another_that_has_its_name_later(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose topic was deleted and made anew: its places begin again."""
    await publisher.publish([a_letter(1)])
    assert await command.main(["drop", "--everything"]) == 0
    (former,) = await listed(capsys, "--all")
    await delete_topic(
        settings.kafka_bootstrap_servers,
        settings.kafka_topic_prefix + dead_letters_of(topics.NOTES.name),
    )
    await ensure_topics(settings, TOPICS)
    later = [(n, LATER if n == "time" else v) for n, v in a_letter(1).headers]
    async with Publisher(settings, deadline_s=20) as another:
        await another.publish([a_letter(1)._replace(headers=later)])

    (found,) = await listed(capsys)

    assert (found["name"], found["key"]) == (former["name"], "7:1")
    assert await command.main(["replay", "--everything"]) == 0
    assert [each["state"] for each in await listed(capsys, "--all")] == [box.REPLAYED]


@pytest.mark.parametrize("gone", [topics.APP_SESSIONS.name, topics.SCORES.name])
async def test_a_letter_of_a_topic_that_is_gone_keeps_no_other_from_being_replayed(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str], gone: str
) -> None:
    await ensure_topics(settings, [], [gone])
    lost = letter(Origin(gone, 0, 1), key=b"7:9", value=b"", reason="gone", now=NOW)
    await publisher.publish([a_letter(1), lost])
    capsys.readouterr()

    assert await command.main(["replay", "--everything"]) == command.FAILED

    told = capsys.readouterr()
    assert told.out == "1 replayed\n"
    assert f"not replayed: there is no topic {gone}" in told.err
    assert await keys(capsys) == ["7:9"]
    assert await contents(settings, topics.NOTES.name) == [b"note 1"]


async def test_letters_of_other_deployments_and_applications_are_not_ours(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where our prefix is empty, all that the cluster has begins with it."""
    prefix = settings.kafka_topic_prefix + "staging-"
    staging = settings.model_copy(update={"kafka_topic_prefix": prefix})
    await ensure_topics(staging, [topics.NOTES])
    await ensure_topics(settings, [], ["orders"])
    await ensure_compacted(settings, "orders")
    async with Publisher(staging, deadline_s=20) as theirs:
        await theirs.publish([a_letter(1)])
    await publisher.publish([a_letter(2), Record("orders.dlq", b"7:3", b"an order")])

    assert await keys(capsys) == ["7:2"]
    assert await keys(capsys, "--topic", "orders") == []
    assert await command.main(["drop", "staging-pipedrive.notes:0:0"]) == command.FAILED
    assert await command.main(["replay", "--everything"]) == 0

    assert await contents(settings, topics.NOTES.name) == [b"note 2"]
    assert await contents(settings, "orders") == []


async def test_a_letter_among_those_of_another_topic_is_not_replayed(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = dead_letters_of(topics.PERSONS.name)
    await publisher.publish([a_letter(1)._replace(topic=elsewhere), a_letter(2)])
    capsys.readouterr()

    assert await command.main(["replay", "--everything"]) == command.FAILED

    told = capsys.readouterr()
    assert told.out == "1 replayed\n"
    assert "not replayed: it claims to be from pipedrive.notes, but is among" in told.err
    assert await contents(settings, topics.NOTES.name) == [b"note 2"]
    assert await command.main(["drop", "--key", "7:1"]) == 0


async def test_a_state_is_not_replayed_behind_a_newer_one_of_its_key(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compaction would keep the older, as the last to arrive."""
    states = topics.SCORES.name
    await ensure_topics(settings, [topics.SCORES])
    for key, value in ((b"7:1", b"old"), (b"7:2", b"only"), (b"7:1", b"new")):
        await publisher.publish([Record(states, key, value)])
    stood = [r async for stretch in scan(settings, [states]) for r in stretch.records]
    for record in stood:
        if record.value != b"new":
            origin = Origin(states, record.partition, record.offset)
            await publisher.publish(
                [letter(origin, key=record.key, value=record.value, reason="a bug", now=NOW)]
            )

    for words in (["replay", "--everything", "--dry-run"], ["replay", "--everything"]):
        capsys.readouterr()
        assert await command.main(words) == command.FAILED
        told = capsys.readouterr()
        assert "scoring.scores already has a newer state of its key" in told.err

    assert told.out == "1 replayed\n"
    assert await keys(capsys) == ["7:1"]
    assert await contents(settings, states) == [b"new", b"old", b"only", b"only"]
    assert await command.main(["drop", "--key", "7:1"]) == 0


async def test_a_record_that_several_readers_put_aside_is_sent_once(
    settings: Settings,
    publisher: Publisher,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them read it again: else it would come back three times as often at each try."""
    monkeypatch.setattr(command, "BATCH", 2)
    readers = ("orgs", "scoring", "query")
    for number in (1, 2):
        origin = Origin(topics.NOTES.name, 0, number)
        await publisher.publish(
            [
                letter(
                    replace(origin, reader=reader, attempts=tries),
                    key=b"7:%d" % number,
                    value=b"note %d" % number,
                    reason="no version",
                    now=NOW,
                )
                for tries, reader in enumerate(readers)
            ]
        )

    assert await command.main(["replay", "--everything"]) == 0

    assert capsys.readouterr().out == "6 replayed\n"
    assert await keys(capsys) == []
    sent = [
        (record.value, dict(record.headers)["attempts"])
        async for stretch in scan(settings, [topics.NOTES.name])
        for record in stretch.records
    ]
    assert sorted(sent) == [(b"note 1", b"3"), (b"note 2", b"3")]


def hold_the_first(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Of those that decide: set once it has read the letters, and to be set for it to go on."""
    settle, have_been_read, goes_on = box.settle, asyncio.Event(), asyncio.Event()

    async def held(*given: Any) -> None:
        if not have_been_read.is_set():
            have_been_read.set()
            await goes_on.wait()
        await settle(*given)

    monkeypatch.setattr(box, "settle", held)
    return have_been_read, goes_on


@pytest.mark.parametrize("second", ["replay", "drop"])
async def test_while_letters_are_replayed_nobody_else_replays_or_drops_any(
    settings: Settings,
    publisher: Publisher,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    second: str,
) -> None:
    await publisher.publish([a_letter(number) for number in (1, 2)])
    have_been_read, goes_on = hold_the_first(monkeypatch)
    first = asyncio.create_task(command.main(["replay", "--everything"]))
    await have_been_read.wait()
    assert len(await keys(capsys)) == 2
    statuses = [await command.main([second, "--everything"])]
    told = capsys.readouterr()
    goes_on.set()
    statuses.append(await first)

    assert statuses == [command.FAILED, 0]
    assert (told.out, told.err) == ("", command.NOT_ALONE + "\n")
    assert await contents(settings, topics.NOTES.name) == [b"note 1", b"note 2"]
    assert {each["state"] for each in await listed(capsys, "--all")} == {box.REPLAYED}


async def test_who_was_suspended_sends_nothing_that_another_has_sent_meanwhile(
    settings: Settings,
    publisher: Publisher,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await publisher.publish([a_letter(number) for number in (1, 2)])

    @asynccontextmanager
    async def dropped(*_: object) -> AsyncIterator[bool]:
        """Kafka drops a member that is suspended, so another finds itself alone."""
        yield True

    monkeypatch.setattr(box, "alone", dropped)
    have_been_read, goes_on = hold_the_first(monkeypatch)
    first = asyncio.create_task(command.main(["replay", "--everything"]))
    await have_been_read.wait()
    statuses = [await command.main(["replay", "--everything"])]
    goes_on.set()
    statuses.append(await first)

    assert statuses == [0, command.FAILED]
    assert "ProducerFenced" in capsys.readouterr().err
    assert await contents(settings, topics.NOTES.name) == [b"note 1", b"note 2"]


def webhook(company: int) -> bytes:
    meta = {
        "action": "change",
        "company_id": str(company),
        "entity": "note",
        "entity_id": "8",
        "id": "7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
        "timestamp": "2026-05-27T06:54:41.426Z",
        "version": "2.0",
    }
    return json.dumps({"data": {"id": 8, "content": "x"}, "meta": meta}).encode()


async def test_webhooks_are_read_again_by_ingest_and_go_where_they_belong(
    settings: Settings, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, content in enumerate((webhook(7), b"{", webhook(8))):
        place = b"7:letter-%d" % number
        origin = Origin(topics.WEBHOOKS)
        poison = letter(origin, key=place, value=content, reason="a bug", now=NOW)
        await publisher.publish([poison])

    assert await command.main(["replay", "--everything"]) == 0
    told = capsys.readouterr()
    assert told.out == "0 replayed\n"
    assert "3 skipped as webhooks, use: python -m services.ingest redeliver" in told.err
    assert await redelivery.main(["--everything"]) == 0

    (note,) = await contents(settings, topics.NOTES.name)
    assert json.loads(note)["entity_id"] == "8"
    back = await listed(capsys)
    assert [each["attempts"] for each in back] == [2, 2]
    assert {each["reason"] for each in back} == {
        "the body is not JSON: JSONDecodeError",
        "the credentials are not those of the body's company",
    }


@pytest.mark.parametrize("by_name", [True, False])
async def test_webhooks_that_were_picked_and_not_replayed_are_told_by_the_status(
    settings: Settings,
    publisher: Publisher,
    capsys: pytest.CaptureFixture[str],
    by_name: bool,
) -> None:
    origin = Origin(topics.WEBHOOKS)
    await publisher.publish([letter(origin, key=b"7:a", value=b"{", reason="a bug", now=NOW)])
    (name,) = [each["name"] for each in await listed(capsys)]
    words = [name] if by_name else ["--topic", topics.WEBHOOKS]

    assert await command.main(["replay", *words]) == command.FAILED

    told = capsys.readouterr()
    assert told.out == "0 replayed\n"
    assert told.err == "1 skipped as webhooks, use: python -m services.ingest redeliver\n"


async def test_without_kafka_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    assert await command.main(["list"]) == command.FAILED
    assert "Kafka" in capsys.readouterr().err
