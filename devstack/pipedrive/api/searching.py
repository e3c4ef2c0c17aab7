"""Searches: names that contain the term, best first. Pure.

Rule 1: a term has at least two characters, one if it must match exactly.
Rule 2: what is deleted or hidden is not found.
"""

from collections.abc import Iterator
from typing import Any

from devstack.pipedrive.api.asking import Query, Rejected
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.metadata import STAGES
from devstack.pipedrive.api.tables import Order, Table, Tables
from devstack.pipedrive.changes import State

MOST_ITEMS = 100
KINDS = ("person", "organization", "deal")
Item = dict[str, Any]
Scored = tuple[float, State]


def items(table: Table, tables: Tables, query: Query, sight: Sight) -> list[Item]:
    """Of one kind, as `/organizations/search` answers."""
    term, exact = _term(query)
    found = sorted(_found(table, term, sight, exact=exact), key=_rank)
    limit = max(1, min(int(query.get("limit", "100") or 100), 500))
    return [
        {"result_score": round(score, 5), "item": _item(table.entity, state, tables)}
        for score, state in found[:limit]
    ]


def all_items(tables: Tables, query: Query, sight: Sight) -> list[Item]:
    """Of all kinds asked for, as `/itemSearch` answers."""
    wanted = query.get("item_types", ",".join(KINDS)).split(",")
    listed = [
        one
        for kind in KINDS
        if kind in wanted
        for one in items(tables[kind], tables, query, sight)
    ]
    listed.sort(key=lambda one: -one["result_score"])
    return listed[:MOST_ITEMS]


def field_items(tables: Tables, query: Query, sight: Sight) -> list[Item]:
    """Ids and values of one field, as `/itemSearch/field` answers."""
    term, _ = _term(query)
    table, name = tables[query.get("entity_type", "person")], query.get("field", "name")
    match = query.get("match", "exact")
    found = []
    for state in _living(table, sight):
        value = state.get(name)
        if isinstance(value, str) and _fits(value, term, match):
            found.append({"id": state["id"], "name": value})
    return found[:MOST_ITEMS]


def _fits(value: str, term: str, match: str) -> bool:
    match match:
        case "beginning":
            return value.startswith(term)
        case "middle":
            return term in value
        case _:
            return value == term


def _term(query: Query) -> tuple[str, bool]:
    term, exact = query.get("term", "").strip(), query.get("exact_match") in ("true", "1")
    if len(term) < (1 if exact else 2):
        raise Rejected(400, "term: must have at least 2 characters")
    return term, exact


def _found(table: Table, term: str, sight: Sight, *, exact: bool) -> Iterator[Scored]:
    wanted = term.lower()
    for state in _living(table, sight):
        for text in _texts(state):
            folded = text.lower()
            if folded == wanted or (not exact and wanted in folded):
                yield len(wanted) / len(folded), state
                break


def _texts(state: State) -> Iterator[str]:
    name = state.get("name") or state.get("title")
    if name:
        yield name
    for points in ("emails", "phones"):
        yield from (one["value"] for one in state.get(points, ()))


def _living(table: Table, sight: Sight) -> Iterator[State]:
    for row_id in table.walk(Order.ID):
        state = table.get(row_id)
        if (
            state is not None
            and not state.get("gone")
            and not sight.is_hidden(table.entity, row_id)
        ):
            yield state


def _rank(scored: Scored) -> tuple[float, Any]:
    return -scored[0], scored[1]["id"]


def _item(entity: str, state: State, tables: Tables) -> Item:
    common = {
        "id": state["id"],
        "type": entity,
        "visible_to": int(state["visible_to"]),
        "owner": {"id": state["owner_id"]},
        "custom_fields": [],
        "notes": [],
    }
    match entity:
        case "organization":
            return {**common, "name": state["name"], "address": _address(state)}
        case "person":
            return {
                **common,
                "name": state["name"],
                "phones": [one["value"] for one in state["phones"]],
                "emails": [one["value"] for one in state["emails"]],
                "organization": _organization(state, tables),
            }
        case _:
            names = ("title", "value", "currency", "status", "is_archived")
            person = tables["person"].get(state["person_id"] or 0)
            return {
                **common,
                **{name: state[name] for name in names},
                "stage": {"id": state["stage_id"], "name": STAGES[state["stage_id"] - 1]},
                "person": person and {"id": person["id"], "name": person["name"]},
                "organization": _organization(state, tables),
            }


def _organization(state: State, tables: Tables) -> Item | None:
    org = tables["organization"].get(state["org_id"] or 0)
    return {"id": org["id"], "name": org["name"], "address": _address(org)} if org else None


def _address(state: State) -> str | None:
    return state["address"]["value"] if state["address"] else None
