"""Fresh objects of the company, with every field that any webhook body shows of them.

Rule 1: a shape is a function of its arguments and the given random source only.
Rule 2: times are RFC 3339 texts as v2 sends them; the v1 renderer respells them.
Rule 3: custom fields are v2's typed objects, every known field present, null when unset.
"""

import uuid
from datetime import datetime, timedelta
from random import Random
from typing import Any

from devstack.pipedrive import names

CUSTOM_FIELDS = {
    "response_rate": "5d1f0c2f7e0b4b6a9c83d2ee41a7f90b3c6d8e12",
    "language": "a90e4c7bd13f52860e9b17d4c2f8563ab1079ed4",
    "budget": "0c48be19d7f2a3655b8e4f0193ac76d2e5b1f837",
}
LEAD_LABELS = {
    "qualified": "7c0b9d6e-1f2a-4a5b-8c3d-5e6f70819203",
    "contacted": "d2f4a6c8-3b5d-4e7f-9a1b-2c3d4e5f6071",
    "cold": "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9",
}
INDUSTRIES = {
    label: number for number, label in enumerate(dict.fromkeys(names.SECTORS.values()), start=1)
}
"""The options of the field, which an organization holds by their ids."""
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "GBP", "SEK")
ACTIVITY_TYPES = ("call", "call", "email", "email", "meeting", "task", "lunch")

Shape = dict[str, Any]


def tenant(company_id: int) -> Shape:
    """What a receiver has to be told about this company to read its labels and fields."""
    return {
        "company_id": company_id,
        "lead_labels": {LEAD_LABELS[one]: one for one in ("qualified", "contacted")},
        "custom_fields": {"response_rate": CUSTOM_FIELDS["response_rate"]},
        "currency": "EUR",
        "currency_rates": {"USD": 0.9, "GBP": 1.2},
    }


def happens(rng: Random, share: float) -> bool:
    return rng.random() < share


