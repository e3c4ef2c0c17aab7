"""A user's statistics, read from counters that the projector maintains, so nothing is counted
here.

Rule: the weeks are relative to the day of the request, in UTC; the current one is last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from pydantic import Field

from services.query import answers, organization_store, store, tallies
from services.query.answers import Row, SyncStatus
from services.query.batch import User
from services.query.paging import Bucket
from services.query.reading import Read, open_ended
from services.query.request import WARMNESS, After
from shared import db
from shared.json_model import Json

WEEKS: Final = 12
TOP: Final = 20
SCORES: Final = range(11)
BANDS: Final = {name: bounds for name, bounds in WARMNESS.items() if name is not None}

ACTIVITIES = """
SELECT CASE WHEN week BETWEEN $3 AND $4 THEN week END AS shown_week, type, done,
       sum(activities)::bigint AS activities
  FROM user_activities
 WHERE company_id = $1 AND owner_id = $2 AND activities > 0
 GROUP BY shown_week, type, done
"""

TOTALS = """
SELECT organizations, linked FROM user_totals WHERE company_id = $1 AND owner_id = $2
"""


class ContactNumbers(Json):
    """How many contacts the user has."""

    total: int
    in_campaign: int
    not_in_campaign: int


class ScoreNumber(Json):
    """The contacts with one score."""

    score: int
    contacts: int
    in_campaign: int


class Warmness(Json):
    """The contacts by score, and by the bands that the list can be filtered by."""

    distribution: list[ScoreNumber]
    bands: dict[str, int]


class OrganizationNumber(Json):
    """An organization, and how many of its contacts are the user's."""

    id: str
    name: str | None
    own_contact_count: int


class OrganizationNumbers(Json):
    """The organizations of the user's contacts; `top` are those with most of them."""

    total: int
    contacts_with: int
    contacts_without: int
    coverage: float | None = Field(description="share of the contacts that have one, 0 to 1")
    top: list[OrganizationNumber]


class TypeNumber(Json):
    """The activities of one type."""

    type: str | None
    done: int
    planned: int


class WeekNumber(Json):
    """The activities of one week, by due date or, without one, by the day they were added."""

    week: date = Field(description="its Monday")
    done: int
    planned: int
    by_type: list[TypeNumber]


class ActivityNumbers(Json):
    """The activities of the user's contacts. `total` and `byType` are all-time figures."""

    total: int
    done: int
    planned: int
    by_type: list[TypeNumber]
    by_week: list[WeekNumber] = Field(description="the last twelve, the current one last")


class SyncNumbers(SyncStatus):
    """The state of the last sync, and how much of it succeeded."""

    success_rate: float | None = Field(
        description="share of the processed records that did not fail, 0 to 1"
    )


class Stats(Json):
    """The user's statistics, all as of one instant."""

    contacts: ContactNumbers
    warmness: Warmness
    organizations: OrganizationNumbers
    activities: ActivityNumbers
    sync_status: SyncNumbers


class StatsQuery(Json):
    """The parameters of `GET /api/stats`."""

    after: After = None


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """`week` is the current one's Monday: when it is over, the page has another name."""

    week: date

    @property
    def name(self) -> str:
        return f"s:{self.week}"

    @property
    def weeks(self) -> list[date]:
        return [self.week - timedelta(weeks=back) for back in reversed(range(WEEKS))]


def asked_now() -> StatsRequest:
    return StatsRequest(tallies.monday(datetime.now(UTC).date()))


async def stats(conn: db.Connection, user: User, asked: StatsRequest) -> Read:
    buckets, status = await store.counts(conn, user)
    totals = await conn.fetchrow(TOTALS, *user)
    top = await organization_store.top(conn, user, limit=TOP)
    weeks = asked.weeks
    activities = await conn.fetch(ACTIVITIES, *user, weeks[0], weeks[-1])
    contacts = sum(bucket.contacts for bucket in buckets)
    content = {
        "contacts": _contacts(buckets),
        "warmness": _warmness(buckets),
        "organizations": _organizations(totals, top, contacts),
        "activities": _activities(activities, weeks),
    }
    return open_ended(content, sync_numbers(status))


def sync_numbers(row: Row | None) -> dict[str, Any]:
    status = answers.sync_status(row)
    processed, failed = status["processed"], status["failed"]
    rate = round(max(0, processed - failed) / processed, 4) if processed else None
    return status | {"successRate": rate}


def _contacts(buckets: Sequence[Bucket]) -> dict[str, int]:
    inside = sum(bucket.contacts for bucket in buckets if not bucket.not_in_campaign)
    total = sum(bucket.contacts for bucket in buckets)
    return {"total": total, "inCampaign": inside, "notInCampaign": total - inside}


def _warmness(buckets: Sequence[Bucket]) -> dict[str, Any]:
    sizes = {(bucket.not_in_campaign, bucket.score): bucket.contacts for bucket in buckets}
    inside = [sizes.get((False, score), 0) for score in SCORES]
    whole = [inside[score] + sizes.get((True, score), 0) for score in SCORES]
    return {
        "distribution": [
            {"score": score, "contacts": whole[score], "inCampaign": inside[score]}
            for score in SCORES
        ],
        "bands": {name: sum(whole[low : high + 1]) for name, (low, high) in BANDS.items()},
    }


def _organizations(totals: Row | None, top: Iterable[Row], contacts: int) -> dict[str, Any]:
    linked = totals["linked"] if totals is not None else 0
    return {
        "total": totals["organizations"] if totals is not None else 0,
        "contactsWith": linked,
        "contactsWithout": contacts - linked,
        "coverage": round(linked / contacts, 4) if contacts else None,
        "top": [
            {
                "id": str(row["organization_id"]),
                "name": row["organization_name"],
                "ownContactCount": row["contacts"],
            }
            for row in top
        ],
    }


def _activities(rows: Sequence[Row], weeks: Sequence[date]) -> dict[str, Any]:
    return {
        **_done_and_planned(rows, with_total=True),
        "byType": _by_type(rows),
        "byWeek": [_week(week, [r for r in rows if r["shown_week"] == week]) for week in weeks],
    }


def _week(week: date, rows: Sequence[Row]) -> dict[str, Any]:
    return {"week": week, **_done_and_planned(rows), "byType": _by_type(rows)}


def _by_type(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The most frequent type first."""
    types = {row["type"] for row in rows}
    found = [
        {"type": kind or None, **_done_and_planned([r for r in rows if r["type"] == kind])}
        for kind in types
    ]
    return sorted(found, key=lambda each: (-each["done"] - each["planned"], each["type"] or ""))


def _done_and_planned(rows: Iterable[Row], *, with_total: bool = False) -> dict[str, int]:
    done = planned = 0
    for row in rows:
        if row["done"]:
            done += row["activities"]
        else:
            planned += row["activities"]
    numbers = {"done": done, "planned": planned}
    return {"total": done + planned, **numbers} if with_total else numbers
