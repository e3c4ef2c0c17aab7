"""The company as the API sees it: every row of every kind, in each order that lists have.

Rule 1: a change that is older than the row's last one is ignored.
Rule 2: a row that was never edited has no update time, except activities and leads.
Rule 3: a deleted row stays, marked, with the time of its deletion as its update time.
Rule 4: the rows up to a base's count are a function of their number until first altered, so that
        half a million of them take no memory.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

import orjson

from devstack.pipedrive import shapes
from devstack.pipedrive.api import rows
from devstack.pipedrive.changes import Change, Entity, Id, State

Key = tuple[Any, ...]
FRESH_HAS_NO_UPDATE = frozenset({"person", "organization", "deal"})
NEVER = datetime.min.replace(tzinfo=UTC)


class Order(StrEnum):
    ID = "id"
    ADDED = "add_time"
    UPDATED = "update_time"


class Base(Protocol):
    """Rows 1 to `count`, added in the order of their numbers and never edited."""

    @property
    def count(self) -> int: ...
    def state(self, number: int) -> State: ...
    def json(self, number: int) -> bytes: ...
    def time(self, number: int) -> str: ...


class _Keys(Sequence[Key]):
    """A base's keys in one order, computed where they are looked at."""

    def __init__(self, base: Base, order: Order) -> None:
        self._base = base
        self._order = order

    def __len__(self) -> int:
        return self._base.count

    def __getitem__(self, at: Any) -> Any:
        number = at + 1
        return (number,) if self._order is Order.ID else (self._base.time(number), number)


class Table:
    """One kind of objects."""

    def __init__(self, entity: Entity, base: Base | None = None) -> None:
        self.entity = entity
        self.base = base if base is not None and base.count else None
        self._states: dict[Id, State] = {}
        self._at: dict[Id, datetime] = {}
        self._json: dict[Id, bytes] = {}
        self._purged: set[Id] = set()
        self._keys: Mapping[Order, list[Key]] = {order: [] for order in Order}
        self._greatest = self.base.count if self.base else 0

    def __len__(self) -> int:
        """All rows, deleted ones among them."""
        count = self.base.count if self.base else 0
        return count + sum(1 for one in self._states if not self._in_base(one))

    def get(self, row_id: Id) -> State | None:
        found = self._states.get(row_id)
        if found is None and self.base and self._in_base(row_id) and row_id not in self._purged:
            return self.base.state(int(row_id))
        return found

    def json(self, row_id: Id) -> bytes:
        """The row's bytes; there must be one."""
        if self.base and row_id not in self._states:
            return self.base.json(int(row_id))
        found = self._json.get(row_id)
        if found is None:
            spelled = rows.SPELLED[self.entity](self._states[row_id])
            found = self._json[row_id] = orjson.dumps(spelled)
        return found

    def is_untouched(self, row_id: Id) -> bool:
        """As its base has it."""
        return self._in_base(row_id) and row_id not in self._states

    def last_change(self, row_id: Id) -> datetime:
        return self._at.get(row_id, NEVER)

    def next_id(self, first: int) -> int:
        """For an object that the API makes, not below `first`."""
        return max(self._greatest + 1, first)

    def apply(self, change: Change) -> None:
        was = self._states.get(change.entity_id)
        if change.at < self.last_change(change.entity_id):
            return
        if change.state is not None:
            state = dict(change.state)
            if was is None and change.action == "create" and self._is_fresh_null():
                state["update_time"] = None
            self.put(state, change.at)
        elif (gone := was or change.previous) is not None:
            stamp = shapes.millis if self.entity == "lead" else shapes.seconds
            self.put({**gone, "gone": True, "update_time": stamp(change.at)}, change.at)

    def put(self, state: State, at: datetime) -> None:
        row_id = state["id"]
        for order in Order:
            self._unlist(order, row_id)
        self._states[row_id] = state
        self._purged.discard(row_id)
        self._at[row_id] = at
        self._json.pop(row_id, None)
        if isinstance(row_id, int):
            self._greatest = max(self._greatest, row_id)
        for order in Order:
            insort(self._keys[order], _key(state, order))

    def purge(self, row_id: Id) -> None:
        """Gone without a trace, as 30 days after its deletion."""
        for order in Order:
            self._unlist(order, row_id)
        self._states.pop(row_id, None)
        self._json.pop(row_id, None)
        self._purged.add(row_id)

    def walk(self, order: Order, start: Key = (), *, descending: bool = False) -> Iterator[Id]:
        """Ids from the key `start` on, itself included."""
        sides = [_from(self._keys[order], start, descending=descending)]
        if self.base is not None:
            listed = _from(_Keys(self.base, order), start, descending=descending)
            altered, purged = self._states, self._purged
            sides.append(k for k in listed if k[-1] not in altered and k[-1] not in purged)
        merged = heapq.merge(*sides, reverse=descending) if len(sides) > 1 else sides[0]
        return (key[-1] for key in merged)

    def key(self, row_id: Id, order: Order) -> Key:
        """Where a row stands in an order."""
        state = self._states.get(row_id)
        if state is not None:
            return _key(state, order)
        if self.base is None:
            raise KeyError(row_id)
        return (row_id,) if order is Order.ID else (self.base.time(int(row_id)), row_id)

    def _is_fresh_null(self) -> bool:
        return self.entity in FRESH_HAS_NO_UPDATE

    def _in_base(self, row_id: Id) -> bool:
        return self.base is not None and isinstance(row_id, int) and 0 < row_id <= self.base.count

    def _unlist(self, order: Order, row_id: Id) -> None:
        was = self._states.get(row_id)
        if was is not None:
            keys, key = self._keys[order], _key(was, order)
            del keys[bisect_left(keys, key)]


class Tables:
    def __init__(self, bases: Mapping[str, Base] | None = None) -> None:
        bases = bases or {}
        entities: tuple[Entity, ...] = (
            "user",
            "organization",
            "person",
            "deal",
            "activity",
            "lead",
            "note",
        )
        self._tables = {one: Table(one, bases.get(one)) for one in entities}

    def __getitem__(self, entity: str) -> Table:
        return self._tables[entity]  # type: ignore[index]  # asked for by name

    def apply(self, change: Change) -> None:
        self[change.entity].apply(change)

    def counts(self) -> dict[str, int]:
        return {entity: len(table) for entity, table in self._tables.items()}


def _key(state: State, order: Order) -> Key:
    if order is Order.ID:
        return (state["id"],)
    name = {"update_time": "modified", "add_time": "created"} if "created" in state else {}
    return (state[name.get(order, order.value)] or "", state["id"])


def _from(keys: Sequence[Key], start: Key, *, descending: bool) -> Iterator[Key]:
    if not descending:
        at = bisect_left(keys, start) if start else 0
        return (keys[i] for i in range(at, len(keys)))
    last = len(keys) - 1
    if start:
        last = bisect_left(keys, start)
        if last >= len(keys) or keys[last] != start:
            last -= 1
    return (keys[i] for i in range(last, -1, -1))
