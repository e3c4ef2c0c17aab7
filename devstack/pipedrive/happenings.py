"""What can happen on a day: each function alters the world and yields the changes it made.

Rule 1: a happening that finds nothing to act on yields nothing.
Rule 2: all chance comes from the world's random source.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

from devstack.pipedrive import names, shapes
from devstack.pipedrive.changes import Change
from devstack.pipedrive.world import World

Changes = Iterator[Change]
STAGES = 5


def activity_added(world: World) -> Changes:
    about = world.some_person()
    owner = world.some_user() if about is None else about["owner_id"]
    shape = shapes.activity(world.next_id("activity"), owner, world.now, world.rng)
    if about is not None and shapes.happens(world.rng, 0.92):
        shape |= {"person_id": about["id"], "org_id": about["org_id"]}
    elif shapes.happens(world.rng, 0.75):
        org = world.some_org()
        shape["org_id"] = org["id"] if org else None
    yield world.create("activity", shape, owner)


def activity_ticked(world: World) -> Changes:
    """Done becomes undone at times: somebody clicked twice."""
    activity = world.activities.draw()
    if activity is None:
        return
    done = not activity["done"]
    if not done and shapes.happens(world.rng, 0.8):
        return
    marked = shapes.seconds(world.now) if done else None
    by = activity["owner_id"]
    yield world.change("activity", activity, by, done=done, marked_as_done_time=marked)


def activity_moved(world: World) -> Changes:
    activity = world.activities.draw()
    if activity is None:
        return
    due = (world.now + timedelta(days=world.rng.randint(-10, 40))).date().isoformat()
    by = activity["owner_id"]
    if shapes.happens(world.rng, 0.7):
        yield world.change("activity", activity, by, due_date=due)
    else:
        kind = world.rng.choice(shapes.ACTIVITY_TYPES)
        subject = world.rng.choice(names.SUBJECTS[kind])
        yield world.change("activity", activity, by, type=kind, subject=subject)


def activity_reassigned(world: World) -> Changes:
    activity, person = world.activities.draw(), world.some_person()
    if activity is None or person is None:
        return
    link = {"person_id": person["id"], "org_id": person["org_id"]}
    yield world.change("activity", activity, activity["owner_id"], **link)


def activity_dropped(world: World) -> Changes:
    activity = world.activities.draw()
    if activity is not None:
        yield world.delete("activity", activity, activity["owner_id"])


def deal_added(world: World) -> Changes:
    person = world.some_person()
    if person is None:
        return
    title = f"{person['name']} deal"
    shape = shapes.deal(world.next_id("deal"), person["owner_id"], title, world.rng)
    shape |= {"person_id": person["id"], "org_id": person["org_id"]}
    yield world.create("deal", shape, person["owner_id"])


def deal_advanced(world: World) -> Changes:
    deal = world.deals.draw()
    if deal is None:
        return
    by = deal["owner_id"]
    if shapes.happens(world.rng, 0.5):
        stage = deal["stage_id"] % STAGES + 1
        when = shapes.seconds(world.now)
        yield world.change("deal", deal, by, stage_id=stage, stage_change_time=when)
    else:
        yield world.change("deal", deal, by, value=world.rng.randint(0, 20_000))


def deal_closed(world: World) -> Changes:
    deal = world.deals.draw()
    if deal is None or deal["status"] != "open":
        return
    when = shapes.seconds(world.now)
    fields = {"close_time": when, "status": "won", "won_time": when, "first_won_time": when}
    if shapes.happens(world.rng, 0.5):
        fields = {"close_time": when, "status": "lost", "lost_time": when, "lost_reason": "Price"}
    yield world.change("deal", deal, deal["owner_id"], **fields)


def deal_handed_on(world: World) -> Changes:
    """The deal is another contact's from here on."""
    deal, person = world.deals.draw(), world.some_person()
    if deal is None or person is None:
        return
    link = {"person_id": person["id"], "org_id": person["org_id"]}
    yield world.change("deal", deal, deal["owner_id"], **link)


def deal_dropped(world: World) -> Changes:
    deal = world.deals.draw()
    if deal is not None:
        yield world.delete("deal", deal, deal["owner_id"])


def lead_added(world: World) -> Changes:
    person = world.some_person()
    if person is None:
        return
    shape = shapes.lead(person["owner_id"], f"{person['name']} lead", world.rng)
    shape |= {"person_id": person["id"], "organization_id": person["org_id"]}
    yield world.create("lead", shape, person["owner_id"])


def lead_sorted(world: World) -> Changes:
    lead = world.leads.draw()
    if lead is None:
        return
    labels = world.rng.sample(sorted(shapes.LEAD_LABELS.values()), world.rng.randint(0, 3))
    archived = shapes.happens(world.rng, 0.3)
    yield world.change("lead", lead, lead["owner_id"], label_ids=labels, is_archived=archived)


def lead_dropped(world: World) -> Changes:
    lead = world.leads.draw()
    if lead is not None:
        yield world.delete("lead", lead, lead["owner_id"])


def note_added(world: World) -> Changes:
    person = world.some_person()
    if person is None:
        return
    by = person["owner_id"]
    shape = shapes.note(world.next_id("note"), by, person["name"], world.rng)
    yield world.create("note", shape | {"person_id": person["id"]}, by)


def user_edited(world: World) -> Changes:
    """A user who is deactivated still owns contacts, and comes back: nobody reads a list whose
    owner may not. The first user, whom a demo shows, is never away.
    """
    user = world.users[world.some_user()]
    if shapes.happens(world.rng, 0.2) and user["id"] != min(world.users):
        yield world.change("user", user, user["id"], active_flag=False)
        away = world.users[user["id"]]
        yield world.change("user", away, user["id"], active_flag=True)
    else:
        yield world.change("user", user, user["id"], lang=world.rng.choice(("en-GB", "et-EE")))


HAPPENINGS: Mapping[Callable[[World], Changes], float] = MappingProxyType(
    {
        activity_added: 40,
        activity_ticked: 14,
        activity_moved: 4,
        activity_reassigned: 0.5,
        activity_dropped: 1,
        deal_added: 7,
        deal_advanced: 6,
        deal_closed: 2,
        deal_handed_on: 0.5,
        deal_dropped: 0.5,
        lead_added: 4,
        lead_sorted: 3,
        lead_dropped: 0.5,
        note_added: 3,
        user_edited: 0.1,
    }
)
