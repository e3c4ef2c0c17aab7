"""Random lives of two tenants with the same ids and names, as the facts that orgs reads.

Rule: everything is a function of the seed. Versions collide and fields go missing, on purpose.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from services.orgs import names
from shared import ids, topics
from shared.events import (
    Action,
    Activity,
    ActivityChange,
    Organization,
    OrganizationChange,
    OrganizationVerdict,
    OrganizationVerdictChange,
    Person,
    PersonChange,
    Source,
)
from shared.kafka.consumer import Received

COMPANIES = (11, 12)
NAMES = ("Acme Corp.", "acme corp", "ACME, Corp", "Beta", "beta!", "Gamma Straße", "…", "")
SPELLINGS = (*NAMES, "Acme Corporation", "Béta", "Gamma Strasse")
TELLING = {
    "website": (None, None, "acme.com", "https://www.acme.com/x", "beta.org"),
    "country": (None, None, "DE", "Germany", "FR"),
    "postcode": (None, None, "10115"),
    "city": (None, "Berlin"),
}
TEXTS = (None, "", "x", "y")
START = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = 60


def history(seed: int, length: int) -> list[Received]:
    """Names alone decide: what else is told is no fact that matching knows."""
    rng = Random(seed)  # noqa: S311  repeatable, not secret
    say = (_organization, _organization, _made, _person, _person, _activity, _activity)
    return [rng.choice(say)(rng, number) for number in range(length)]


def matching_history(seed: int, length: int) -> list[Received]:
    """Other spellings, domains, countries, places, and people's verdicts, some withdrawn."""
    rng = Random(seed)  # noqa: S311  as above
    say = (_telling_organization, _telling_organization, _made, _person, _activity, _verdict)
    return [rng.choice(say)(rng, number) for number in range(length)]