def seconds(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def millis(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def user(user_id: int, at: datetime, rng: Random) -> Shape:
    name = f"{rng.choice(names.FIRST)} {rng.choice(names.LAST)}"
    created = f"{at:%Y-%m-%d %H:%M:%S}"
    return {
        "id": user_id,
        "name": name,
        "email": f"{names.ascii_slug(name) or 'user'}.{user_id}@sales.example",
        "active_flag": True,
        "locale": "en_US",
        "lang": "en-US",
        "timezone_name": "Europe/Tallinn",
        "default_currency": "EUR",
        "phone": None,
        "icon_url": None,
        "created": created,
        "modified": created,
        "last_login": None,
        "access": None,
    }


def organization(org_id: int, of: names.Firm, name: str, owner_id: int, rng: Random) -> Shape:
    return {
        "id": org_id,
        "name": name,
        "owner_id": owner_id,
        "address": address(of) if happens(rng, 0.6) else None,
        "country_code": None,
        "label": None,
        "label_ids": [],
        "picture_id": None,
        "website": f"https://www.{names.site(of, name)}" if happens(rng, 0.6) else None,
        "linkedin": None,
        "industry": INDUSTRIES[of.industry] if happens(rng, 0.5) else None,
        "annual_revenue": None,
        "employee_count": of.employees if happens(rng, 0.5) else None,
        "visible_to": "3",
        "custom_fields": {},
    }


def address(of: names.Firm) -> Shape:
    """As somebody wrote it, and as a map has it."""
    written = f"{of.street}, {of.city}"
    number = of.street.rsplit(" ", 1)
    return {
        "value": written,
        "formatted_address": f"{written}, {of.country}",
        "country": of.country,
        "locality": of.city,
        "sublocality": "",
        "route": number[0],
        "street_number": number[-1],
        "subpremise": "",
        "admin_area_level_1": "",
        "admin_area_level_2": "",
        "postal_code": "",
    }


def person(person_id: int, owner_id: int, org: tuple[int | None, str], rng: Random) -> Shape:
    """`org` is the organization's id and the domain of its mail addresses."""
    first, last = rng.choice(names.FIRST), rng.choice(names.LAST)
    org_id, domain = org
    label = rng.choice((None, None, 5, 6))
    return {
        "id": person_id,
        "name": f"{first} {last}",
        "first_name": first,
        "last_name": last,
        "emails": emails(f"{first} {last}", domain, rng),
        "phones": phones(rng),
        "label": label,
        "label_ids": [label] if label else [],
        "org_id": org_id,
        "owner_id": owner_id,
        "job_title": rng.choice(names.JOB_TITLES) if happens(rng, 0.4) else None,
        "picture_id": None,
        "visible_to": "3",
        "custom_fields": dict.fromkeys(CUSTOM_FIELDS.values()),
    }


def emails(name: str, domain: str, rng: Random) -> list[Shape]:
    if happens(rng, 0.15):
        return []
    local = names.ascii_slug(name).replace("-", ".") or f"contact.{rng.randint(1, 9999)}"
    found = [{"label": "work", "value": f"{local}@{domain}", "primary": True}]
    if happens(rng, 0.1):
        home = {"label": "home", "value": f"{local}@mail.example", "primary": False}
        found.insert(rng.randint(0, 1), home)
    return found


def phones(rng: Random) -> list[Shape]:
    if happens(rng, 0.3):
        return []
    country = rng.choice((1, 33, 372, 49, 55, 81))
    number = f"+{country} {rng.randint(200, 999)} {rng.randint(1000, 9999)}"
    return [{"label": rng.choice(("work", "mobile", "")), "value": number, "primary": True}]


def activity(activity_id: int, owner_id: int, at: datetime, rng: Random) -> Shape:
    """Half are logged when done already, due in the days before; the others lie ahead."""
    kind = rng.choice(ACTIVITY_TYPES)
    done = happens(rng, 0.5)
    days = -rng.randint(0, 5) if done else rng.randint(-1, 30)
    due = (at + timedelta(days=days)).date().isoformat()
    hour = rng.choice((None, "09:00:00", "14:30:00"))
    return {
        "id": activity_id,
        "subject": rng.choice(names.SUBJECTS[kind]),
        "type": kind,
        "done": done,
        "due_date": due if happens(rng, 0.95) else None,
        "due_time": hour,
        "duration": "00:30:00" if hour else None,
        "busy_flag": None,
        "active_flag": True,
        "owner_id": owner_id,
        "person_id": None,
        "deal_id": None,
        "lead_id": None,
        "org_id": None,
        "location": None,
        "public_description": "",
        "note": None,
        "update_user_id": None,
        "marked_as_done_time": seconds(at) if done else None,
        "custom_fields": {},
    }


def deal(deal_id: int, owner_id: int, title: str, rng: Random) -> Shape:
    return {
        "id": deal_id,
        "title": title,
        "value": rng.choice((None, 0, 250, 900, 1500.5, 4800, 12000, 64000)),
        "currency": rng.choice(CURRENCIES),
        "status": "open",
        "stage_id": 1,
        "pipeline_id": 1,
        "person_id": None,
        "org_id": None,
        "owner_id": owner_id,
        "creator_user_id": owner_id,
        "label_ids": [],
        "probability": None,
        "lost_reason": None,
        "expected_close_date": None,
        "close_time": None,
        "won_time": None,
        "first_won_time": None,
        "lost_time": None,
        "stage_change_time": None,
        "origin": "ManuallyCreated",
        "origin_id": None,
        "channel": None,
        "channel_id": None,
        "is_archived": False,
        "archive_time": None,
        "visible_to": "3",
        "custom_fields": {},
    }


def lead(owner_id: int, title: str, rng: Random) -> Shape:
    labels = rng.sample(sorted(LEAD_LABELS.values()), rng.randint(0, 2))
    amount = rng.choice((None, 300, 5000))
    return {
        # Pipedrive numbers leads with time-based UUIDs.
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=1)),
        "title": title,
        "owner_id": owner_id,
        "creator_id": owner_id,
        "person_id": None,
        "organization_id": None,
        "label_ids": labels,
        "value": None if amount is None else {"amount": amount, "currency": "EUR"},
        "expected_close_date": None,
        "is_archived": False,
        "was_seen": True,
        "next_activity_id": None,
        "source_name": "Manually created",
        "origin": "ManuallyCreated",
        "origin_id": None,
        "channel": None,
        "channel_id": None,
        "custom_fields": {},
    }


def note(note_id: int, user_id: int, about: str, rng: Random) -> Shape:
    said = rng.choice(("call back", "likes the demo", "Preis zu hoch"))
    return {
        "id": note_id,
        "user_id": user_id,
        "deal_id": None,
        "person_id": None,
        "org_id": None,
        "lead_id": None,
        "project_id": None,
        "active_flag": True,
        "content": f"<p>{about}: {said}</p>",
        "pinned_to_deal_flag": False,
        "pinned_to_person_flag": False,
        "pinned_to_organization_flag": False,
    }
