"""Sends webhooks as Pipedrive does, and keeps what was acked."""

import asyncio
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import orjson

from tests.faults.world import World
from tests.support.pipe import COMPANY, authorization

ATTEMPT_S = 10.0
"""Pipedrive's own limit for an answer."""
AGAIN_S = 0.2
GIVE_UP_S = 120.0
SENDERS = 16
LATE = 40
"""How many places an event may come too late, or too early, where order is kept by and large."""


@dataclass(slots=True)
class Sender:
    world: World
    acked: list[str] = field(default_factory=list)
    """Event ids in the answers."""
    statuses: Counter[str] = field(default_factory=Counter)

    async def send(self, body: dict[str, Any]) -> None:
        """Deliver until it is acked.

        Raises:
            TimeoutError: it was not in two minutes.
        """
        content = orjson.dumps(body)
        async with asyncio.timeout(GIVE_UP_S):
            while not await self._attempt(content):  # noqa: ASYNC110  an answer is no event
                await asyncio.sleep(AGAIN_S)

    async def send_all(self, bodies: Iterable[dict[str, Any]], per_second: float) -> None:
        waiting = iter(bodies)

        async def sender() -> None:
            for body in waiting:
                await self.send(body)
                await asyncio.sleep(SENDERS / per_second)

        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(sender())

    async def _attempt(self, content: bytes) -> bool:
        url = f"{self.world.instances['ingest-1'].url}/webhooks/pipedrive"
        headers = {"Authorization": authorization(COMPANY)}
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
        try:
            async with self.world.cluster.http.post(
                url, data=io.BytesIO(content), headers=headers, timeout=timeout
            ) as response:
                answer = await response.json()
                self.statuses[str(response.status)] += 1
                if response.status != 200:
                    return False
                self.acked.append(answer["data"]["eventId"])
                return True
        except (aiohttp.ClientError, TimeoutError) as error:
            self.statuses[type(error).__name__] += 1
            return False


def disordered(
    bodies: Sequence[dict[str, Any]], *, seed: int, shuffled: bool
) -> list[dict[str, Any]]:
    """A fifth of them twice, and in another order."""
    rng = Random(seed)  # noqa: S311 - repeatable, not secret
    mixed = [*bodies, *rng.sample(list(bodies), len(bodies) // 5)]
    if shuffled:
        rng.shuffle(mixed)
        return mixed
    again = [(place if place < len(bodies) else rng.random() * len(bodies)) for place in
             range(len(mixed))]  # fmt: skip
    late = [place + rng.uniform(0, LATE) for place in again]
    return [mixed[place] for place in sorted(range(len(mixed)), key=late.__getitem__)]
