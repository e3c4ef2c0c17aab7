"""The index finds what looking at every contact finds, in the same order, whatever happened."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any

import pytest

from services.query.batch import User
from services.query.reading import snapshot
from services.query.request import Filters
from services.query.searching import matching, reading
from services.query.searching.dictionary import MOST_WORDS
from services.query.searching.indexer import Indexer
from services.query.searching.request import DEEPEST, SuggestQuery
from shared import db, topics
from tests.support import search_truth
from tests.support.query_facts import (
    COMPANY,
    campaign,
    changed,
    contact_id,
    data_of,
    link,
    organization,
    organization_id,
    person,
    project,
    read_model,
    score,
)
from tests.support.search_life import LAST, OWNER, TEXTS, assert_agrees, life, read, searched


@pytest.mark.parametrize("seed", range(4))
async def test_search_finds_what_a_look_at_every_contact_finds(database_url: str, seed: int):
    random = Random(seed)  # noqa: S311  repeatable, not secret
    async with read_model(database_url) as pool:
        indexer = Indexer(
            pool, batch=random.choice([3, 50, 2000]), few=random.choice([0, 10, 1000])
        )
        facts = life(random, persons=60, facts=900)
        for start in range(0, len(facts), 150):
            await project(pool, facts[start : start + 150])
            if random.random() < 0.5:
                await indexer.round()
            for text in random.sample(TEXTS, 12):
                await assert_agrees(pool, random.choice([OWNER, User(COMPANY, 8)]), text)
        await indexer.drain()
        for text in TEXTS:
            await assert_agrees(pool, OWNER, text)


async def test_names_held_together_by_a_sign_are_found_without_it(database_url: str):
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                person(1, name="Jean-Pierre Dupont"),
                person(2, name="Jean Petit"),
                organization(1, 1, name="AT&T"),
                link(2, 1),
            ],
        )
        await Indexer(pool, few=0).drain()

        by_name = await searched(pool, OWNER, "jeanpierre")
        by_organization = await searched(pool, OWNER, "att jean")

    assert [c["highlights"]["name"] for c in by_name["contacts"]] == [[[0, 11]]]
    assert [c["highlights"]["organization"] for c in by_organization["contacts"]] == [[[0, 4]]]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "allen and unwin",
            "Allen und Unwin Ltd",
            "allen unwin",
            "Allen & Unwin™",
            "allen+unwin",
        ),
        *("Tel.: +49 30 5198512", "tel (030) 519 85 12", "E-Mail: bo@unwin.example"),
        *("bo[at]unwin.example", "bo (at) unwin (dot) example", "Bo Kurz, Mobil 030 5198512"),
    ],
)
async def test_what_is_copied_from_a_letter_is_found(database_url: str, text: str):
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                organization(1, 1, name="Allen & Unwin Ltd."),
                person(
                    1,
                    name="Bo Kurz",
                    emails=[{"value": "bo@unwin.example"}],
                    phones=[{"value": "+49 30 5198512"}],
                ),
                link(1, 1),
                person(2, name="Allen Berg", phones=[{"value": "+49 30 5198500"}]),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, text)
            found = await searched(pool, OWNER, text)
            assert [each["id"] for each in found["contacts"]] == [contact_id(1)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(
            ("Dr. Bo Kurz", [1]),
            ("Herr Kurtz", [1]),
            ("unwin gmbh", [1]),
            ("Kurz, Unwin Inc.", [1]),
        ),
        *(("Frau Berg", [2]), ("berg ag", [2]), ("Dr", []), ("dr. nobody", []), ("Mr GmbH", [])),
    ],
)
async def test_what_records_often_lack_is_left_out_if_nobody_is_found_with_it(
    database_url: str, text: str, found: list[int]
):
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                organization(1, 1, name="Allen & Unwin"),
                organization(2, 1, name="Frau Berg AG"),
                person(1, name="Bo Kurz"),
                person(2, name="Li Wang"),
                person(3, name="Ed Berg"),
                link(1, 1),
                link(2, 2),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, text)
            page = await searched(pool, OWNER, text)
            assert [each["id"] for each in page["contacts"]] == list(map(contact_id, found))


@pytest.mark.parametrize("text", ["1234", "\u738b1234"])
async def test_who_has_a_fragments_digits_apart_is_found_by_the_address_alone(
    database_url: str, text: str
):
    """All three have its groups of three digits in their numbers; only the last has it there."""
    apart, whole = [{"value": "+86 123 92345"}], [{"value": "+86 5 1234 5"}]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                person(1, name="\u738b", emails=[{"value": "12345@mail.example"}], phones=apart),
                person(2, name="\u738b", phones=apart),
                person(3, name="\u738b", phones=whole),
            ],
        )
        await Indexer(pool, few=0).drain()

        await assert_agrees(pool, OWNER, text)

        found = await searched(pool, OWNER, text)
    assert {each["pipedrivePersonId"] for each in found["contacts"]} == {"1", "3"}


async def test_a_part_of_a_number_is_found_as_it_is_written(database_url: str):
    numbers = ("+1 555-010-0199", "+49 170 5550007", "030/1234-56", "+33 1 23 45 67 89")
    asked = ("010", "007", "030", "555", "555 0", "555-01", "1234-5", "23 45 6", "550 00", "40 12")

    def digits(text: str) -> str:
        return "".join(filter(str.isdigit, text))

    async with read_model(database_url) as pool:
        phones = [person(n, phones=[{"value": number}]) for n, number in enumerate(numbers)]
        await project(pool, phones)
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            for text in asked:
                wanted = {n for n, number in enumerate(numbers) if digits(text) in digits(number)}
                found = await searched(pool, OWNER, text)
                suggested = await suggestions(pool, text)
                for contacts in (found["contacts"], suggested["contacts"]):
                    assert {c["id"] for c in contacts} == {contact_id(n) for n in wanted}, text


@pytest.mark.parametrize("last", ["zacharias", "zachraias", "achari"])
async def test_every_word_counts_however_many_there_are(database_url: str, last: str):
    """Also one that is looked for farther, after as many as are looked for in the dictionary."""
    name = "Anastasia Bernadette Constantin Desdemona Emmanuelle Ferdinand Guillermo Hildegard"
    mistyped = " ".join(word.replace("n", "m", 1) for word in name.split())
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                person(1, name=f"{name} Zacharias"),
                person(2, name=f"{name} Xenophon"),
                person(3, name=name),
                organization(1, name="Zacharias AG"),
                link(3, 1),
                *(person(n, name=f"Bo {n}") for n in range(4, 40)),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            for text in (f"{name} {last}", f"{last} {mistyped}"):
                await assert_agrees(pool, OWNER, text)
                found = await searched(pool, OWNER, text)
                assert {c["id"] for c in found["contacts"]} == {contact_id(1), contact_id(3)}


async def test_many_words_that_many_may_have_are_found_and_the_total_is_said_not_to_be_exact(
    database_url: str,
):
    parts = [letter * 3 for letter in "abcdefghi"]
    name = " ".join(f"x{part}x" for part in parts)
    async with read_model(database_url) as pool:
        others = [person(n, name=name.replace("xiiix", "xiix")) for n in range(1200, 1300)]
        await project(pool, [*others, *(person(n, name=name) for n in range(1100))])
        await Indexer(pool).drain()

        found = await searched(pool, OWNER, " ".join(parts))

    assert [c["name"] for c in found["contacts"]] == [name] * 100
    assert not found["pagination"]["totalIsExact"]


async def test_of_more_words_than_are_looked_up_those_that_most_have_are_found(database_url: str):
    rare = ["".join(each) for each in product("abcdefghijk", repeat=3)][: MOST_WORDS + 5]
    names = [f"{each}qanna" for each in rare] + 3 * ["zzqanna"]
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=name) for n, name in enumerate(names, 1)])
        await Indexer(pool, few=0).drain()

        pagination = (await searched(pool, OWNER, "qanna"))["pagination"]

    # Of the others, one has each.
    assert pagination["total"] == MOST_WORDS - 1 + 3
    assert not pagination["totalIsExact"]


async def test_filters_narrow_the_hits(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, life(Random(3), persons=80, facts=900))  # noqa: S311  as above
        await Indexer(pool, few=0).drain()
        for text in ("anna", "example", "berg"):
            for more, filters in (
                ({"warmness": "0-3"}, Filters(scores=(0, 3))),
                ({"inCampaign": "true"}, Filters(in_campaign=True)),
                ({"organizationId": str(organization_id(2))}, Filters(organization_id(2))),
            ):
                truth = await search_truth.search(pool, OWNER, text, filters)
                found = await searched(pool, OWNER, text, **more)
                assert search_truth.ids(found["contacts"]) == truth.contacts[:100], (text, more)
                assert found["pagination"]["total"] == len(truth.contacts)


async def test_facets_count_the_hits(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, life(Random(4), persons=80, facts=900))  # noqa: S311  as above
        await Indexer(pool, few=0).round()
        await project(pool, [score(3, 9, 2000), link(4, 2, 2001)])
        truth = await search_truth.search(pool, OWNER, "example")

        found = await searched(pool, OWNER, "example", facets="true")

        assert found["facets"] == facets_of(truth.rows)


async def test_facets_count_organizations_that_only_queued_contacts_bring_up(database_url: str):
    async with read_model(database_url) as pool:
        several = range(12)
        await project(
            pool,
            [organization(o, 1, name=f"Works {o:02}") for o in several]
            + [person(n, name=f"Anna {n}") for n in range(36)]
            + [link(n, n % 12) for n in range(36)],
        )
        await Indexer(pool, few=0).drain()
        await project(
            pool, [link(0, 11, 2), changed(topics.PERSONS, 11, 2, data={"name": "Anna"})]
        )
        truth = await search_truth.search(pool, OWNER, "anna")
        counted = facets_of(truth.rows)

        found = await searched(pool, OWNER, "anna", facets="true")

        assert found["facets"] == counted | {"organizations": counted["organizations"][:10]}
        assert found["facets"]["organizations"][0]["contacts"] == 4
        suggested = await suggestions(pool, "works", limit=3)
        assert [o["contacts"] for o in suggested["organizations"]] == [4, 3, 3]


async def suggestions(pool: db.Pool, text: str, **more: Any) -> dict[str, Any]:
    request = SuggestQuery.model_validate({"q": text} | more).request()
    async with snapshot(pool) as conn:
        found: dict[str, Any] = data_of(await reading.suggest(conn, OWNER, request))
    return found


def facets_of(rows: Sequence[Any]) -> dict[str, Any]:
    """What there is to count, looked at row by row; there are few organizations."""
    contacts = Counter(row["organization_id"] for row in rows if row["organization_id"])
    names = {row["organization_id"]: row["organization_name"] for row in rows}
    inside = sum(row["added_to_campaign"] for row in rows)
    return {
        "organizations": [
            {"id": str(o), "name": names[o], "contacts": contacts[o]}
            for o in sorted(contacts, key=lambda o: (-contacts[o], names[o] or "", o))
        ],
        "warmness": {
            "0-3": sum(row["score"] <= 3 for row in rows),
            "4-6": sum(4 <= row["score"] <= 6 for row in rows),
            "7-10": sum(row["score"] >= 7 for row in rows),
        },
        "inCampaign": {"true": inside, "false": len(rows) - inside},
        "areExact": True,
    }


async def test_pages_follow_one_another(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(25)])
        await Indexer(pool, few=0).drain()

        pages = [await searched(pool, OWNER, "anna", page=n, limit=10) for n in (1, 2, 3, 4)]

        found = [each["id"] for page in pages for each in page["contacts"]]
        assert sorted(found) == sorted(contact_id(n) for n in range(25))
        assert [p["pagination"]["hasNext"] for p in pages] == [True, True, False, False]
        assert [p["pagination"]["hasPrev"] for p in pages] == [False, True, True, True]


@pytest.mark.parametrize("contacts", [950, 1050])
async def test_pages_reach_the_best_thousand_also_where_the_last_is_cut(
    database_url: str, contacts: int
):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(contacts)])

        pages = [await searched(pool, OWNER, "anna", page=n, limit=300) for n in (1, 2, 3, 4)]

        found = [each["id"] for page in pages for each in page["contacts"]]
        assert len(set(found)) == len(found) == min(contacts, DEEPEST)
        assert [p["pagination"]["hasNext"] for p in pages] == [True, True, True, False]
        assert {p["pagination"]["totalPages"] for p in pages} == {4}
        assert {p["pagination"]["total"] for p in pages} == {contacts}


async def test_companies_and_users_are_walls(database_url: str):
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                person(1, name="Anna One", owner_id=7),
                person(2, name="Anna Two", owner_id=8),
                person(1, company=502, name="Anna Three", owner_id=7),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            for user, wanted in (
                (User(COMPANY, 7), ["Anna One"]),
                (User(COMPANY, 8), ["Anna Two"]),
                (User(502, 7), ["Anna Three"]),
                (User(502, 8), []),
            ):
                found = await searched(pool, user, "anna")
                assert [each["name"] for each in found["contacts"]] == wanted


async def test_an_organization_is_renamed_for_all_its_contacts_at_once(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [organization(1, 1, name="Globex")])
        await project(pool, [person(n, name=f"P{n}") for n in range(30)])
        await project(pool, [link(n, 1) for n in range(30)])
        await Indexer(pool, few=0).drain()

        await project(pool, [organization(1, 2, name="Initech")])

        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            assert (await searched(pool, OWNER, "initech"))["pagination"]["total"] == 30
            assert (await searched(pool, OWNER, "globex"))["pagination"]["total"] == 0


async def test_suggestions_name_contacts_and_organizations(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [organization(1, name="Nordwind AG"), organization(2, name="Acme")])
        await project(
            pool, [person(1, name="Nora Nord"), person(2, name="Bo"), link(2, 1), link(1, 2)]
        )
        await Indexer(pool, few=0).drain()

        found = await suggestions(pool, "nord")

        assert [each["name"] for each in found["contacts"]] == ["Nora Nord"]
        assert [(o["name"], o["contacts"]) for o in found["organizations"]] == [("Nordwind AG", 1)]
        assert found["organizations"][0]["highlights"] == [[0, 4]]


async def test_a_contact_is_suggested_by_itself_and_its_organization_together(database_url: str):
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                organization(1, name="Acme"),
                organization(2, name="Ada Acme Sons"),
                *(person(n, name=name) for n, name in enumerate(("Ada", "Bo", "Ada", "Cy"))),
                *(link(n, firm) for n, firm in enumerate((1, 1, None, 2))),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            found = await suggestions(pool, "ada acme")
            assert [c["id"] for c in found["contacts"]] == [contact_id(0)]
            assert found["contacts"][0]["highlights"]["organization"] == [[0, 4]]
            assert [o["name"] for o in found["organizations"]] == ["Ada Acme Sons"]
            assert (await suggestions(pool, "acme"))["contacts"] == []


async def test_a_misspelt_beginning_is_suggested_behind_right_ones(database_url: str):
    """Among many words with its letter groups: without the index, with it, and queued."""
    others = [f"Christa Stoffel{''.join(each)}" for each in product("abcdef", repeat=3)]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                *(person(n, name=name) for n, name in enumerate(others, 10)),
                person(1, name="Christoffer Berg"),
                person(2, name="Kristofer Dahl"),
                person(3, name="Kristina Berg"),
            ],
        )
        for indexed in (False, True, True):
            if indexed:
                await Indexer(pool, few=0).drain()
                await project(pool, [changed(topics.PERSONS, 1, 2, data={"name": "Christoffer"})])
            for text in ("kristof", "kristoffe", "cristof", "stofelb"):
                await assert_agrees(pool, OWNER, text)
            suggested = (await suggestions(pool, "kristof"))["contacts"]
            assert [c["id"] for c in suggested] == [contact_id(2), contact_id(1)]
            assert suggested[1]["highlights"]["name"] == [[0, 8]]


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("taem2000", "Team2000", [0, 8]),
        ("lgoistk24 ag", "Logistik24", [0, 10]),
        ("mann1um", "Mannium", [0, 7]),
        ("logitsik2", "Logistik24", [0, 9]),
    ],
)
async def test_a_word_with_digits_is_found_with_a_wrong_letter(
    database_url: str, text: str, name: str, meant: list[int]
):
    """Among many that have other digits: without the index, with it, and queued."""
    others = [f"Te{letter}am200{digit}" for letter, digit in product("abcdef", range(10))]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                *(person(n, name=f"Bo {other}") for n, other in enumerate(others, 10)),
                organization(1, 1, name=f"{name} AG"),
                person(1, name="Bo"),
                link(1, 1),
            ],
        )
        for indexed in (False, True, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, text)
            found = (await searched(pool, OWNER, text))["contacts"]
            assert [each["id"] for each in found] == [contact_id(1)]
            assert meant in found[0]["highlights"]["organization"]
            await project(pool, [changed(topics.PERSONS, 1, 2, data={"name": "Bo B."})])


async def test_where_enough_begin_rightly_no_misspelt_beginning_is_looked_for(database_url: str):
    rightly = range(2, 1 + matching.FEW)
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Kristof Berg{n}") for n in rightly])
        await project(pool, [person(1, name="Christoffer")])
        for indexed, one_more in ((False, False), (True, False), (True, True)):
            if indexed:
                await Indexer(pool, few=0).drain()
            if one_more:
                await project(pool, [person(100, name="Kristof")])
            await assert_agrees(pool, OWNER, "kristof")
            found = await searched(pool, OWNER, "kristof")
            assert found["pagination"]["total"] == matching.FEW
            is_there = contact_id(1) in {each["id"] for each in found["contacts"]}
            assert is_there is not one_more


@pytest.mark.parametrize("text", ["@owen.com", "owen.com"])
async def test_who_has_an_address_of_the_typed_domain_comes_first(database_url: str, text: str):
    """Though last in the list: without the index, with it, and queued."""
    addresses = ["owen@mail.com", "bo@bowen.company", "owen@com.example", "bo@owen.com"]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                person(0, name="Owen Berg", emails=[{"value": "berg@mail.com"}]),
                *(
                    person(n, name="Bo", emails=[{"value": address}])
                    for n, address in enumerate(addresses, 1)
                ),
                score(4, 9),
            ],
        )
        for indexed in (False, True, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, text)
            found = (await searched(pool, OWNER, text))["contacts"]
            assert found[0]["email"] == "bo@owen.com"
            assert found[0]["highlights"]["email"] == [[3, 7], [8, 11]]
            assert {each["id"] for each in found} == {contact_id(n) for n in range(5)}
            await project(pool, [changed(topics.PERSONS, 4, 2, data={"name": "Bo K."})])

        moved = [{"value": "bo@owen.example"}]
        await project(pool, [changed(topics.PERSONS, 4, 3, data={"emails": moved})])
        await Indexer(pool, few=0).drain()
        await assert_agrees(pool, OWNER, text)


async def test_digits_that_many_have_in_their_numbers_are_found_inside_addresses(
    database_url: str,
):
    async with read_model(database_url) as pool:
        number = [{"value": "+49 30 5198512"}]
        await project(
            pool,
            [
                *(person(n, name="Bo", phones=number) for n in range(2, 2 + matching.ENOUGH)),
                person(1, name="Anna", emails=[{"value": "anna1985@mail.example"}]),
            ],
        )
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, "1985")
            found = await searched(pool, OWNER, "1985", limit=500)
            assert found["pagination"]["total"] == matching.ENOUGH + 1
            assert found["contacts"][-1]["highlights"]["email"] == [[4, 8]]


async def test_digits_of_a_name_that_was_renamed_count_for_nobody(database_url: str):
    """Its contacts have them in their numbers, too: as long as the rename is queued, the index
    has them by the old name.
    """
    contacts = range(2, 2 + matching.ENOUGH)
    number = [{"value": "+49 30 5198512"}]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                organization(1, 1, name="1985 AG"),
                *(person(n, name="Bo", phones=number) for n in contacts),
                *(link(n, 1) for n in contacts),
                person(1, name="Anna", emails=[{"value": "anna1985@mail.example"}]),
            ],
        )
        await Indexer(pool, few=0).drain()
        await project(pool, [organization(1, 2, name="Globex")])
        for indexed in (False, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            await assert_agrees(pool, OWNER, "1985")
            found = await searched(pool, OWNER, "1985", limit=500)
            assert found["contacts"][-1]["name"] == "Anna"


async def test_a_name_that_many_have_may_be_a_slip_where_the_rest_fits_none_of_them(
    database_url: str,
):
    """Hundreds are called Mara or Berg, but nobody Mara Lindberg or Berg Maria."""
    maras = [person(n, name=f"Mara Berg{n}") for n in range(3, 3 + matching.ENOUGH)]
    async with read_model(database_url) as pool:
        lindberg = person(1, name="Maria Lindberg")
        await project(pool, [*maras, lindberg, person(2, name="Maria Bo")])
        for indexed in (False, True, True):
            if indexed:
                await Indexer(pool, few=0).drain()
                await project(pool, [changed(topics.PERSONS, 2, 2, data={"name": "Maria B."})])
            for text in ("mara lindberg", "lindbreg mara", "mara zzzzzz", "mara berg", "mara bo"):
                await assert_agrees(pool, OWNER, text)
            found = (await searched(pool, OWNER, "mara lindberg"))["contacts"]
            assert [each["id"] for each in found] == [contact_id(1)]
            assert found[0]["highlights"]["name"] == [[0, 5], [6, 14]]
            suggested = (await suggestions(pool, "lindb mara"))["contacts"]
            assert [each["id"] for each in suggested] == [contact_id(1)]


async def test_a_misspelt_person_is_found_beside_a_large_organization_of_that_name(
    database_url: str,
):
    """Behind its people, and among the suggestions: without the index, with it, and queued."""
    several, phones = range(2, 2 + matching.ENOUGH), [{"value": "+49 30 1001"}]
    async with read_model(database_url) as pool:
        await project(
            pool,
            [
                organization(1, 1, name="Jakson AG"),
                person(1, name="Bo Jackson"),
                *(person(n, name="Bo") for n in several),
                *(link(n, 1) for n in several),
            ],
        )
        for indexed in (False, True, True):
            if indexed:
                await Indexer(pool, few=0).drain()
            suggested = await suggestions(pool, "jakson")
            assert [each["id"] for each in suggested["contacts"]] == [contact_id(1)]
            assert [each["name"] for each in suggested["organizations"]] == ["Jakson AG"]
            await assert_agrees(pool, OWNER, "jakson")
            found = await searched(pool, OWNER, "jakson", limit=500)
            assert found["pagination"]["total"] == 1 + len(several)
            assert found["contacts"][-1]["id"] == contact_id(1)
            assert found["contacts"][-1]["highlights"]["name"] == [[3, 10]]
            await project(pool, [changed(topics.PERSONS, 1, 2, data={"phones": phones})])

        await project(pool, [person(1000, name="Bo", emails=[{"value": "bo@jakson.example"}])])
        await assert_agrees(pool, OWNER, "jakson")
        found = await searched(pool, OWNER, "jakson", limit=500)
        assert contact_id(1) not in {each["id"] for each in found["contacts"]}


async def test_common_words_are_found_in_order_among_thousands(database_url: str):
    """Classes too large to be looked up whole: by buckets, by walking, and with scores that moved
    since they were indexed.
    """
    random = Random(11)  # noqa: S311  repeatable, not secret
    async with read_model(database_url) as pool:
        facts = [
            person(
                n,
                name=f"{'Anna' if n % 9 else 'Berta'} {random.choice(LAST)}",
                emails=[{"value": f"p{n}@mail.example"}],
                phones=[{"value": f"+49 30 {n:06d}"}],
            )
            for n in range(9000)
        ]
        facts += [score(n, random.randrange(11)) for n in range(9000)]
        facts += [campaign(n, 1, True) for n in range(0, 9000, 7)]
        facts += [organization(n, 1, name=f"Acme {n}") for n in range(1, 6)]
        facts += [link(n, 1 + min(n % 8, 4)) for n in range(9000)]
        for start in range(0, len(facts), 1000):
            await project(pool, facts[start : start + 1000])
        await Indexer(pool).drain()
        await project(pool, [score(n, random.randrange(11), 2) for n in range(0, 9000, 9)])
        await project(pool, [link(5, 1, 2), campaign(6, 2, True)])
        for text in ("anna", "mail", "müller anna", "49300"):
            truth = await search_truth.search(pool, OWNER, text)
            found = await searched(pool, OWNER, text)
            assert search_truth.ids(found["contacts"]) == truth.contacts[:100], text
            last = await searched(pool, OWNER, text, page=10)
            assert search_truth.ids(last["contacts"]) == truth.contacts[900:1000], text
            if found["pagination"]["totalIsExact"]:
                assert found["pagination"]["total"] == len(truth.contacts), text
        everyone = await search_truth.search(pool, OWNER, "mail")
        assert await are_kept(pool, "mail") == (True, False)  # the facets are from a sample
        found = await searched(pool, OWNER, "mail", facets="true")
        assert found["facets"] == facets_of(everyone.rows)
        warm = await search_truth.search(pool, OWNER, "mail", Filters(scores=(7, 10)))
        found = await searched(pool, OWNER, "mail", warmness="7-10", facets="true")
        assert found["facets"] == facets_of(warm.rows)
        assert search_truth.ids(found["contacts"]) == warm.contacts[:100]
        assert (found["pagination"]["total"], found["pagination"]["totalIsExact"]) == (
            len(warm.contacts),
            True,
        )
        await Indexer(pool).drain()
        assert await are_kept(pool, "mail") == (True, True)  # and the sample is the same from now


async def are_kept(pool: db.Pool, text: str) -> tuple[bool, bool]:
    """The page, and the page with facets."""
    plain = await read(pool, OWNER, text)
    return plain.lasts, (await read(pool, OWNER, text, facets="true")).lasts


async def test_the_order_is_right_while_the_index_knows_it_no_longer(database_url: str):
    """After a great rescoring, walking the list takes the place of buckets."""
    random = Random(12)  # noqa: S311  repeatable, not secret
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(6000)])
        await Indexer(pool).drain()
        await project(pool, [score(n, random.randrange(11)) for n in range(6000)])

        found = await searched(pool, OWNER, "anna")

        truth = await search_truth.search(pool, OWNER, "anna")
        assert search_truth.ids(found["contacts"]) == truth.contacts[:100]
        await Indexer(pool).drain()
        found = await searched(pool, OWNER, "anna")
        assert search_truth.ids(found["contacts"]) == truth.contacts[:100]
        assert found["pagination"]["totalPages"] == 10  # that can be asked for
