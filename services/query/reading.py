"""Reads what a page shows, all of it from one snapshot of the read model.

Rule: a page is consistent as of one instant: its rows, their activities, the total, the status.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.query import answers, organization_store, paging, store
from services.query.batch import User
from services.query.cursor import Key
from services.query.organization_store import Slice
from services.query.paging import Bucket
from services.query.request import ListRequest, OrganizationsRequest
from shared import db

READ_S: Final = 5.0

BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@asynccontextmanager
async def snapshot(pool: db.Pool) -> AsyncIterator[db.Connection]:
    """Raises:
    Unavailable: Postgres is away, or too slow.
    """
    with db.errors():
        async with db.leased(pool, seconds=READ_S, last="COMMIT") as conn:
            await conn.execute(BEGIN)
            yield conn


@dataclass(frozen=True, slots=True)
class Read:
    """A page's JSON, without the request's own figures, and without the company's sync status, if
    the page has one: that is `status`.

    `lasts` unless the page could change without a change counted for the user: what is asked of an
    organization in which the user has no contact may change when that organization ends.
    """

    body: bytes
    lasts: bool = True
    status: bytes = b""


def open_ended(data: dict[str, Any], status: dict[str, Any], *, lasts: bool = True) -> Read:
    """A page that ends with the sync status."""
    body = answers.dump({"success": True, "data": data})[: -len(b"}}")]
    return Read(body, lasts, told_status(status))


def told_status(status: dict[str, Any]) -> bytes:
    """The end of such a page's data."""
    return b',"syncStatus":%b}' % answers.dump(status)


async def my_500(conn: db.Connection, user: User, asked: ListRequest) -> Read:
    organization_id = asked.filters.organization_id
    found: UUID | None = None
    if organization_id is None:
        counted, status = await store.counts(conn, user)
    else:
        found = await store.living_organization(conn, user.company_id, organization_id)
        counted = await store.counts_in_organization(conn, user, found) if found else []
        status = await store.sync_status(conn, user.company_id)
    buckets = paging.wanted(counted, asked.filters)
    total = sum(bucket.contacts for bucket in buckets)
    after = asked.after or await _key_before(conn, user, asked, buckets, found)
    rows: list[Any] = []
    if after is not None and total:
        rows = await store.page(
            conn,
            user,
            paging.bounds(after, asked.filters),
            most_score=asked.filters.scores[1],
            limit=asked.limit + 1,
            organization_id=found,
        )
    has_next = len(rows) > asked.limit
    rows = rows[: asked.limit]
    activities = await store.activities(conn, user.company_id, [row["person_id"] for row in rows])
    page = {
        "contacts": answers.contacts(rows, activities),
        "pagination": answers.pagination(
            page=asked.page,
            limit=asked.limit,
            total=total,
            has_next=has_next,
            has_prev=asked.after is not None or asked.page > 1,
            next_key=_key_of(rows[-1]) if has_next else None,
        ),
    }
    lasts = organization_id is None or (found == organization_id and total > 0)
    return open_ended(page, answers.sync_status(status), lasts=lasts)


async def _key_before(
    conn: db.Connection,
    user: User,
    asked: ListRequest,
    buckets: list[Bucket],
    organization_id: UUID | None,
) -> Key | None:
    """The key before the page with the requested number; null if it is past the end."""
    first = paging.place(buckets, (asked.page - 1) * asked.limit)
    if first is None:
        return None
    if first.within == 0:
        return paging.start_of(first.bucket)
    before = paging.Place(first.bucket, first.within - 1)
    return await store.key_at(conn, user, before, organization_id)


def _key_of(row: Any) -> Key:
    return Key(
        row["not_in_campaign"],
        row["score"],
        row["contacted_key"],
        row["created_key"],
        UUID(bytes=row["contact_id"].bytes),
    )


async def organizations(conn: db.Connection, user: User, asked: OrganizationsRequest) -> Read:
    if asked.search:
        total, rows = await _organizations_named(conn, user, asked)
    else:
        total = await organization_store.total(conn, user)
        rows = await _organizations_listed(conn, user, asked, total)
    has_next = len(rows) > asked.limit
    rows = rows[: asked.limit]
    page = {
        "organizations": [answers.user_organization(row) for row in rows],
        "pagination": answers.pagination(
            page=asked.page,
            limit=asked.limit,
            total=total,
            has_next=has_next,
            has_prev=asked.after is not None or asked.page > 1,
            next_key=organization_store.key_of(rows[-1]) if has_next else None,
        ),
    }
    return Read(answers.dump({"success": True, "data": page})[:-1])


async def _organizations_listed(
    conn: db.Connection, user: User, asked: OrganizationsRequest, total: int
) -> Sequence[Any]:
    """The page's organizations, and one more if there is one."""
    before = (asked.page - 1) * asked.limit
    after = asked.after
    if after is None and before >= total:
        return ()
    if after is None and before == 0:
        after = organization_store.START
    if after is None:
        after = await organization_store.key_at(conn, user, before - 1, total)
    return await organization_store.page(conn, user, after, limit=asked.limit + 1)


async def _organizations_named(
    conn: db.Connection, user: User, asked: OrganizationsRequest
) -> tuple[int, Sequence[Any]]:
    passed = 0 if asked.after is not None else (asked.page - 1) * asked.limit
    part = Slice(asked.after or organization_store.START, passed, asked.limit + 1)
    hits = await organization_store.search(conn, user, asked.search, part)
    rows = await organization_store.named(conn, user, hits.wanted) if hits.wanted else ()
    return hits.total, rows


async def contact(
    conn: db.Connection, user: User, contact_id: UUID, *, of_anyone: bool
) -> dict[str, Any] | None:
    """A contact of the user's own or, for an admin, of anyone in the company."""
    row = await store.contact(conn, user.company_id, contact_id)
    if row is None or not (of_anyone or row["owner_id"] == user.user_id):
        return None
    activities = await store.activities(conn, user.company_id, [row["person_id"]])
    return answers.contacts([row], activities)[0]
