"""Which users and tokens are refused, from the log: for services that have no store of it.

Rule 1: the relevant topics are read from the beginning into memory, by each process and in no
        group; then new records are read as they arrive.
Rule 2: nothing is in force before everything has been read that existed at the start: half a log
        would refuse users whom the other half lets back in.
Rule 3: until then users are told to retry, but only as long as Kafka answers, or may answer in a
        moment. After that their tokens are trusted: otherwise Kafka, which most answers do not
        need, would take down every API that starts while it is away.
Rule 4: while Kafka is away the last known state holds; reading resumes where it was.
Rule 5: an unreadable record is skipped: query dead-letters it.
Rule 6: a consumer that is alive but makes no progress while the log grows is rebuilt.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared import events, heart, lifecycle
from shared.access import Told
from shared.auth import Session
from shared.errors import Poison, Unavailable
from shared.kafka import client, fetch_sessions
from shared.settings import Settings
from shared.topics import APP_SESSIONS, USERS

HEARD: Final = (USERS, APP_SESSIONS)
Offsets = dict[TopicPartition, int]

POLL_MS: Final = 500
AT_ONCE: Final = 100
"""Records parsed before the process does something else."""
SILENCE_S: Final = 5.0
"""How long Kafka may be silent before the first reading is no longer waited for."""
LOOK_S: Final = 30.0
"""Between checks for progress, and for records that can be dropped."""


class Refusals:
    """`why` is for an `Authenticator`."""

    def __init__(self, settings: Settings, *, is_beside: bool = False) -> None:
        """`is_beside`: serving users is not the process's first purpose."""
        self._settings = settings
        self._is_beside = is_beside
        self._topics = {client.physical(settings, topic.name): topic for topic in HEARD}
        self._told = Told()
        self._next: Offsets = {}
        self._is_read = False
        self._has_failed = False
        self._serves_at = math.inf
        self._look_at = 0.0
        self._stood: Offsets = {}

    def why(self, session: Session) -> str | None:
        """Why the session is refused; null if it is not.

        Raises:
            Unavailable: it will be known in a moment.
        """
        if not self._is_read:
            self._check()
        return self._told.denials.why(session)

    async def ping(self) -> str | None:
        """While Kafka is away, a starting process is ready once users are served; if users come
        second, as soon as reading has failed once.

        Raises:
            Unavailable: it will be known in a moment.
        """
        if self._is_read:
            return None
        if not (self._is_beside and self._has_failed):
            self._check()
        return "degraded: the revoked tokens have not been read yet"

    async def run(self, stop: asyncio.Event) -> None:
        self._wait()
        await lifecycle.sessions(partial(self._try, stop), stop, what="refusals")

    async def _try(self, stop: asyncio.Event, works: lifecycle.Works) -> None:
        try:
            await self._session(stop, works)
        except Unavailable:
            self._has_failed = True
            raise

    def _check(self) -> None:
        if time.monotonic() < self._serves_at:
            raise Unavailable("the revoked tokens have not been read yet")

    def _wait(self) -> None:
        self._serves_at = time.monotonic() + SILENCE_S

    async def _session(self, stop: asyncio.Event, works: lifecycle.Works) -> None:
        await client.ensure_topics(self._settings, HEARD, stop=stop)
        if stop.is_set():
            return
        consumer = AIOKafkaConsumer(
            *self._topics,
            **client.connection(self._settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=client.MAX_MESSAGE_BYTES,
            metadata_max_age_ms=30_000,
        )
        fetch_sessions.keep(consumer)
        try:
            await lifecycle.unless_stopped(self._read(consumer, works), stop)
        finally:
            await client.stopped(consumer)

    async def _read(self, consumer: AIOKafkaConsumer, works: lifecycle.Works) -> None:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                await consumer.start()
        for partition in consumer.assignment() & self._next.keys():
            consumer.seek(partition, self._next[partition])
        ends = await self._ends(consumer)
        works()
        self._look_at, self._stood = 0.0, {}
        while True:
            await self._turn(consumer, ends)

    async def _turn(self, consumer: AIOKafkaConsumer, ends: Offsets) -> None:
        heart.beat()
        if not self._is_read:
            at = await self._positions(consumer)
            self._is_read = all(at[each] >= end for each, end in ends.items())
            if self._is_read:
                self._told.settle(now=time.time())
        if time.monotonic() >= self._look_at:
            await self._look(consumer)
        with client.errors():
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=AT_ONCE)
        for partition, records in batches.items():
            self._hear(partition.topic, records)
            self._next[partition] = records[-1].offset + 1
        if batches and self._is_read:
            self._told.settle(now=time.time())
        elif batches and time.monotonic() < self._serves_at:
            self._wait()  # there is progress
        await asyncio.sleep(0)

    def _hear(self, name: str, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        for record in records:
            with suppress(Poison):  # rule 5
                if self._topics[name] is USERS:
                    self._told.add_user(events.parse(events.UserChange, record.value))
                else:
                    self._told.add_revocation(events.parse(events.SessionChange, record.value))

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Raises:
        Unavailable: Kafka is away, or a partition has not moved, short of its end at that time.
        """
        at = await self._positions(consumer)
        if any(at.get(each) == stood for each, stood in self._stood.items()):
            raise Unavailable("Kafka: reading has stalled while the log grows")
        ends = await self._ends(consumer)
        self._stood = {each: at[each] for each in at if at[each] < ends[each]}
        self._look_at = time.monotonic() + LOOK_S
        if self._is_read:
            self._told.forget(now=time.time())

    async def _ends(self, consumer: AIOKafkaConsumer) -> Offsets:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                ends: Offsets = await consumer.end_offsets(list(consumer.assignment()))
        return ends

    async def _positions(self, consumer: AIOKafkaConsumer) -> Offsets:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                return {each: await consumer.position(each) for each in consumer.assignment()}
