"""The company's present state, and the only way to alter it: create, change, delete.

Rule 1: memory stays flat. People are a function of their number until first altered, only a
        bounded share of them ever is, and activities, deals and leads live in bounded pools.
Rule 2: the state depends on the seed and on the changes made, never on the wall clock.
Rule 3: after a merge, bodies written later name the survivor; those before keep naming the loser.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from devstack.pipedrive import names, shapes
from devstack.pipedrive.changes import Action, Change, Entity, Id, State

FIRST_USER_ID = 1001
LIVELY_PEOPLE = 20_000
POOL_SIZE = 5_000
TRIES = 20
MERGED_LINKS = ("org_id", "organization_id", "person_id")


@dataclass(frozen=True, slots=True)
class Sizes:
    """`contacts` is per user; `bustle` the happenings per contact in the history."""

    users: int = 3
    contacts: int = 500
    organizations: int = 200
    bustle: float = 5.0

    @property
    def people(self) -> int:
        return self.users * self.contacts


class Pool:
    """States by id, drawn at random; when full, a newcomer takes a random one's place."""

    def __init__(self, size: int, rng: Random) -> None:
        self._size = size
        self._rng = rng
        self._ids: list[Id] = []
        self._at: dict[Id, int] = {}
        self._states: dict[Id, State] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, state: State) -> None:
        key = state["id"]
        if key not in self._at:
            if len(self._ids) >= self._size:
                self.drop(self._rng.choice(self._ids))
            self._at[key] = len(self._ids)
            self._ids.append(key)
        self._states[key] = state

    def drop(self, key: Id) -> None:
        if key not in self._at:
            return
        at, last = self._at.pop(key), self._ids.pop()
        if last != key:
            self._ids[at], self._at[last] = last, at
        del self._states[key]

    def draw(self) -> State | None:
        return self._states[self._rng.choice(self._ids)] if self._ids else None


