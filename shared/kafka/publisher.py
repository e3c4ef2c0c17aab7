"""Publishes records durably: done means acks=all.

Rule 1: every wait has a deadline of ours. An idempotent producer never expires a batch itself, so
        past the deadline the record's fate is unknown and the caller is told `Unavailable`.
Rule 2: a producer whose state is broken or that missed its deadline is given up as a whole and
        built anew; what it still delivers late is a duplicate, and readers bear duplicates.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer

from shared.errors import Unavailable
from shared.kafka.client import MAX_MESSAGE_BYTES, connection, errors, physical
from shared.observability import PRODUCER_REBUILDS, PUBLISH_SECONDS
from shared.settings import Settings

log = logging.getLogger(__name__)

STOP_S = 3.0
METADATA_MS = 5_000


class Record(NamedTuple):
    """`topic` is the name in the contract, without the cluster's prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Publisher:
    """One producer for the process. Starts when first used; close it by leaving the context."""

    def __init__(self, settings: Settings, *, deadline_s: float) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._graves: set[asyncio.Task[None]] = set()
        self._ok = PUBLISH_SECONDS.labels("ok")
        self._failed = PUBLISH_SECONDS.labels("failed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._give_up("stopping")
        if self._graves:
            await asyncio.wait(self._graves, timeout=STOP_S + 1)

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once every record is acked by all replicas, in the order given per key.

        Raises:
            Unavailable: some record was not acked in time; any of them may still arrive.
        """
        began = time.perf_counter()
        producer: AIOKafkaProducer | None = None
        try:
            with errors():
                async with asyncio.timeout(self._deadline_s):
                    producer = self._producer or await self._start()
                    await self._send(producer, records)
        except Unavailable as outage:
            self._failed.observe(time.perf_counter() - began)
            if producer is not None and producer is self._producer:
                self._give_up(str(outage))
            raise
        self._ok.observe(time.perf_counter() - began)

    async def ping(self) -> None:
        """Raises:
        Unavailable: the cluster does not answer.
        """
        with errors():
            async with asyncio.timeout(self._deadline_s):
                producer = self._producer or await self._start()
                await producer.client.fetch_all_metadata()

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        pending = [
            await producer.send(
                physical(self._settings, record.topic),
                value=record.value,
                key=record.key,
                headers=list(record.headers),
            )
            for record in records
        ]
        for future in pending:
            # Shielded: cancelling a batch's future at the deadline would upset its other waiters.
            await asyncio.shield(future)

    async def _start(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is not None:
                return self._producer
            producer = AIOKafkaProducer(
                **connection(self._settings),
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=MAX_MESSAGE_BYTES,
                request_timeout_ms=METADATA_MS,
            )
            try:
                await producer.start()
            except BaseException:
                self._bury(producer)  # a producer that failed to start must still be stopped
                raise
            self._producer = producer
            return producer

    def _give_up(self, reason: str) -> None:
        if self._producer is None:
            return
        if reason != "stopping":
            log.warning("producer_given_up", extra={"reason": reason})
            PRODUCER_REBUILDS.inc()
        self._bury(self._producer)
        self._producer = None

    def _bury(self, producer: AIOKafkaProducer) -> None:
        async def stop() -> None:
            try:
                async with asyncio.timeout(STOP_S):
                    await producer.stop()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it is dropped either way
                log.info("producer_stop_failed", extra={"reason": repr(error)})

        task = asyncio.get_running_loop().create_task(stop())
        self._graves.add(task)
        task.add_done_callback(self._graves.discard)
