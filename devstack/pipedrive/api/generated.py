"""A company too large to live through: its rows are functions of their numbers. Pure.

Rule 1: `json` says of a row exactly what `rows` would say of its `state`, without building it:
        a page of 500 must cost a few milliseconds.
Rule 2: rows are added evenly over two years, in the order of their numbers, and never edited.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from devstack.pipedrive import names, shapes
from devstack.pipedrive.api import rows
from devstack.pipedrive.api.tables import Base
from devstack.pipedrive.world import FIRST_USER_ID

DAYS = 730
SPREAD = 7_919  # a prime: neighbours get different names
DONE_WITHIN_DAYS = 40
KINDS = ("call", "email", "meeting", "task")
CUSTOM = dict.fromkeys(shapes.CUSTOM_FIELDS.values())


@dataclass(frozen=True, slots=True)
class Size:
    users: int
    persons: int
    organizations: int
    activities: int


@dataclass(frozen=True, slots=True)
class Spread:
    """When the rows of a table were added."""

    count: int
    epoch: datetime

    def second(self, number: int) -> int:
        span = DAYS * 86_400
        return int(self.epoch.timestamp()) - span + number * span // (self.count + 1)

    def time(self, number: int) -> str:
        return f"{datetime.fromtimestamp(self.second(number), UTC):%Y-%m-%dT%H:%M:%SZ}"


def bases(size: Size, epoch: datetime) -> Mapping[str, Base]:
    return {
        "person": Persons(size, Spread(size.persons, epoch)),
        "organization": Organizations(size, Spread(size.organizations, epoch)),
        "activity": Activities(size, Spread(size.activities, epoch)),
    }


def owner(size: Size, person_id: int) -> int:
    return FIRST_USER_ID + person_id % size.users


def organization_of(size: Size, person_id: int) -> int | None:
    """Every seventh contact has none."""
    if not size.organizations or person_id % 7 == 0:
        return None
    return person_id * SPREAD % size.organizations + 1


class _Table:
    def __init__(self, size: Size, spread: Spread) -> None:
        self.size = size
        self.spread = spread

    @property
    def count(self) -> int:
        return self.spread.count

    def time(self, number: int) -> str:
        return self.spread.time(number)


PERSON = (
    '{"id":%d,"name":"%s %s","first_name":"%s","last_name":"%s","add_time":"%s",'
    '"update_time":"%s","visible_to":3,"custom_fields":{'
    + ",".join(f'"{code}":null' for code in CUSTOM)
    + '},"owner_id":%d,"label_ids":[],"org_id":%s,"is_deleted":false,"picture_id":null,'
    '"phones":%s,"emails":[{"label":"work","value":"%s","primary":true}],"notes":null,"im":[],'
    '"birthday":null,"job_title":%s,"postal_address":null}'
)


class Persons(_Table):
    def state(self, number: int) -> shapes.Shape:
        first, last = _first(number), _last(number)
        at = self.time(number)
        return {
            "id": number,
            "name": f"{first} {last}",
            "first_name": first,
            "last_name": last,
            "emails": [{"label": "work", "value": _email(number), "primary": True}],
            "phones": _phones(number),
            "label": None,
            "label_ids": [],
            "org_id": organization_of(self.size, number),
            "owner_id": owner(self.size, number),
            "job_title": _job_title(number),
            "picture_id": None,
            "visible_to": "3",
            "custom_fields": dict(CUSTOM),
            "add_time": at,
            "update_time": at,
        }

    def json(self, number: int) -> bytes:
        first, last, at = _first(number), _last(number), self.time(number)
        phones = _phones(number)
        title = _job_title(number)
        return (
            PERSON
            % (
                *(number, first, last, first, last, at, at, owner(self.size, number)),
                organization_of(self.size, number) or "null",
                orjson.dumps(phones).decode() if phones else "[]",
                _email(number),
                f'"{title}"' if title else "null",
            )
        ).encode()


class Organizations(_Table):
    def state(self, number: int) -> shapes.Shape:
        firm = names.firm(number)
        at = self.time(number)
        return {
            "id": number,
            "name": names.official(firm),
            "owner_id": owner(self.size, number),
            "address": shapes.address(firm) if number % 2 else None,
            "country_code": None,
            "label": None,
            "label_ids": [],
            "picture_id": None,
            "website": f"https://www.{firm.domain}",
            "linkedin": None,
            "industry": shapes.INDUSTRIES[firm.industry],
            "annual_revenue": None,
            "employee_count": firm.employees,
            "visible_to": "3",
            "custom_fields": {},
            "add_time": at,
            "update_time": at,
        }

    def json(self, number: int) -> bytes:
        return orjson.dumps(rows.organization(self.state(number)))


ACTIVITY = (
    '{"id":%d,"subject":"%s","type":"%s","owner_id":%d,"creator_user_id":%d,"is_deleted":false,'
    '"add_time":"%s","update_time":"%s","deal_id":null,"lead_id":null,"person_id":%d,"org_id":%s,'
    '"project_id":null,"due_date":"%s","due_time":null,"duration":null,"done":%s,"busy":false,'
    '"marked_as_done_time":%s,"location":null,"participants":[{"person_id":%d,"primary":true}],'
    '"conference_meeting_client":null,"conference_meeting_url":null,"conference_meeting_id":null,'
    '"public_description":null,"priority":null,"note":null}'
)


class Activities(_Table):
    def person(self, number: int) -> int:
        return number * SPREAD % max(1, self.size.persons) + 1

    def kind(self, number: int) -> str:
        return KINDS[number * 31 % len(KINDS)]

    def is_done(self, number: int) -> bool:
        return number % 3 != 0

    def due(self, number: int) -> str:
        at = datetime.fromtimestamp(self.spread.second(number), UTC)
        return f"{at + timedelta(days=number % DONE_WITHIN_DAYS):%Y-%m-%d}"

    def state(self, number: int) -> shapes.Shape:
        person, at, kind = self.person(number), self.time(number), self.kind(number)
        done = self.is_done(number)
        return {
            "id": number,
            "subject": names.SUBJECTS[kind][0],
            "type": kind,
            "done": done,
            "due_date": self.due(number),
            "due_time": None,
            "duration": None,
            "busy_flag": None,
            "active_flag": True,
            "owner_id": owner(self.size, person),
            "person_id": person,
            "deal_id": None,
            "lead_id": None,
            "org_id": organization_of(self.size, person),
            "location": None,
            "public_description": "",
            "note": None,
            "update_user_id": None,
            "marked_as_done_time": at if done else None,
            "custom_fields": {},
            "add_time": at,
            "update_time": at,
        }

    def json(self, number: int) -> bytes:
        person, at, kind = self.person(number), self.time(number), self.kind(number)
        by, done = owner(self.size, person), self.is_done(number)
        return (
            ACTIVITY
            % (
                *(number, names.SUBJECTS[kind][0], kind, by, by, at, at, person),
                organization_of(self.size, person) or "null",
                self.due(number),
                "true" if done else "false",
                f'"{at}"' if done else "null",
                person,
            )
        ).encode()


def _first(number: int) -> str:
    return names.FIRST[number * SPREAD % len(names.FIRST)]


def _last(number: int) -> str:
    return names.LAST[number // len(names.FIRST) * SPREAD % len(names.LAST)]


def _email(number: int) -> str:
    return f"{_slug(_first(number))}.{number}@mail.example"


@lru_cache(maxsize=256)
def _slug(name: str) -> str:
    return names.ascii_slug(name) or "contact"


def _phones(number: int) -> list[dict[str, Any]]:
    if number % 3 == 0:
        return []
    value = f"+1 {200 + number % 800} {1000 + number % 9000}"
    return [{"label": "work", "value": value, "primary": True}]


def _job_title(number: int) -> str | None:
    if number % 5 < 3:  # noqa: PLR2004 - two of five have one
        return None
    return names.JOB_TITLES[number % len(names.JOB_TITLES)]
