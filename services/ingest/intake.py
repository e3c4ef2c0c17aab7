"""Reads webhooks and passes on what they become.

Rule 1: a webhook is done when what it became is stored: an event, or a dead letter.
Rule 2: what arrives in one turn of the event loop is read and published together: reading each
        webhook between system calls of its own costs CPU caches, and half as much time again.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from services.ingest import payload
from services.ingest.outlet import Outlet
from services.ingest.spool.spool import Handed
from shared.errors import Poison
from shared.events import key
from shared.kafka.dead_letters import Origin, letter
from shared.kafka.rounds import Acked, Record
from shared.observability import DEAD_LETTERS
from shared.topics import OF_ENTITY, OTHER, WEBHOOKS


class Stored(NamedTuple):
    """The event is in the log, or on its way there."""

    event_id: str
    entity: str


class PutAside(NamedTuple):
    """The body describes no change; it is in the dead letters."""

    event_id: str


class Foreign(NamedTuple):
    """The body is another company's than its credentials; it is stored nowhere."""

    entity: str


Outcome = Stored | PutAside | Foreign


class Reading(NamedTuple):
    """What a body becomes in the log, if anything, and the answer to its sender then."""

    record: Record | None
    outcome: Outcome


@dataclass(slots=True)
class Webhook:
    company_id: int
    content: bytes
    done: Acked
    outcome: Outcome | None = None


class Intake:
    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting: list[Webhook] = []

    async def store(self, content: bytes, *, company_id: int) -> Outcome:
        """Take a body that the credentials of `company_id` sent.

        Raises:
            Unavailable: neither Kafka nor the disk takes it.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._read_waiting)
        webhook = Webhook(company_id, content, loop.create_future())
        self._waiting.append(webhook)
        await webhook.done
        if webhook.outcome is None:
            raise AssertionError("a webhook is done when it has an outcome")
        if type(webhook.outcome) is PutAside:
            DEAD_LETTERS.labels(WEBHOOKS).inc()
        return webhook.outcome

    def _read_waiting(self) -> None:
        taken, self._waiting = self._waiting, []
        now = datetime.now(UTC)
        handed = []
        for webhook in taken:
            if webhook.done.done():  # its sender has hung up
                continue
            record, webhook.outcome = read(webhook.content, company_id=webhook.company_id, now=now)
            if record is None:
                webhook.done.set_result(None)
            else:
                handed.append(Handed(record, webhook.done))
        if handed:
            self._outlet.hand_over(handed)


def read(content: bytes, *, company_id: int, now: datetime) -> Reading:
    try:
        told = payload.envelope(content, company_id=company_id, now=now)
    except Poison as why:
        event_id = str(uuid4())
        place = key(company_id, event_id)
        poison = letter(Origin(WEBHOOKS), key=place, value=content, reason=str(why), now=now)
        return Reading(poison, PutAside(event_id))
    entity = told["entity"]
    if told["company_id"] != company_id:
        return Reading(None, Foreign(entity))
    topic = OF_ENTITY.get(entity, OTHER).name
    record = Record(topic, key(company_id, told["entity_id"]), payload.dump(told))
    return Reading(record, Stored(told["event_id"], entity))
