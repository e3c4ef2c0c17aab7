"""The reference model's score: points by component under the default weights."""

from datetime import datetime, timedelta

from tests.support.model_rows import Rows, primary, when
from tests.support.webhook_reading import Row


def points(rows: Rows, person: Row, now: datetime) -> dict[str, int]:
    """The score by component; their sum, clamped to 0..10, is the score."""
    return {
        "base": base(rows, person),
        "activity": activity(rows, person, now),
        "relationship": relationship(rows, person),
        "engagement": engagement(rows, person, now),
    }


def base(rows: Rows, person: Row) -> int:
    return sum(
        one is not None
        for one in (
            primary(person.get("emails")),
            primary(person.get("phones")),
            person.get("org_id"),
            rows.job_title(person),
        )
    )


def activity(rows: Rows, person: Row, now: datetime) -> int:
    since = now - timedelta(days=30)
    counted = [
        one
        for one in rows.by_person["activity"][person.entity_id]
        if (due := when(one.get("due_date"))) and due > since
    ]
    kinds = {one.get("type") for one in counted}
    bonus = {"meeting": 2, "call": 1, "email": 1}
    return min(len(counted), 3) + sum(bonus.get(kind, 0) for kind in kinds)


def relationship(rows: Rows, person: Row) -> int:
    total = sum(worth(rows, one) for one in rows.by_person["deal"][person.entity_id])
    points = 2 if total > 10_000 else 1 if total > 1_000 else 0
    return points + len(lead_statuses(rows, person))


def worth(rows: Rows, deal: Row) -> float:
    rates = rows.tenant.get("currency_rates", {}) if rows.tenant.get("currency") else {}
    return float(deal.get("value") or 0) * float(rates.get(deal.get("currency"), 1))


def lead_statuses(rows: Rows, person: Row) -> set[str]:
    labels = rows.tenant.get("lead_labels", {})
    found = {rows.custom(person, "lead_status")}
    for lead in rows.by_person["lead"][person.entity_id]:
        if not lead.get("is_archived"):
            found |= {labels.get(one) for one in lead.get("label_ids") or ()}
            found.add(rows.custom(lead, "lead_status"))
    return found & {"qualified", "contacted"}


def engagement(rows: Rows, person: Row, now: datetime) -> int:
    points = 0
    if last := rows.last_contacted(person):
        silent = now - last
        if silent < timedelta(days=7):
            points = 2
        elif silent < timedelta(days=30):
            points = 1
        elif silent > timedelta(days=90):
            points = -1
    rate = rows.custom(person, "response_rate")
    return points + (rate is not None and float(rate) > 0.5)
