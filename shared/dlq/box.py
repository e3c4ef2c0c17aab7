"""The dead letters in Kafka, and what was decided about each.

Rule 1: letters are never deleted; a decision is a mark in a compacted topic beside them.
Rule 2: a letter is marked as replayed after Kafka has acked its record. A crash in between sends
        it twice; readers bear duplicates.
Rule 3: a record that several readers put aside is sent once, since all of them read it again: else
        one that nobody can read would come back three times as often at each try.
Rule 4: a state is not sent again behind a newer one of its key: compaction would keep the last to
        arrive, and whoever reads the topic anew would never learn of the newer.
Rule 5: only the dead letters of our own topics are read: without a prefix every topic of the
        cluster is under it, and others have some that end as ours do. Nor is one sent again that
        says it was put aside elsewhere than where it stands.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import orjson

from shared import topics
from shared.dlq.letters import Letter, Wanted, read
from shared.kafka.client import ensure_compacted
from shared.kafka.dead_letters import ATTEMPTS
from shared.kafka.publisher import Publisher, Record
from shared.kafka.scanning import existing, scan
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, WEBHOOKS, dead_letters_of

MARKS: Final = "dlq.marks"
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"

ORIGINS: Final = frozenset((*(topic.name for topic in topics.ALL), WEBHOOKS))
COMPACTED: Final = frozenset(topic.name for topic in topics.ALL if topic.compacted)
Place = tuple[str, int | None, bytes | None]
"""Topic, partition and key: of these compaction keeps one record."""

Resend = Callable[[Letter], Record]
"""The record that a letter's replay sends."""


async def letters(
    settings: Settings, wanted: Wanted, of: Collection[str] = ()
) -> AsyncGenerator[Letter, None]:
    """In no order across partitions; `of` names origins, all of them if none.

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
                letter = replace(letter, state=marks.get(letter.name))
                if wanted.has(letter):
                    yield letter


async def _marks(settings: Settings) -> dict[str, str]:
    """What was decided last, by the letter's name: all marks of a letter are in one partition."""
    marks: dict[str, str] = {}
    async with aclosing(scan(settings, [MARKS])) as stretches:
        async for stretch in stretches:
            for found in stretch.records:
                marks[(found.key or b"").decode()] = orjson.loads(found.value)["state"]
    return marks


async def overtaken(settings: Settings, chosen: Collection[Letter]) -> frozenset[str]:
    """The names of those that rule 4 keeps from being replayed.

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
    """The names of those that say they are of another topic than their box is (rule 5)."""
    return frozenset(letter.name for letter in chosen if letter.topic != letter.box)


async def homeless(
    settings: Settings, chosen: Collection[Letter], resend: Resend
) -> frozenset[str]:
    """The names of those whose topic is not there (any more): all that go with them would fail.

    Raises:
        Unavailable: Kafka is away.
    """
    there = await existing(settings)
    return frozenset(letter.name for letter in chosen if resend(letter).topic not in there)


def _place(letter: Letter) -> Place:
    return letter.topic, letter.partition, letter.key


async def settle(
    publisher: Publisher, settings: Settings, chosen: Sequence[Letter], resend: Resend | None
) -> None:
    """Replay the letters, or, without `resend`, drop them. All that are about one record come in
    one call.

    Raises:
        Unavailable: Kafka did not ack; some may have been sent, none of them is marked.
    """
    await ensure_compacted(settings, MARKS)
    if resend is not None:
        tried = sorted(chosen, key=lambda letter: letter.attempts)
        each_once = {letter.record: letter for letter in tried}.values()
        await publisher.publish([again(letter, resend(letter)) for letter in each_once])
    state = DROPPED if resend is None else REPLAYED
    mark = orjson.dumps({"state": state, "at": datetime.now(UTC)})
    await publisher.publish([Record(MARKS, each.name.encode(), mark) for each in chosen])


def again(letter: Letter, record: Record) -> Record:
    """The record, knowing how often it was tried: who cannot read it says so in the next letter.
    What a reader has put aside once more counts this try itself.
    """
    tried = letter.attempts + record.topic.endswith(DEAD_LETTERS)
    others = [(name, text) for name, text in record.headers if name != ATTEMPTS]
    return record._replace(headers=[*others, (ATTEMPTS, b"%d" % tried)])


def to_origin(letter: Letter) -> Record:
    return Record(letter.topic, letter.key, letter.value)
