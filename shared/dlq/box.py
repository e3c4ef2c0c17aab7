"""The dead letters in Kafka, and the decision about each.

Rule 1: letters are never deleted; a decision is a mark in a compacted topic beside them.
Rule 2: a letter is marked as replayed after Kafka has acked its record. A crash in between sends
        it twice; consumers tolerate duplicates.
Rule 3: a record that several consumers dead-lettered is sent once, since all of them read it
        again: otherwise the number of letters would multiply with each try.
Rule 4: a state is not sent again after a newer one of its key: compaction keeps the last one to
        arrive, and a consumer starting from scratch would never see the newer.
Rule 5: only the dead letters of our own topics are read: without a prefix all of the cluster's
        topics are candidates, and others may have similar names. Nor is a letter replayed that
        names another origin than the topic it is in.
Rule 6: one at a time decides: two who replay the same letters would send each twice, and what is
        still poison would come back as twice as many. Whoever was suspended for so long that
        another has begun sends nothing that the other has sent: Kafka refuses it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import orjson

from shared import topics
from shared.dlq.letters import Letter, Wanted, read
from shared.kafka.alone import alone
from shared.kafka.client import ensure_compacted
from shared.kafka.dead_letters import ATTEMPTS
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Publisher, Record
from shared.kafka.scanning import existing, scan
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, WEBHOOKS, dead_letters_of

MARKS: Final = "dlq.marks"
DECIDING: Final = "dlq"
PUBLISH_S: Final = 30.0
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"

ORIGINS: Final = frozenset((*(topic.name for topic in topics.ALL), WEBHOOKS))
COMPACTED: Final = frozenset(topic.name for topic in topics.ALL if topic.compacted)
Place = tuple[str, int | None, bytes | None]
"""Topic, partition and key: for each compaction keeps one record."""

Resend = Callable[[Letter], Record]
"""Returns the record that a letter's replay sends."""


async def letters(
    settings: Settings, wanted: Wanted, of: Collection[str] = ()
) -> AsyncGenerator[Letter, None]:
    """In no order across partitions; `of` names origins, or all if empty.

    Raises:
        Unavailable: Kafka is away.
    """
    there = await existing(settings)
    boxes = {dead_letters_of(each) for each in ORIGINS.intersection(of or ORIGINS)} & there
    if not boxes:
        return
    marks = await _marks(settings) if MARKS in there else {}
    async with aclosing(scan(settings, boxes)) as stretches:
        async for stretch in stretches:
            for found in stretch.records:
                place = (found.partition, found.offset)
                letter = read(found.topic, place, (found.key, found.value), found.headers)
                letter = replace(letter, state=_state(letter, marks.get(letter.name)))
                if wanted.has(letter):
                    yield letter


@asynccontextmanager
async def deciding(settings: Settings) -> AsyncIterator[Publisher | None]:
    """What to `settle` letters with; null if somebody else decides about some (rule 6). To be
    entered before they are read.

    Raises:
        Unavailable: Kafka is away.
    """
    await ensure_compacted(settings, MARKS)
    async with (
        alone(settings, DECIDING, MARKS) as is_alone,
        FencedPublisher(settings, DECIDING, deadline_s=PUBLISH_S) as publisher,
    ):
        if is_alone:
            await publisher.take_over()
        yield publisher if is_alone else None


async def _marks(settings: Settings) -> dict[str, dict[str, str]]:
    """The last decision, by the letter's name: all marks of a letter are in one partition."""
    marks: dict[str, dict[str, str]] = {}
    async with aclosing(scan(settings, [MARKS])) as stretches:
        async for stretch in stretches:
            for found in stretch.records:
                marks[(found.key or b"").decode()] = orjson.loads(found.value)
    return marks


def _state(letter: Letter, mark: dict[str, str] | None) -> str | None:
    """A mark of another time is about another letter: the topic was deleted, and made anew. Where
    it names no time, it is from an older version.
    """
    if mark is None or mark.get("time", _time(letter)) != _time(letter):
        return None
    return mark["state"]


def _mark(letter: Letter, state: str) -> Record:
    said = {"state": state, "at": datetime.now(UTC), "time": _time(letter)}
    return Record(MARKS, letter.name.encode(), orjson.dumps(said))


def _time(letter: Letter) -> str:
    return letter.time.isoformat()


async def overtaken(settings: Settings, chosen: Collection[Letter]) -> frozenset[str]:
    """The names of letters that rule 4 excludes from replay.

    Raises:
        Unavailable: Kafka is away.
    """
    states = {_place(letter) for letter in chosen if letter.topic in COMPACTED}
    if not states:
        return frozenset()
    there = {topic for topic, _, _ in states} & await existing(settings)
    if not there:
        return frozenset()
    newest: dict[Place, int] = {}
    async with aclosing(scan(settings, there)) as stretches:
        async for stretch in stretches:
            for found in stretch.records:
                place = (found.topic, found.partition, found.key)
                if place in states:
                    newest[place] = found.offset
    return frozenset(
        letter.name
        for letter in chosen
        if letter.offset is not None and newest.get(_place(letter), -1) > letter.offset
    )


def strayed(chosen: Collection[Letter]) -> frozenset[str]:
    """The names of letters that claim another topic than their own box's (rule 5)."""
    return frozenset(letter.name for letter in chosen if letter.topic != letter.box)


async def homeless(
    settings: Settings, chosen: Collection[Letter], resend: Resend
) -> frozenset[str]:
    """The names of letters whose topic does not exist (any more): they would fail the whole batch.

    Raises:
        Unavailable: Kafka is away.
    """
    there = await existing(settings)
    return frozenset(letter.name for letter in chosen if resend(letter).topic not in there)


def _place(letter: Letter) -> Place:
    return letter.topic, letter.partition, letter.key


async def settle(publisher: Publisher, chosen: Sequence[Letter], resend: Resend | None) -> None:
    """Replay the letters, or, without `resend`, drop them, while `deciding`. All letters about one
    record must come in one call.

    Raises:
        Unavailable: Kafka did not ack; some may have been sent, none is marked.
    """
    if resend is not None:
        tried = sorted(chosen, key=lambda letter: letter.attempts)
        each_once = {letter.record: letter for letter in tried}.values()
        await publisher.publish([again(letter, resend(letter)) for letter in each_once])
    state = DROPPED if resend is None else REPLAYED
    await publisher.publish([_mark(each, state) for each in chosen])


def again(letter: Letter, record: Record) -> Record:
    """The record with its number of tries, which the next letter repeats if it fails again. If a
    consumer dead-lettered it once more, that letter has already counted this try.
    """
    tried = letter.attempts + record.topic.endswith(DEAD_LETTERS)
    others = [(name, text) for name, text in record.headers if name != ATTEMPTS]
    return record._replace(headers=[*others, (ATTEMPTS, b"%d" % tried)])


def to_origin(letter: Letter) -> Record:
    return Record(letter.topic, letter.key, letter.value)