class World:
    """`born` tells when the person of a number was added; it must be a pure function."""

    def __init__(self, seed: int, sizes: Sizes, born: Callable[[int], datetime]) -> None:
        self.seed = seed
        self.sizes = sizes
        self.rng = Random(seed)
        self.born = born
        self.now = born(0)
        self.number = 0
        self.users: dict[int, State] = {}
        self.orgs: dict[int, State] = {}
        self.first_firms: dict[int, int] = {}
        self.firms: dict[int, int] = {}
        self.firm_count = 0
        self.people = 0
        self.altered: dict[int, State] = {}
        self.dead_orgs: dict[int, int | None] = {}
        self.dead_people: dict[int, int | None] = {}
        self.activities = Pool(POOL_SIZE, self.rng)
        self.deals = Pool(POOL_SIZE, self.rng)
        self.leads = Pool(POOL_SIZE, self.rng)
        self.last_ids = {"activity": 0, "deal": 0, "note": 0}
        self._stride = max(1, sizes.people // LIVELY_PEOPLE)

    # Reading

    def person(self, number: int) -> State:
        state = self.altered.get(number) or self._newborn(number)
        return {**state, "org_id": self.linked_org(state["org_id"])}

    def linked_org(self, org_id: int | None) -> int | None:
        """Where a link to this organization leads: to the survivor, or nowhere if it is gone."""
        found = survivor(self.dead_orgs, org_id)
        return None if found in self.dead_orgs else found

    def some_user(self) -> int:
        return self.rng.choice(tuple(self.users))

    def some_person(self, *, lively: bool = False) -> State | None:
        """A living one; `lively` restricts to those that may be altered."""
        for _ in range(TRIES if self.people else 0):
            number = self.rng.randint(1, self.people)
            if lively and number <= self.sizes.people:
                number = max(1, number // self._stride * self._stride)
            if number not in self.dead_people:
                return self.person(number)
        return None

    def some_org(self) -> State | None:
        for _ in range(TRIES if self.orgs else 0):
            number = self.rng.randint(1, len(self.orgs))
            if number not in self.dead_orgs:
                return self.orgs[number]
        return None

    def next_firm(self) -> int:
        self.firm_count += 1
        return self.firm_count - 1

    def next_id(self, entity: str) -> int:
        self.last_ids[entity] += 1
        return self.last_ids[entity]

    # Altering

    def stands_for(self, org_id: int, firm: int) -> None:
        """Records of one name stand for one firm; mail addresses keep the first one's domain."""
        self.firms[org_id] = firm
        self.first_firms.setdefault(org_id, firm)

    def create(self, entity: Entity, shape: dict[str, Any], by: int) -> Change:
        self._tick()
        if entity != "user":
            stamp = shapes.millis if entity == "lead" else shapes.seconds
            # A person's own times are fixed by its number.
            shape.setdefault("add_time", stamp(self.now))
            shape.setdefault("update_time", shape["add_time"])
        return self._record(entity, "create", None, shape, by)

    def change(self, entity: Entity, was: State, by: int, **fields: Any) -> Change:
        self._tick()
        return self._record(entity, "change", was, self._edited(entity, was, fields), by)

    def delete(self, entity: Entity, was: State, by: int) -> Change:
        self._tick()
        return self._record(entity, "delete", was, None, by)

    def absorb(self, entity: Entity, loser: State, winner: State, **fields: Any) -> list[Change]:
        """A merge: the loser's delete and the survivor's change, in either order."""
        by = self.some_user()
        dead = self.dead_people if entity == "person" else self.dead_orgs
        dead[loser["id"]] = winner["id"]
        merge = {"merged_from": loser["id"], "absorbed": loser}

        def lose() -> Change:
            self._tick()
            return self._record(entity, "delete", loser, None, by, merged_to=winner["id"])

        def win() -> Change:
            self._tick()
            after = self._edited(entity, winner, fields)
            return self._record(entity, "change", winner, after, by, **merge)

        return [lose(), win()] if shapes.happens(self.rng, 0.5) else [win(), lose()]

    # Inside

    def _tick(self) -> None:
        self.now += timedelta(microseconds=1000 + self.rng.randint(0, 999))

    def _edited(self, entity: Entity, was: State, fields: dict[str, Any]) -> State:
        links = {key: self._survivor_of(key, was[key]) for key in MERGED_LINKS if key in was}
        if entity == "user":
            return {**was, "modified": f"{self.now:%Y-%m-%d %H:%M:%S}", **fields}
        stamp = shapes.millis if entity == "lead" else shapes.seconds
        return {**was, **links, "update_time": stamp(self.now), **fields}

    def _survivor_of(self, link: str, target: int | None) -> int | None:
        return survivor(self.dead_people if link == "person_id" else self.dead_orgs, target)

    def _record(
        self,
        entity: Entity,
        action: Action,
        was: State | None,
        state: State | None,
        by: int,
        **merge: Any,
    ) -> Change:
        shown = state if state is not None else was
        if shown is None:
            raise ValueError("a change needs a state before or after it")
        self.number += 1
        self._keep(entity, shown, living=state is not None)
        names_now = self._names(shown)
        at, who = self.now, shown["id"]
        return Change(self.number, entity, action, who, state, was, at, by, names_now, **merge)

    def _keep(self, entity: Entity, state: State, *, living: bool) -> None:
        key = state["id"]
        match entity:
            case "user":
                self.users[key] = state
            case "organization":
                self.orgs[key] = state
                settle_death(self.dead_orgs, key, living=living)
            case "person":
                self._keep_person(key, state, living=living)
            case "activity" | "deal" | "lead":
                pool = {"activity": self.activities, "deal": self.deals, "lead": self.leads}[
                    entity
                ]
                if living:
                    pool.put(state)
                else:
                    pool.drop(key)
            case "note":
                pass

    def _keep_person(self, key: int, state: State, *, living: bool) -> None:
        newborn = key > self.people
        self.people = max(self.people, key)
        if not newborn or key > self.sizes.people:
            self.altered[key] = state
        settle_death(self.dead_people, key, living=living)

    def _names(self, state: State) -> dict[str, str | None]:
        owner = self.users.get(state.get("owner_id", state.get("user_id")))
        org = self.orgs.get(state.get("org_id") or 0)
        about = state.get("person_id")
        return {
            "owner": owner["name"] if owner else None,
            "org": org["name"] if org else None,
            "person": self.person(about)["name"] if about else None,
        }

    def _newborn(self, number: int) -> State:
        rng = Random(self.seed * 1_000_003 + number)
        share = min(1.0, number / max(1, self.sizes.people))
        known = max(1, round(self.sizes.organizations * share))
        org_id = rng.randint(1, known) if shapes.happens(rng, 0.85) else None
        if org_id not in self.orgs:
            org_id = None
        owner = FIRST_USER_ID + number % self.sizes.users
        domain = names.firm(self.first_firms[org_id]).domain if org_id else "mail.example"
        state = shapes.person(number, owner, (org_id, domain), rng)
        added = shapes.seconds(self.born(number))
        return {**state, "add_time": added, "update_time": added}


def survivor(dead: dict[int, int | None], start: int | None) -> int | None:
    """The end of the chain of merges; the id itself where there was none."""
    found = start
    while found is not None and (heir := dead.get(found)) is not None:
        found = heir
    return found


def settle_death(dead: dict[int, int | None], key: int, *, living: bool) -> None:
    if living:
        dead.pop(key, None)
    else:
        dead.setdefault(key, None)
