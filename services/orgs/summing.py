"""Settles what organizations show after a batch, and queues what is published.

Rule 1: an organization is published when anything that it shows changed, and only then; a little
        later, where only the totals of many changed (see `telling.py`).
Rule 2: an id that is not a living organization's is published as deleted, with where it leads. One
        that leads nowhere is published only to revoke what was published of it.
Rule 3: it is published as living while contacts are still in it: those of a large organization
        follow in parts, and would show none meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from services.orgs import organization_store, states, succession, untold_store
from services.orgs.effects import Effects, OrgKey
from services.orgs.grouping import Shown
from services.orgs.organization_store import Loaded, Organization
from services.orgs.searching import typeahead
from shared import db, outbox, topics

MANY: Final = 200
"""So many organizations of a company get new totals in one batch only while much arrives."""


async def settle(conn: db.Connection, effects: Effects) -> None:
    keys = effects.concerned()
    if keys:
        loaded = await organization_store.load(conn, keys)
        unknown = [key for key, into in effects.vacant.items() if into is None]
        effects.vacant |= await succession.of(conn, unknown)
        changed = _changed(loaded, effects)
        entered, recounted = _parted(changed, loaded)
        await organization_store.save(conn, entered)
        await organization_store.recount(conn, recounted)
        await typeahead.keep(conn, changed, loaded, effects.called)
        await _publish(conn, entered, recounted)
    moves = sorted(move for move in effects.links.values() if move.left != move.joined)
    await outbox.put(conn, topics.CONTACT_LINKS, map(states.of_link, moves))


async def _publish(
    conn: db.Connection, entered: Sequence[Organization], recounted: Sequence[Organization]
) -> None:
    of = Counter(each.company_id for each in recounted)
    later = [each.key for each in recounted if of[each.company_id] >= MANY]
    if later:
        await untold_store.put(conn, later)
    entered = [*entered, *(each for each in recounted if of[each.company_id] < MANY)]
    await outbox.put(conn, topics.ORG_STATES, map(states.of_organization, entered))


def _parted(
    changed: Sequence[Organization], loaded: Mapping[OrgKey, Loaded]
) -> tuple[Sequence[Organization], Sequence[Organization]]:
    """Apart from the others, those of which nothing but the totals changed."""
    entered: list[Organization] = []
    recounted: list[Organization] = []
    for after in changed:
        row = loaded[after.key].row
        (recounted if row is not None and _looks_same(row, after) else entered).append(after)
    return entered, recounted


def _looks_same(before: Organization, after: Organization) -> bool:
    return (before.shown, before.deleted, before.merged_into) == (
        after.shown,
        after.deleted,
        after.merged_into,
    )


def _changed(loaded: Mapping[OrgKey, Loaded], effects: Effects) -> Sequence[Organization]:
    changed: list[Organization] = []
    for key, (row, newest_moment) in loaded.items():
        before = row or Organization(*key, Shown(), deleted=True)
        published = max(before.published + 1, effects.now_us)
        count = before.contact_count + effects.counts[key]
        if key in effects.vacant:
            after = before._replace(deleted=True, merged_into=effects.vacant[key])
        elif (shown := effects.shown.get(key)) is not None:
            after = Organization(*key, shown)
        else:
            after = before
        after = after._replace(
            contact_count=count, last_activity=newest_moment, published=published
        )
        if after.is_over:
            after = after._replace(shown=Shown(), last_activity=None)
        is_nobodys = row is None and after.deleted and after.merged_into is None
        if after[:-1] != before[:-1] and not is_nobodys:
            changed.append(after)
    return changed
