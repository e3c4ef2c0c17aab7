"""What is sent to Pipedrive, and how to recognize in its lists what that created. Pure.

Rule 1: every body names its owner, the calling user: the API token may be anybody's.
Rule 2: a row counts as created from a body if it says the same, allowing for Pipedrive's
        normalization, and was added when the body was sent or later.
Rule 3: an organization is created once for the whole company: a later request may find the row of
        the user who asked first, which names that user as its owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from shared.tenants import CustomFields

Row = Mapping[str, Any]

TITLE: Final = "job_title"
CLOCKS: Final = timedelta(minutes=2)
"""How far our clock and Pipedrive's may differ."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`path` is where it is created and listed, `filters` narrow the list down to candidates.
    `is_shared`: the row may come from a body that names another owner.
    """

    path: str
    body: Mapping[str, Any]
    filters: Mapping[str, Any]
    is_shared: bool = False

    def is_made_by(self, row: Row, sent_at: datetime) -> bool:
        if _instant(row.get("add_time")) is None or is_older(row, sent_at):
            return False
        others = {"owner_id"} if self.is_shared else set()
        return all(_same(name, self.body[name], row) for name in self.body.keys() - others)


def is_older(row: Row, sent_at: datetime) -> bool:
    """Added before anything sent at that time can have been."""
    added = _instant(row.get("add_time"))
    return added is not None and added < sent_at.replace(microsecond=0) - CLOCKS


def person(
    *,
    name: str,
    email: str | None,
    phone: str | None,
    job_title: str | None,
    org_id: int | None,
    owner_id: int,
    custom: CustomFields,
) -> Wanted:
    """The job title goes into the company's own field for it, if it has one."""
    body: dict[str, Any] = {"name": name, "owner_id": owner_id}
    if email is not None:
        body["emails"] = [{"value": email, "primary": True, "label": "work"}]
    if phone is not None:
        body["phones"] = [{"value": phone, "primary": True, "label": "work"}]
    if org_id is not None:
        body["org_id"] = org_id
    if job_title is not None and custom.job_title is not None:
        body["custom_fields"] = {custom.job_title: job_title}
    elif job_title is not None:
        body[TITLE] = job_title
    return Wanted("/v2/persons", body, {"owner_id": owner_id})


def untitled(person: Wanted) -> Wanted:
    """Without the job title, unless that is a custom field."""
    body = {name: value for name, value in person.body.items() if name != TITLE}
    return replace(person, body=body)


def is_titled(person: Wanted, row: Row) -> bool:
    """Whether the job title was accepted: in Pipedrive's own field only if the row shows it."""
    return TITLE not in person.body or row.get(TITLE) is not None


def organization(*, name: str, owner_id: int, address: str | None, website: str | None) -> Wanted:
    body: dict[str, Any] = {"name": name, "owner_id": owner_id}
    if address is not None:
        body["address"] = {"value": address}
    if website is not None:
        body["website"] = website
    return Wanted("/v2/organizations", body, {}, is_shared=True)


def activity(
    *,
    type_key: str,
    subject: str,
    person_id: int,
    due_date: date | None,
    done: bool,
    owner_id: int,
) -> Wanted:
    """The person is its primary participant: `person_id` itself is read-only."""
    body: dict[str, Any] = {
        "subject": subject,
        "type": type_key,
        "owner_id": owner_id,
        "done": done,
        "participants": [{"person_id": person_id, "primary": True}],
    }
    if due_date is not None:
        body["due_date"] = due_date.isoformat()
    return Wanted("/v2/activities", body, {"person_id": person_id})


def _same(name: str, value: Any, row: Row) -> bool:
    match name:
        case "emails":
            return _values(value, str.lower) == _values(row.get(name), str.lower)
        case "phones":
            return _values(value, _digits) == _values(row.get(name), _digits)
        case "participants":
            return bool(row.get("person_id") == value[0]["person_id"])
        case "custom_fields" | "address" | "website" | "job_title":
            return True  # Pipedrive normalizes it or drops it
        case _ if isinstance(value, str):
            return is_same_text(value, str(row.get(name) or ""))
        case _:
            return bool(row.get(name) == value)


def is_same_text(one: str, other: str) -> bool:
    """Equal but for what Pipedrive normalizes."""
    return _tidy(one) == _tidy(other)


def _values(points: Any, tidy: Any) -> set[str]:
    return {tidy(str(point.get("value", "")).strip()) for point in points or ()} - {""}


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _tidy(text: str) -> str:
    return " ".join(text.split()).lower()


def _instant(text: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
