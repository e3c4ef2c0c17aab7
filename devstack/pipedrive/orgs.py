"""What can happen to an organization's record: added, edited, renamed, merged, deleted, back.

Rule 1: records of the same basic name stand for one firm: same web domain, same country.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from devstack.pipedrive import names, shapes
from devstack.pipedrive.changes import Change, State
from devstack.pipedrive.world import World

Changes = Iterator[Change]


def org_added(world: World) -> Changes:
    """Some stand for a firm that has a record already: spelled alike, or only nearly."""
    number, twin = len(world.orgs) + 1, world.some_org()
    if twin is None or shapes.happens(world.rng, 0.7):
        at = world.next_firm()
        name = names.official(names.firm(at))
    else:
        at = world.firms[twin["id"]]
        name = names.fuzzy(names.firm(at), world.rng)
        if shapes.happens(world.rng, 0.75):
            name = names.respelled(twin["name"], world.rng)
    world.stands_for(number, at)
    by = world.some_user()
    shape = shapes.organization(number, names.firm(at), name, by, world.rng)
    yield world.create("organization", shape, by)


def org_edited(world: World) -> Changes:
    org = world.some_org()
    if org is None:
        return
    firm = names.firm(world.firms[org["id"]])
    fields = shapes.organization(org["id"], firm, org["name"], org["owner_id"], world.rng)
    key = world.rng.choice(("address", "website", "industry", "employee_count"))
    yield world.change("organization", org, world.some_user(), **{key: fields[key]})


def org_joined_a_name(world: World) -> Changes:
    """Renamed to another record's name, with that firm's site and address or none."""
    org, other = world.some_org(), world.some_org()
    if org is None or other is None or org["id"] == other["id"]:
        return
    name = names.respelled(other["name"], world.rng)
    yield _renamed(world, org, name, world.firms[other["id"]])


def org_left_its_name(world: World) -> Changes:
    org = world.some_org()
    if org is not None:
        at = world.next_firm()
        yield _renamed(world, org, names.official(names.firm(at)), at)


def _renamed(world: World, org: State, name: str, firm: int) -> Change:
    world.stands_for(org["id"], firm)
    fresh = shapes.organization(org["id"], names.firm(firm), name, org["owner_id"], world.rng)
    shown = {key: fresh[key] for key in ("name", "address", "website", "industry")}
    return world.change("organization", org, world.some_user(), **shown)


def orgs_merged(world: World) -> Changes:
    winner, loser = world.some_org(), world.some_org()
    if winner is None or loser is None or winner["id"] == loser["id"]:
        return
    yield from world.absorb("organization", loser, winner)


def org_dropped(world: World) -> Changes:
    org = world.some_org()
    if org is not None and len(world.orgs) - len(world.dead_orgs) > 1:
        yield world.delete("organization", org, world.some_user())


def org_restored(world: World) -> Changes:
    gone = [key for key, heir in world.dead_orgs.items() if heir is None]
    if gone:
        org = world.orgs[world.rng.choice(gone)]
        yield world.change("organization", org, world.some_user())


HAPPENINGS: Mapping[Callable[[World], Changes], float] = MappingProxyType(
    {
        org_added: 0.2,
        org_edited: 1,
        org_joined_a_name: 0.2,
        org_left_its_name: 0.2,
        orgs_merged: 0.1,
        org_dropped: 0.1,
        org_restored: 0.1,
    }
)