def shuffled(facts: Sequence[Received], seed: int) -> list[list[Received]]:
    """The same facts in another order, some of them twice, in batches of other sizes."""
    rng = Random(seed)  # noqa: S311  as above
    told = [*facts, *rng.sample(facts, len(facts) // 5)]
    rng.shuffle(told)
    batches = []
    while told:
        size = rng.choice((1, 1, 2, 5, 20, 100))
        batches.append(told[:size])
        told = told[size:]
    return batches


def _envelope(rng: Random, number: int, entity: str, entity_id: object) -> dict[str, Any]:
    action = rng.choice([Action.CREATE, *[Action.CHANGE] * 4, Action.DELETE])
    return {
        "event_id": f"event-{number}",
        "company_id": rng.choice(COMPANIES),
        "entity": entity,
        "entity_id": str(entity_id),
        "action": action,
        "version": rng.randrange(VERSIONS),
        "occurred_at": START + timedelta(hours=rng.randrange(500)),
        "received_at": START,
        "source": Source.WEBHOOK_V2,
    }


def _merges(rng: Random, envelope: dict[str, Any], among: int) -> dict[str, Any]:
    if rng.random() < 0.35:
        if envelope["action"] is Action.DELETE:
            return {"merged_into": str(rng.randrange(1, among))}
        if envelope["action"] is Action.CHANGE and rng.random() < 0.3:
            return {"merged_from": str(rng.randrange(1, among))}
    return {}


def _body(rng: Random, fields: dict[str, Any], envelope: dict[str, Any]) -> dict[str, Any] | None:
    if envelope["action"] is Action.DELETE:
        return None
    return {name: value for name, value in fields.items() if rng.random() < 0.85}


def _shown(rng: Random) -> dict[str, Any]:
    shown = ("industry", "size", "website", "address", "country", "city", "postcode")
    return {name: rng.choice(TEXTS) for name in shown}


def _organization(rng: Random, number: int) -> Received:
    envelope = _envelope(rng, number, "organization", rng.randrange(1, 9))
    body = _body(rng, {"name": rng.choice(NAMES), **_shown(rng)}, envelope)
    change = OrganizationChange(
        **envelope,
        **_merges(rng, envelope, 9),
        data=None if body is None else Organization(**body),
    )
    return Received(topics.ORGANIZATIONS.name, change)


def _telling_organization(rng: Random, number: int) -> Received:
    envelope = _envelope(rng, number, "organization", rng.randrange(1, 9))
    told = {name: rng.choice(values) for name, values in TELLING.items()}
    body = _body(rng, {**_shown(rng), **told, "name": rng.choice(SPELLINGS)}, envelope)
    change = OrganizationChange(
        **envelope,
        **_merges(rng, envelope, 9),
        data=None if body is None else Organization(**body),
    )
    return Received(topics.ORGANIZATIONS.name, change)


def _verdict(rng: Random, number: int) -> Received:
    """Said once, at a version of its own; withdrawn at another, or told of withdrawn alone. One
    says of all on one side that they are the same.
    """
    which = rng.randrange(1, 7)
    envelope = _envelope(rng, number, "organization_verdict", UUID(int=which))
    envelope |= {"action": Action.CHANGE, "source": Source.APP}
    if rng.random() < 0.3:
        data = OrganizationVerdict(withdrawn=True, withdrawn_by=1)
        return _judged(OrganizationVerdictChange(**envelope, data=data))
    said = Random(which)  # noqa: S311  as above
    named = [_named(envelope["company_id"], n) for n in said.sample(range(10), said.randint(2, 4))]
    sided = len(named) if which == 4 else 1
    data = OrganizationVerdict(
        decision="same" if which % 3 else "distinct",
        left_records=tuple(named[:sided]),
        right_records=tuple(named[sided:]),
        left_id=_named(envelope["company_id"], said.randrange(10)),
        right_id=named[1],
        decided_by=which,
    )
    envelope |= {"version": which * 7, "event_id": f"said-{which}"}
    return _judged(OrganizationVerdictChange(**envelope, data=data))


def _judged(change: OrganizationVerdictChange) -> Received:
    return Received(topics.APP_ORGANIZATION_VERDICTS.name, change)


def _named(company_id: int, number: int) -> UUID:
    if number == 0:
        return ids.made_organization(company_id, names.normalized(NAMES[0]))
    return ids.organization(company_id, number)


def _made(rng: Random, number: int) -> Received:
    envelope = _envelope(rng, number, "organization", "")
    name = rng.choice(NAMES[:6])
    made_id = ids.made_organization(envelope["company_id"], names.normalized(name))
    envelope |= {"entity_id": str(made_id), "source": Source.APP}
    deleted = envelope["action"] is Action.DELETE
    data = None if deleted else Organization(name=name, **_shown(rng))
    return Received(topics.APP_ORGANIZATIONS.name, OrganizationChange(**envelope, data=data))


def _person(rng: Random, number: int) -> Received:
    envelope = _envelope(rng, number, "person", rng.randrange(1, 13))
    fields = {"org_id": rng.choice((None, *range(1, 10))), "name": "Ada"}
    body = _body(rng, fields, envelope)
    change = PersonChange(
        **envelope, **_merges(rng, envelope, 13), data=None if body is None else Person(**body)
    )
    return Received(topics.PERSONS.name, change)


def _activity(rng: Random, number: int) -> Received:
    envelope = _envelope(rng, number, "activity", rng.randrange(1, 25))
    fields = {
        "person_id": rng.choice((None, *range(1, 14))),
        "org_id": rng.choice((None, None, *range(1, 10))),
        "done": rng.random() < 0.8,
        "due_date": rng.choice((None, date(2026, 1, 1) + timedelta(days=rng.randrange(20)))),
        "marked_as_done_time": rng.choice(
            (None, None, START + timedelta(minutes=rng.randrange(9000)))
        ),
    }
    body = _body(rng, fields, envelope)
    data = None if body is None else Activity(**body)
    return Received(topics.ACTIVITIES.name, ActivityChange(**envelope, data=data))
