"""Compares rows that were read with what we know: what is new becomes records for the log.

Rule 1: rows that cannot be read are counted and listed, and stop nothing.
Rule 2: a few rows at a time, so that webhooks in the same process do not wait for a page.
Rule 3: option names are stored when the list that holds them is read, and put into rows from
        then on.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from services.ingest import rows
from services.ingest.payload import Json
from services.ingest.rows import Row
from services.ingest.sync import deciding, known_store, lists, option_store, options
from services.ingest.sync.deciding import Known, News
from services.ingest.sync.lists import List
from shared.db import Connection
from shared.errors import Poison
from shared.events import Source
from shared.kafka.rounds import Record

AT_ONCE: Final = 50


class Rows(NamedTuple):
    """Rows of a list, and a moment before they were requested. `is_last_word`: a row that may
    still change within its second is taken as it is, and not counted again. `odd` more are not
    objects.
    """

    of: List
    raw: Sequence[Json]
    asked_at: datetime
    is_last_word: bool = False
    odd: int = 0


@dataclass(slots=True)
class Compared:
    """`places` of all readable rows, `unsettled` ids to read again, and what follows from the
    others.
    """

    places: list[bytes] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    known: dict[bytes, Known] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)


async def compare(conn: Connection, company_id: int, read: Rows) -> Compared:
    found = Compared(failures=[_failed(read, None, rows.not_an_object(read.of.entity))] * read.odd)
    readable: list[tuple[bytes, Row]] = []
    await option_store.keep(conn, company_id, options.listed(read.of, read.raw))
    names = await option_store.names(conn, company_id, read.of.entity)
    for start in range(0, len(read.raw), AT_ONCE):
        some = [options.named(raw, names) for raw in read.raw[start : start + AT_ONCE]]
        readable += _readable(read, some, found)
        await asyncio.sleep(0)
    found.places = [place for place, _ in readable]
    known = await known_store.known(conn, company_id, read.of.entity, found.places)
    for number, (place, row) in enumerate(readable, start=1):
        if read.is_last_word or row.is_settled(read.asked_at):
            _judge(company_id, read, (place, row, known.get(place)), found)
        else:
            found.unsettled.append(row.entity_id)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


def _readable(
    read: Rows, raw_rows: Sequence[Json], found: Compared
) -> Iterator[tuple[bytes, Row]]:
    for raw in raw_rows:
        body = raw if read.of.key == "id" else {**raw, "id": raw.get(read.of.key)}
        try:
            row = rows.read(read.of.entity, body)
            yield read.of.place(row.entity_id), row
        except Poison as why:
            found.failures.append(_failed(read, body.get("id"), why))


def _failed(read: Rows, entity_id: Any, why: Poison) -> dict[str, str]:
    named = str(entity_id)[:40] or "''"  # an empty id stands for a whole list
    return {"list": read.of.name, "id": named, "error": str(why)}


def _judge(
    company_id: int, read: Rows, about: tuple[bytes, Row, Known | None], found: Compared
) -> None:
    place, row, known = about
    where = _where(read.of, row, known)
    news = deciding.news(row, known, read.asked_at)
    if news is not None:
        found.records.append(record(company_id, row, news))
        digest = row.digest if deciding.is_last(news, known) else None
        found.known[place] = Known(
            where, news.version, row.is_deleted, news.version, news.turn, digest
        )
    elif known is not None and known.list != where:
        found.known[place] = known._replace(list=where)


def _where(of: List, row: Row, known: Known | None) -> str:
    if of.kind is lists.Kind.WHOLE:
        return of.name
    if row.is_deleted:
        return known.list if known else of.name
    return lists.holding(of.entity, is_archived=bool(row.data.get("is_archived"))).name


def gone(company_id: int, of: List, known: dict[bytes, Known], began: datetime) -> Compared:
    """The deletions of these missing rows; `began` is when the walk did."""
    found = Compared()
    for place, held in known.items():
        news = deciding.vanished(held, began)
        if news is None:
            continue
        number = lists.entity_id(place, is_number=of.kind is lists.Kind.NUMBERED)
        row = rows.gone(of.entity, number)
        found.records.append(record(company_id, row, news))
        found.known[place] = Known(
            held.list, news.version, True, news.version, news.turn, row.digest
        )
    return found


def record(company_id: int, row: Row, news: News) -> Record:
    return rows.record(
        row,
        company_id=company_id,
        version=news.version,
        turn=news.turn,
        now=datetime.now(UTC),
        source=Source.SYNC,
    )
