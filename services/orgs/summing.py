"""Settles what organizations show after a batch, and queues what is published.

Rule 1: an organization is published when anything that it shows changed, and only then.
Rule 2: an id that is not a living organization's is published as deleted, with where it leads. One
        that leads nowhere is published only to revoke what was published of it.
Rule 3: it is published as living while contacts are still in it: those of a large organization
        follow in parts, and would show none meanwhile.
"""

from collections.abc import Mapping, Sequence

from services.orgs import organization_store, rows, succession
from services.orgs.effects import Effects, Move, OrgKey
from services.orgs.grouping import Shown
from services.orgs.organization_store import Loaded, Organization
from services.orgs.searching import typeahead
from shared import db, outbox, topics
from shared.states import ContactLink, OrganizationState


async def settle(conn: db.Connection, effects: Effects) -> None:
    keys = effects.concerned()
    if keys:
        loaded = await organization_store.load(conn, keys)
        unknown = [key for key, into in effects.vacant.items() if into is None]
        effects.vacant |= await succession.of(conn, unknown)
        changed = _changed(loaded, effects)
        await _save(conn, changed, loaded)
        await typeahead.keep(conn, changed, loaded, effects.called)
        await outbox.put(conn, topics.ORG_STATES, map(_state, changed))
    moves = sorted(move for move in effects.links.values() if move.left != move.joined)
    await outbox.put(conn, topics.CONTACT_LINKS, map(_link, moves))


async def _save(
    conn: db.Connection, changed: Sequence[Organization], loaded: Mapping[OrgKey, Loaded]
) -> None:
    whole: list[Organization] = []
    counts: list[Organization] = []
    for after in changed:
        row = loaded[after.company_id, after.organization_id].row
        (counts if row is not None and _looks_same(row, after) else whole).append(after)
    await organization_store.save(conn, whole)
    await organization_store.recount(conn, counts)


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


def _state(organization: Organization) -> OrganizationState:
    shown = organization.shown
    number = shown.pipedrive_org_id
    into = organization.merged_into if organization.is_over else None
    return OrganizationState(
        version=organization.published,
        company_id=organization.company_id,
        organization_id=rows.plain(organization.organization_id),
        deleted=organization.is_over,
        merged_into=rows.plain(into) if into else None,
        name=shown.name,
        pipedrive_org_id=None if number is None else str(number),
        industry=shown.industry,
        size=shown.size,
        website=shown.website,
        address=shown.address,
        country=shown.country,
        city=shown.city,
        contact_count=organization.contact_count,
        last_activity=organization.last_activity,
    )


def _link(move: Move) -> ContactLink:
    return ContactLink(
        version=move.published,
        company_id=move.company_id,
        person_id=move.person_id,
        organization_id=rows.plain(move.joined) if move.joined else None,
    )
