"""Incremental fetch sessions (KIP-227), as Kafka's own client has them.

aiokafka names every partition in each fetch, and gets an answer for each, with records or without:
with a service's hundred partitions that was a fifth of its CPU time at 200 events/s.

Rule 1: the first fetch to a broker names all; the broker keeps them as a session. Later ones only
        name partitions with a new offset and those added or removed; answers only have partitions
        with news.
Rule 2: after any failure the next fetch names all again. Nothing can be missed: a broker reads
        from the last offset it was given, and does not move on by itself.
Rule 3: to a broker that keeps no session for us every fetch names all partitions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    FetchSessionIdNotFound,
    InvalidFetchSessionEpoch,
    KafkaError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest

KNOWS_SESSIONS: Final = 7
"""The first version of the request that supports sessions."""
LAST_EPOCH: Final = 2**31 - 1

Place = tuple[str, int]


def keep(consumer: AIOKafkaConsumer) -> asyncio.Event:
    """Have it fetch within sessions, and only while the event is set, which it initially is."""
    wanted = asyncio.Event()
    wanted.set()
    sessions: dict[int, _Session] = defaultdict(_Session)
    connections: Any = consumer._client  # noqa: SLF001  there is no other way to its requests
    send = connections.send

    async def send_within(node_id: int, request: Any, **named: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node_id, request, **named)
        await wanted.wait()
        session = sessions[node_id]
        try:
            response = await send(node_id, _Within(request, session), **named)
            session.goes_on(response)
        except BaseException:
            session.ends()
            raise
        return response

    connections.send = send_within
    return wanted


class _Within:
    """The request as encoded in the session, depending on the protocol version."""

    def __init__(self, request: FetchRequest, session: "_Session") -> None:
        self._request = request
        self._session = session

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Any:
        struct = self._request.prepare(versions)
        if struct.API_VERSION >= KNOWS_SESSIONS:
            self._session.says(struct)
        return struct


class _Session:
    """What a broker knows about us. Epoch 0 starts a session, and ends the named one."""

    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        self._known: dict[Place, tuple[int, ...]] = {}

    def says(self, struct: Any) -> None:
        """Remove from the request what the broker knows."""
        asked = {
            (topic, partition[0]): partition
            for topic, partitions in struct.topics
            for partition in partitions
        }
        if self._epoch:
            known = self._known
            struct.topics = _by_topic(
                (place, partition)
                for place, partition in asked.items()
                if known.get(place) != partition
            )
            struct.forgotten_topics_data = _by_topic(
                (place, place[1]) for place in known.keys() - asked.keys()
            )
        struct.session_id, struct.session_epoch = self._id, self._epoch
        self._known = asked

    def goes_on(self, response: Any) -> None:
        """Raises:
        KafkaError: the broker refuses, and not because of the session.
        """
        if response.API_VERSION < KNOWS_SESSIONS:
            return
        refusal: type[KafkaError] = for_code(response.error_code)
        if refusal in (FetchSessionIdNotFound, InvalidFetchSessionEpoch):
            self.ends()
        elif response.error_code:
            raise refusal
        else:
            self._id = response.session_id
            self._epoch = self._epoch % LAST_EPOCH + 1 if self._id else 0

    def ends(self) -> None:
        self._epoch = 0


def _by_topic(found: Iterable[tuple[Place, Any]]) -> list[tuple[str, list[Any]]]:
    topics: dict[str, list[Any]] = defaultdict(list)
    for (topic, _), each in found:
        topics[topic].append(each)
    return list(topics.items())
