"""A client of the live stream: reads events, and keeps a copy of the list by them alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import orjson

STREAM = "/api/my-500/stream"


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: dict[str, Any]


async def read_events(response: aiohttp.ClientResponse, ids: list[str]) -> AsyncIterator[Event]:
    """As a browser parses them; each id is appended as it is seen."""
    name, data = "", ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        field_name, _, value = line.partition(": ")
        if not line:
            if data:
                yield Event(name, orjson.loads(data))
            name, data = "", ""
        elif field_name == "event":
            name = value
        elif field_name == "data":
            data += value
        elif field_name == "id":
            ids.append(value)


def instant(text: str | None) -> float:
    """Never comes last."""
    return datetime.fromisoformat(text).timestamp() if text else float("inf")


def place(contact: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a contact stands in the list, from what the page shows of it."""
    return (
        not contact["addedToCampaign"],
        contact["warmnessScore"],
        instant(contact["lastContacted"]),
        -instant(contact["createdAt"]),
        contact["id"],
    )


@dataclass
class Copy:
    """What a client holds. `needs_reading` until the whole list was read."""

    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    total: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    needs_reading: bool = True

    def listed(self) -> list[dict[str, Any]]:
        return sorted(self.contacts.values(), key=place)

    def apply(self, event: Event) -> None:
        match event.name:
            case "contact":
                self.contacts[event.data["contact"]["id"]] = event.data["contact"]
                self.total = event.data["total"]
            case "removed":
                self.contacts.pop(event.data["id"], None)
                self.total = event.data["total"]
            case "organization":
                self._show(event.data["id"], event.data["organization"])
            case "sync":
                self.status = event.data["syncStatus"]
            case "reset":
                self.needs_reading = True
            case strange:
                raise AssertionError(f"no such event: {strange}")

    def read(self, page: Mapping[str, Any]) -> None:
        """Take over a page that holds the whole list."""
        self.contacts = {contact["id"]: contact for contact in page["contacts"]}
        self.total = page["pagination"]["total"]
        self.status = page["syncStatus"]
        self.needs_reading = False

    def _show(self, organization_id: str, organization: dict[str, Any] | None) -> None:
        for contact in self.contacts.values():
            if contact["organizationId"] == organization_id:
                contact["organization"] = organization
                if organization is None:
                    contact["organizationId"] = None


@dataclass
class Client:
    """Follows one user's stream on a base URL; `ids` are those seen, the last one resumes."""

    http: aiohttp.ClientSession
    headers: Mapping[str, str]
    copy: Copy = field(default_factory=Copy)
    ids: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def follow(self, base: str) -> None:
        """Until the connection ends."""
        headers = dict(self.headers)
        if self.ids:
            headers["Last-Event-ID"] = self.ids[-1]
        no_limit = aiohttp.ClientTimeout(total=None)
        async with self.http.get(base + STREAM, headers=headers, timeout=no_limit) as response:
            assert response.status == 200, await response.text()
            async for event in read_events(response, self.ids):
                self.events.append(event)
                self.copy.apply(event)
                if self.copy.needs_reading:
                    await self.read(base)

    async def read(self, base: str) -> None:
        async with self.http.get(f"{base}/api/my-500?limit=500", headers=self.headers) as response:
            assert response.status == 200
            self.copy.read((await response.json())["data"])

    @asynccontextmanager
    async def following(self, base: str) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follow(base))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
