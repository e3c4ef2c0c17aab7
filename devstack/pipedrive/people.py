"""What can happen to a contact: edited, handed to another owner, moved, merged, deleted, back.

Rule 1: only the lively share of the people is ever altered, which keeps memory flat.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from devstack.pipedrive import names, shapes
from devstack.pipedrive.changes import Change, State
from devstack.pipedrive.world import World

Changes = Iterator[Change]


def person_added(world: World) -> Changes:
    """A contact met after the history; those of the history are added by their number."""
    if world.people < world.sizes.people:
        return
    number, owner, org = world.people + 1, world.some_user(), world.some_org()
    domain = names.firm(world.first_firms[org["id"]]).domain if org else "mail.example"
    link = (org["id"] if org else None, domain)
    yield world.create("person", shapes.person(number, owner, link, world.rng), owner)


def person_edited(world: World) -> Changes:
    person = world.some_person(lively=True)
    if person is None:
        return
    yield world.change("person", person, world.some_user(), **_edit(world, person))


def _edit(world: World, person: State) -> dict[str, object]:
    rng = world.rng
    match rng.randint(0, 5):
        case 0:
            last = rng.choice(names.LAST)
            return {"name": f"{person['first_name']} {last}", "last_name": last}
        case 1:
            return {"emails": shapes.emails(person["name"], "mail.example", rng)}
        case 2:
            return {"phones": shapes.phones(rng)}
        case 3:
            return {"job_title": rng.choice((None, *names.JOB_TITLES))}
        case 4:
            label = rng.choice((5, 6))
            return {"label": label, "label_ids": [label]}
        case _:
            rate = {"type": "double", "value": round(rng.random(), 2)}
            field = shapes.CUSTOM_FIELDS["response_rate"]
            return {"custom_fields": {**person["custom_fields"], field: rate}}


def person_handed_on(world: World) -> Changes:
    person = world.some_person(lively=True)
    if person is not None:
        yield world.change("person", person, world.some_user(), owner_id=world.some_user())


def person_changed_jobs(world: World) -> Changes:
    person, org = world.some_person(lively=True), world.some_org()
    if person is None:
        return
    nowhere = org is None or shapes.happens(world.rng, 0.2)
    org_id = None if nowhere or org is None else org["id"]
    yield world.change("person", person, person["owner_id"], org_id=org_id)


def people_merged(world: World) -> Changes:
    """The survivor keeps its own and takes what it lacked."""
    winner, loser = world.some_person(lively=True), world.some_person(lively=True)
    if winner is None or loser is None or winner["id"] == loser["id"]:
        return
    gained = {
        key: loser[key]
        for key in ("emails", "phones", "job_title", "org_id")
        if loser[key] and not winner[key]
    }
    yield from world.absorb("person", loser, winner, **gained)


def person_dropped(world: World) -> Changes:
    person = world.some_person(lively=True)
    if person is not None and world.people - len(world.dead_people) > 1:
        yield world.delete("person", person, person["owner_id"])


def person_restored(world: World) -> Changes:
    gone = [key for key, heir in world.dead_people.items() if heir is None]
    if not gone:
        return
    person = dict(world.person(world.rng.choice(gone)))
    if shapes.happens(world.rng, 0.5):
        yield world.change("person", person, person["owner_id"])
    else:
        yield world.create("person", person, person["owner_id"])


HAPPENINGS: Mapping[Callable[[World], Changes], float] = MappingProxyType(
    {
        person_added: 1.0,
        person_edited: 3,
        person_handed_on: 1,
        person_changed_jobs: 1,
        people_merged: 0.4,
        person_dropped: 0.4,
        person_restored: 0.2,
    }
)
