"""Whether webhooks can be accepted: Kafka and the spool stand in for one another.

Rule: ready means that an event would be stored, in either. A load balancer that turned senders
away while the spool accepts their events would lose what the spool is there to keep.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from services.ingest.outlet import Outlet
from shared import lifecycle, service
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher

PING_S = 1.0


def kafka(publisher: Publisher, outlet: Outlet) -> Callable[[], Awaitable[str | None]]:
    async def ping() -> str | None:
        reason: str | None
        if outlet.away:
            reason = outlet.reason
        elif outlet.missing:
            reason = _lack(outlet.missing)
        else:
            reason = await _answers(publisher)
        if reason is None:
            return None
        if outlet.own.trouble is None:
            return f"degraded: events go to the spool: {reason}"
        raise Unavailable(f"Kafka: {reason}")

    return ping


def spool(outlet: Outlet) -> Callable[[], Awaitable[str | None]]:
    async def ping() -> str | None:
        reason = outlet.own.trouble
        if reason is None:
            return None
        if outlet.away:
            raise Unavailable(f"the spool: {reason}")
        return f"degraded: events would be refused if Kafka failed: {reason}"

    return ping


def _lack(missing: Collection[str]) -> str:
    """Also why the missing topics cannot be created, if that is known."""
    named = f"there is no topic {', '.join(sorted(missing))}"
    why = lifecycle.reason_of(service.TOPICS)
    return f"{named}: {why}" if why else named


async def _answers(publisher: Publisher) -> str | None:
    """What is wrong with Kafka; null if nothing is."""
    try:
        async with asyncio.timeout(PING_S):
            await publisher.ping()
    except (Unavailable, TimeoutError) as error:
        return str(error) or "no answer in time"
    return None
