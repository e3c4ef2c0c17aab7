"""Pages of rows, as bytes: chosen, ordered and cut as the lists of the API do. Pure.

Rule 1: a list leaves out what is deleted, archived (it has lists of its own) or hidden from the
        token's user; `ids` leaves out the ids it does not find.
Rule 2: deleted deals are listed if `status` asks for them. Other deleted rows are only if the
        double is set to show them; deleted leads never are, since they have no mark.
Rule 3: `updated_since` is inclusive, and excludes rows without an update time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from devstack.pipedrive.api import asking
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.rows import UNMARKED
from devstack.pipedrive.api.tables import Key, Order, Table
from devstack.pipedrive.changes import Id, State

ARCHIVES = frozenset({"deal", "lead"})


@dataclass(slots=True)
class Sight:
    """What the token's user can see. `shows_deleted`: it is undocumented whether lists do.
    `is_admin` is only what the user's record says: it does not change what is hidden. Without
    `has_contact_sync` nobody can write a job title.
    """

    shows_deleted: bool = False
    is_admin: bool = True
    has_contact_sync: bool = True
    hidden: dict[str, set[Id]] = field(default_factory=dict)

    def is_hidden(self, entity: str, row_id: Id) -> bool:
        return row_id in self.hidden.get(entity, ())


def v2(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
    found = list(islice(_chosen(table, asked, sight, archived=archived), asked.limit + 1))
    following = b"null"
    if len(found) > asked.limit:
        key = table.key(found[asked.limit], asked.order)
        following = b'"%b"' % asking.cursor(asked, key).encode()
    return b'{"success":true,"data":[%b],"additional_data":{"next_cursor":%b}}' % (
        _rows(table, found[: asked.limit]),
        following,
    )


def v1(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
    start = asked.start if isinstance(asked.start, int) else 0
    chosen = _chosen(table, asked, sight, archived=archived)
    found = list(islice(chosen, start, start + asked.limit + 1))
    more = len(found) > asked.limit
    paging = b'"start":%d,"limit":%d,"more_items_in_collection":%b' % (
        start,
        asked.limit,
        b'true,"next_start":%d' % (start + asked.limit) if more else b"false",
    )
    return b'{"success":true,"data":[%b],"additional_data":{"pagination":{%b}}}' % (
        _rows(table, found[: asked.limit]),
        paging,
    )


def _rows(table: Table, ids: list[Id]) -> bytes:
    return b",".join([table.json(one) for one in ids])


def _chosen(table: Table, asked: Asked, sight: Sight, *, archived: bool) -> Iterator[Id]:
    for row_id in _candidates(table, asked):
        if _suits(table, row_id, asked, sight, archived=archived):
            yield row_id


def _candidates(table: Table, asked: Asked) -> Iterator[Id]:
    start: Key = asked.start if isinstance(asked.start, tuple) else ()
    if asked.ids is not None:
        there = sorted(table.key(one, asked.order) for one in asked.ids if table.get(one))
        keys = [
            key
            for key in there
            if not start or (key <= start if asked.descending else key >= start)
        ]
        return (key[-1] for key in (reversed(keys) if asked.descending else keys))
    if asked.since is None and asked.until is None:
        return table.walk(asked.order, start, descending=asked.descending)
    return _updated(table, asked, start)


def _updated(table: Table, asked: Asked, start: Key) -> Iterator[Id]:
    """Of the rows updated within the bounds, in the order asked for."""
    since = asked.since or "0"
    if asked.order is Order.UPDATED and not asked.descending:
        for row_id in table.walk(Order.UPDATED, max(start, (since,))):
            if asked.until is not None and table.key(row_id, Order.UPDATED)[0] >= asked.until:
                return
            yield row_id
        return
    within = []
    for row_id in table.walk(Order.UPDATED, (since,)):
        if asked.until is not None and table.key(row_id, Order.UPDATED)[0] >= asked.until:
            break
        within.append(table.key(row_id, asked.order))
    within.sort(reverse=asked.descending)
    for key in within:
        if not start or (key <= start if asked.descending else key >= start):
            yield key[-1]


def _suits(table: Table, row_id: Id, asked: Asked, sight: Sight, *, archived: bool) -> bool:
    if sight.hidden and sight.is_hidden(table.entity, row_id):
        return False
    if not asked.filters and table.is_untouched(row_id):
        return not archived  # an unaltered row is neither deleted nor archived
    state = table.get(row_id)
    if state is None or (table.entity in ARCHIVES and bool(state["is_archived"]) != archived):
        return False
    if state.get("gone"):
        is_asked_for = table.entity == "deal" and "deleted" in asked.filters.get("status", "")
        return is_asked_for or (sight.shows_deleted and table.entity not in UNMARKED)
    return all(_matches(state, name, wanted) for name, wanted in asked.filters.items())


def _matches(state: State, name: str, wanted: object) -> bool:
    if name == "status":
        return state["status"] in str(wanted).split(",")
    return bool(state[name] == wanted)
