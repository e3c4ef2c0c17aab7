"""Option names: rows hold option ids, and only the lists of fields name them. Pure.

Rule 1: names are filled in before a row is read; an id without a known name is left out of what
        the row says (`fields`, rule 4).
Rule 2: an option that is no longer listed keeps its name for the rows that still hold it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from services.ingest import fields, values
from services.ingest.payload import Json
from services.ingest.sync import lists
from services.ingest.sync.lists import List

Names = Mapping[str, Mapping[int, str]]
"""By field, then by option."""

NONE: Final[Names] = MappingProxyType({})


class Option(NamedTuple):
    entity: str
    field: str
    id: int
    name: str


def listed(of: List, rows: Iterable[Json]) -> Iterator[Option]:
    """The options named by rows of a list of fields."""
    for entity, wanted in fields.OPTIONS.items():
        if of is lists.FIELDS_OF[entity]:
            for row in rows:
                if row.get(of.key) in wanted:
                    yield from _of_field(entity, str(row[of.key]), row.get("options"))


def _of_field(entity: str, field: str, found: Any) -> Iterator[Option]:
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            number, name = values.reference(each.get("id")), values.text(each.get("label"))
            if number is not None and name is not None:
                yield Option(entity, field, number, name)


def named(raw: Json, names: Names) -> Json:
    """The row with names in place of ids, as far as they are known."""
    known = {
        field: of_field[number]
        for field, of_field in names.items()
        if (number := values.reference(raw.get(field))) is not None and number in of_field
    }
    return {**raw, **known} if known else raw


def are_unnamed(entity: str, rows: Sequence[Json], names: Names) -> bool:
    """Whether a row holds an option whose name is not known."""
    wanted = fields.OPTIONS.get(entity, ())
    return any(
        fields.is_option_id(named(row, names).get(field)) for row in rows for field in wanted
    )
