"""The life of contacts that are searched for, and searching them as the API does."""

from random import Random
from typing import Any

from devstack.pipedrive import names
from services.query.batch import User
from services.query.reading import Read, snapshot
from services.query.searching import reading
from services.query.searching.request import SearchQuery
from shared import db, topics
from shared.kafka.consumer import Received
from tests.support import search_truth
from tests.support.query_facts import (
    COMPANY,
    campaign,
    changed,
    data_of,
    deleted,
    link,
    merged,
    organization,
    person,
    score,
)

OWNER = User(COMPANY, 7)

FIRST = names.words(
    "Anna Ánna Hanna Jürgen Juergen Иван Ivan 花子 Søren Maximilian Alexandra Zoë O'Brien "
    "Jean-Pierre 김민수 민수 Ann-Å"
)
LAST = names.words(
    "Müller Mueller Smith Smyth Lindberg Berg Großmann García-Muñoz Петров 田中 Papadopoulos"
)
MAIL = names.words("acme.example mail.example nordwind.example")
ORGANIZATIONS = ("Acme", "Nordwind Energie", "Café Lumière", "Berg&Söhne A.G.", "Восток")
TEXTS = [
    *("anna", "ann", "a", "m", "müller", "MULLER anna", "anna muller", "lindbreg", "indber"),
    *("smiht", "maximilain", "alexnadra", "papadopuolos", "berg", "ivan petrov", "иван", "花子"),
    *("hua", "nord", "nordwind", "cafe lum", "energei", "acme", "example", "49301", "7", "person"),
    *("+49 30 1001", "030 1001", "030/1001-2", "1001", "obrien", "brien", "garcia munoz"),
    *("030", "0301", "30 10", "0 10", "100-1", "10 3 anna", "03 anna"),
    *("zzzzzz", "anna zzzz", "!!!", "soeren", "vostok", "anna acme"),
    "a b g i j m n p s nordwind example energie",
    "anna berg smith ivan nordwind energie example muller hanna lindberg acme",
    *("mueller", "müller", "joergen", "annaberg", "annamueller", "mail.example"),
    *("1@acme.example", "@acme.example"),
    *("민수", "수", "gimmin", "nord wind", "nordwindenergie", "bergsohneag", "an n", "jürgen b"),
    *("jeanpierre", "jeanp berg", "npie", "jeanpeirre", "jean-pierre", "ag", "bergsohne"),
    *("berg und sohne", "mail: 1@acme.example", "tel. +49 30 1001", "smith and berg"),
    *("berg12", "linbderg3", "müll1er", "lindbrg1", "petrvo2"),
    *("dr. berg", "herr lindbreg", "nordwind gmbh", "Frau Dr."),
    *("papadpo", "maxmilia", "alexnd", "lindverg a", "nordwimd ene", "energj", "grosma"),
]


def life(random: Random, *, persons: int, facts: int) -> list[Received]:
    """Contacts of two owners come, go, are renamed, merged and handed over."""
    return [_fact(random, version, persons) for version in range(1, facts + 1)]


def _fact(random: Random, version: int, persons: int) -> Received:
    number, other = random.randrange(persons), random.randrange(persons)
    first, last = random.choice(FIRST), random.choice(LAST)
    return random.choice(
        [
            lambda: person(
                number,
                version,
                name=f"{first} {last}",
                owner_id=random.choice([7, 7, 7, 8]),
                emails=[{"value": f"{first}.{last}{number}@{random.choice(MAIL)}"}],
                phones=[{"value": f"+49 30 {1000 + number} {random.randrange(10)}"}],
            ),
            lambda: changed(
                topics.PERSONS, number, version, data={"name": f"{last}, {first} {version}"}
            ),
            lambda: changed(
                topics.PERSONS, number, version, data={"owner_id": random.choice([7, 8])}
            ),
            lambda: changed(
                topics.PERSONS, number, version, data={"phones": [{"value": f"030/100{number}"}]}
            ),
            lambda: deleted(number, version),
            lambda: merged(number, other, version),
            lambda: link(number, random.choice([None, 1, 2, 3, 4, 5]), version),
            lambda: score(number, random.randrange(11), version),
            lambda: campaign(number, version, random.choice([True, False])),
            lambda: organization(
                random.randrange(1, 6),
                version,
                name=random.choice(ORGANIZATIONS),
                deleted=random.random() < 0.2,
            ),
        ]
    )()


async def read(pool: db.Pool, user: User, text: str, **more: Any) -> Read:
    request = SearchQuery.model_validate({"q": text, "limit": 100} | more).request()
    async with snapshot(pool) as conn:
        return await reading.search(conn, user, request)


async def searched(pool: db.Pool, user: User, text: str, **more: Any) -> dict[str, Any]:
    answer = await read(pool, user, text, **more)
    found: dict[str, Any] = data_of(answer)
    return found


async def assert_agrees(pool: db.Pool, user: User, text: str) -> None:
    truth = await search_truth.search(pool, user, text)

    found = await searched(pool, user, text)

    assert search_truth.ids(found["contacts"]) == truth.contacts[:100], text
    assert found["pagination"]["total"] == len(truth.contacts), text
    assert found["pagination"]["totalIsExact"], text
