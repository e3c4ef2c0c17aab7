"""One company as the API serves it: its rows, webhooks, simulated changes, and API writes.

Rule 1: every change takes the same path: into the tables, then to the subscribed webhooks.
Rule 2: rows created through the API have ids above those of the simulation, which ignores them:
        a seed gives the same changes whatever is written.
Rule 3: two changes of one object are at least a millisecond apart.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from devstack.pipedrive import shapes
from devstack.pipedrive.api import writes
from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.api.hooks import Hooks
from devstack.pipedrive.api.journal import Journal
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Base, Tables
from devstack.pipedrive.changes import Action, Change, Entity, Id, State
from devstack.pipedrive.company import Company

FIRST_WRITTEN_ID = 800_000_001
FIRST_WRITTEN_NUMBER = 10**12
TOUCHED = {"person_id": "person", "org_id": "organization", "deal_id": "deal"}
REST_EVERY = 200


@dataclass(slots=True)
class Account:
    """`heard` are all changes so far, kept when `remembers`: the truth that tests compare with.
    `pushed_hook` is a webhook that gets all changes by other means.
    """

    company_id: int
    company: Company
    hooks: Hooks
    bases: Mapping[str, Base] = field(default_factory=dict)
    folder: Path | None = None
    remembers: bool = False
    pushed_hook: int | None = None
    sight: Sight = field(default_factory=Sight)
    tables: Tables = field(init=False)
    heard: list[Change] = field(default_factory=list)
    _journal: Journal = field(init=False)
    _number: int = FIRST_WRITTEN_NUMBER
    _life: Iterator[Change] | None = None
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ids: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        self.tables = Tables(self.bases)
        self._journal = Journal(self.folder)

    @property
    def user_id(self) -> int:
        """The token's user."""
        return self.company.user_ids[0]

    def witness(self, change: Change) -> None:
        """A change that somebody else delivers."""
        self.tables.apply(change)
        if self.remembers:
            self.heard.append(change)

    async def live_through_history(self) -> None:
        """Nothing of it is pushed: later connections have to read it."""
        for number, change in enumerate(self.company.history()):
            self.witness(change)
            if number % REST_EVERY == 0:
                await asyncio.sleep(0)
        self.recall()

    def recall(self) -> None:
        """What earlier runs wrote."""
        for change in self._journal.read():
            self._number = max(self._number, change.number + 1)
            self.witness(change)

    async def happen(self, count: int, clock: Callable[[int], datetime] | None = None) -> int:
        """Make so many live changes, one after another, from now on or as `clock` says."""
        if self._life is None:
            self._life = self.company.live(clock or (lambda _: datetime.now(UTC)))
        for _ in range(count):
            await self.tell(next(self._life))
        await self.hooks.flush()
        return count

    async def tell(self, change: Change) -> None:
        self.witness(change)
        await self.hooks.tell(change, unseen_by=self._unseen_by(change))

    async def told(self, change: Change) -> None:
        """Send to all webhooks but `pushed_hook`, which gets this change by other means."""
        unseen_by = self._unseen_by(change)
        await self.hooks.tell(change, besides=self.pushed_hook, unseen_by=unseen_by)

    def _unseen_by(self, change: Change) -> int | None:
        is_hidden = self.sight.is_hidden(change.entity, change.entity_id)
        return self.user_id if is_hidden else None

    # What the API writes

    async def create(self, entity: Entity, body: Any) -> State:
        """Raises:
        Rejected: 400, 403.
        """
        async with self._writing:
            self._require_writable(entity, body)
            now = _now()
            new_id = self._new_id(entity)
            state = writes.created(
                entity, body, self.exists, new_id=new_id, user_id=self.user_id, now=now
            )
            change = self._change(entity, "create", new_id, state, None, now)
            await self._written(change)
            self._touch(state, now)
        return self._kept(entity, new_id)

    async def update(self, entity: Entity, row_id: Id, body: Any) -> State:
        """Raises:
        Rejected: 400, 403, 404.
        """
        async with self._writing:
            was = self.living(entity, row_id)
            self._require_writable(entity, body)
            now = max(_now(), self.tables[entity].last_change(row_id) + timedelta(milliseconds=1))
            fields = writes.read(entity, body, self.exists)
            state = writes.edited(entity, was, fields, now=now)
            state["update_time"] = _stamp(entity, now)
            await self._written(self._change(entity, "change", row_id, state, was, now))
        return self._kept(entity, row_id)

    async def delete(self, entity: Entity, row_id: Id) -> None:
        """Raises:
        Rejected: 404.
        """
        async with self._writing:
            was = self.living(entity, row_id)
            now = max(_now(), self.tables[entity].last_change(row_id) + timedelta(milliseconds=1))
            await self._written(self._change(entity, "delete", row_id, None, was, now))

    def _require_writable(self, entity: Entity, body: Any) -> None:
        is_titled = entity == "person" and isinstance(body, dict) and "job_title" in body
        if is_titled and not self.sight.has_contact_sync:
            raise Rejected(403, "job_title: the company has no contact sync")

    def living(self, entity: Entity, row_id: Id) -> State:
        found = self.tables[entity].get(row_id)
        if found is None or found.get("gone"):
            raise Rejected(404, f"{entity.capitalize()} not found")
        return found

    def exists(self, entity: str, row_id: Any) -> bool:
        found = self.tables[entity].get(row_id)
        return found is not None and not found.get("gone")

    async def _written(self, change: Change) -> None:
        self._journal.add(change)
        await self.tell(change)
        await self.hooks.flush()

    def _change(
        self,
        entity: Entity,
        action: Action,
        row_id: Id,
        state: State | None,
        was: State | None,
        at: datetime,
    ) -> Change:
        self._number += 1
        names = self._names(state or was or {})
        return Change(self._number, entity, action, row_id, state, was, at, self.user_id, names)

    def _names(self, state: State) -> dict[str, str | None]:
        """Related objects that version 1 includes."""
        found: dict[str, str | None] = {}
        for name, entity, link in (
            ("owner", "user", "owner_id"),
            ("org", "organization", "org_id"),
            ("person", "person", "person_id"),
        ):
            linked = self.tables[entity].get(state.get(link) or 0)
            found[name] = linked["name"] if linked else None
        return found

    def _touch(self, state: State, now: datetime) -> None:
        """Creating a row changes the update time of those it links to, without a webhook."""
        for link, entity in TOUCHED.items():
            table, linked = self.tables[entity], state.get(link)
            was = table.get(linked) if linked else None
            if was is not None and not was.get("gone"):
                table.put({**was, "update_time": _stamp(entity, now)}, now)

    def _kept(self, entity: str, row_id: Id) -> State:
        found = self.tables[entity].get(row_id)
        if found is None:
            raise LookupError(f"{entity} {row_id} was written and is not there")
        return found

    def _new_id(self, entity: str) -> Id:
        if entity == "lead":
            return str(uuid.UUID(int=self._ids.getrandbits(128), version=1))
        return self.tables[entity].next_id(FIRST_WRITTEN_ID)


def _stamp(entity: str, at: datetime) -> str:
    return shapes.millis(at) if entity == "lead" else shapes.seconds(at)


def _now() -> datetime:
    """In milliseconds, which is all that webhooks say."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
