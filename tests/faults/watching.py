"""A user who looks all the time, while the one contact of the list is renamed all the time.

The names are numbered, so whoever looks can tell an older page from a newer one.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.faults.sending import Sender
from tests.faults.world import World
from tests.support import histories
from tests.support.cluster import token
from tests.support.pipe import COMPANY

USER = 900_001
PERSON = 900_001
PROBE_EVERY_S = 0.25
LOOK_EVERY_S = 0.03
LOOK_S = 5.0
READERS = ("query-1", "query-2")
NONE = -1


@dataclass(frozen=True, slots=True)
class Look:
    """`expected`: the newest number that anybody had seen when this was asked for. `flagged`:
    the answer says itself that it may be old."""

    reader: str
    asked: float
    answered: float
    number: int
    expected: int
    flagged: bool


@dataclass(slots=True)
class Watch:
    world: World
    sender: Sender
    bodies: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[int, float] = field(default_factory=dict)
    """When each number was acked."""
    looks: list[Look] = field(default_factory=list)
    newest: int = NONE
    unanswered: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rename(stop))
            for reader in READERS:
                group.create_task(self._look(reader, stop))

    async def _rename(self, stop: asyncio.Event) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            body = a_probe(number)
            self.bodies.append(body)
            await self.sender.send(body)
            self.stored[number] = time.monotonic()
            await asyncio.sleep(PROBE_EVERY_S)

    async def _look(self, reader: str, stop: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {token(COMPANY, str(USER))}"}
        timeout = aiohttp.ClientTimeout(total=LOOK_S)
        while not stop.is_set():
            url = f"{self.world.instances[reader].url}/api/my-500"
            asked, expected = time.monotonic(), self.newest
            try:
                async with self.world.cluster.http.get(
                    url, headers=headers, timeout=timeout
                ) as response:
                    answer = await response.json() if response.status == 200 else None
            except (aiohttp.ClientError, TimeoutError):
                answer = None
            if answer is None:
                self.unanswered += 1
            else:
                self._saw(reader, asked, expected, answer)
            await asyncio.sleep(LOOK_EVERY_S)

    def _saw(self, reader: str, asked: float, expected: int, answer: dict[str, Any]) -> None:
        number = number_on(answer)
        flagged = bool(answer.get("stale") or answer["data"].get("stale"))
        self.looks.append(Look(reader, asked, time.monotonic(), number, expected, flagged))
        self.newest = max(self.newest, number)

    def recovered_s(self, after: float) -> float | None:
        """From a moment until both readers saw a change that was stored after it."""
        first = next((n for n, at in sorted(self.stored.items()) if at > after), None)
        if first is None:
            return None
        seen = [
            next((k.answered for k in self.looks if k.reader == one and k.number >= first), None)
            for one in READERS
        ]
        times = [at for at in seen if at is not None]
        return max(times) - after if len(times) == len(READERS) else None


def number_on(answer: dict[str, Any]) -> int:
    """The number that the page shows; an empty page is older than any that shows one."""
    contacts = answer["data"]["contacts"]
    return int(contacts[0]["name"].split()[-1]) if contacts else NONE


def older(looks: Sequence[Look], excused: Sequence[tuple[float, float]]) -> list[Look]:
    """The looks that met an older page than somebody had met before, outside excused times."""
    return [
        look
        for look in looks
        if look.number < look.expected
        and not look.flagged
        and not any(began <= look.answered and look.asked <= ended for began, ended in excused)
    ]


def a_probe(number: int) -> dict[str, Any]:
    person = histories.a_person(
        id=PERSON,
        owner_id=USER,
        name=f"Probe {number}",
        org_id=None,
        emails=[],
        phones=[],
        update_time=None,
    )
    action = "change" if number else "create"
    return histories.a_webhook("person", action, person, at=datetime.now(UTC), company_id=COMPANY)
