"""Autocomplete of organizations: what is found, in which order, and when Pipedrive is asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from pydantic import SecretStr

from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.world import Sizes
from services.orgs import names
from services.orgs.main import SERVICE
from services.orgs.searching import api as searching_api
from services.orgs.searching import index
from services.orgs.searching import store as searching_store
from services.orgs.searching import terms as searching_terms
from services.orgs.searching import upkeep as searching_upkeep
from services.orgs.searching.pipedrive import Fallback
from services.orgs.searching.upkeep import FIRST, upkeep
from services.orgs.settings import OrgsSettings
from shared import db, ids, topics
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange
from shared.kafka.consumer import Received
from tests.support import orgs_store
from tests.support.orgs_facts import OURS, SECRET, THEIRS, a_person, an_org
from tests.support.orgs_histories import history, shuffled
from tests.support.orgs_store import Client, tell
from tests.support.plans import plans
from tests.support.waiting import until

pytestmark = pytest.mark.integration

TOKEN = "the-api-token"


def told_of(
    number: int,
    name: str | None,
    *,
    version: int = 1,
    company_id: int = OURS,
    country: str = "CH",
) -> Received:
    action = Action.CHANGE if name is not None else Action.DELETE
    said = {} if name is None else {"city": "Bern", "country": country}
    return an_org(number, name, version=version, company_id=company_id, action=action, **said)


@dataclass
class Asker:
    """A client of the endpoint, over the store and what stands for Pipedrive."""

    client: Client
    settings: OrgsSettings
    fallback: Fallback
    tenants: Path

    async def ask(self, company_id: int = OURS, **params: Any) -> tuple[int, Any]:
        claims = {"sub": "1", "company_id": company_id, "exp": 4_000_000_000}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
        path = "/api/organizations/search"
        async with self.client.get(path, params=params, headers=headers) as response:
            return response.status, await response.json()

    async def names(self, q: str, company_id: int = OURS, limit: int = 10) -> list[str]:
        status, body = await self.ask(company_id, q=q, limit=limit)
        assert status == 200, body
        return [hit["name"] for hit in body["data"]["organizations"]]

    def connect(self, double: Double) -> None:
        tenant = {
            "company_id": OURS,
            "webhook_user": "u",
            "webhook_password": "p",
            "api_token": TOKEN,
            "api_domain": double.url,
        }
        self.tenants.write_text(json.dumps([tenant]))
        self.fallback.tenants.reload()


@pytest.fixture
async def asker(
    pool: db.Pool, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Asker]:
    tenants = tmp_path / "tenants.json"
    tenants.write_text("[]")
    settings = OrgsSettings(
        DATABASE_URL=database_url,
        redis_url=SecretStr(redis_url),
        tenants_file=tenants,
        search_pipedrive_seconds=0.8,
    )
    async with (
        Fallback(settings) as fallback,
        searching_store.pools(database_url, SERVICE, pool, size=4) as pools,
        orgs_store.served(searching_api.endpoints(pools, fallback)) as client,
    ):
        yield Asker(client, settings, fallback, tenants)


@asynccontextmanager
async def pipedrive(*names: str) -> AsyncIterator[Double]:
    async with Double(Setup(OURS, TOKEN, sizes=Sizes(1, 1, 1))) as double:
        for name in names:
            await double.account.create("organization", {"name": name})
        yield double


async def tell_names(pool: db.Pool, *names: str, company_id: int = OURS) -> None:
    told = (told_of(n, name, company_id=company_id) for n, name in enumerate(names, 1))
    await tell(pool, *told)


async def test_a_hit_says_what_a_form_needs(pool: db.Pool, asker: Asker) -> None:
    await tell(pool, told_of(7, "Ångström Werke AG"), a_person(3, 7))

    _, body = await asker.ask(q="angs")

    assert body["data"] == {
        "organizations": [
            {
                "id": str(ids.organization(OURS, 7)),
                "pipedriveOrgId": "7",
                "name": "Ångström Werke AG",
                "alias": None,
                "country": "CH",
                "city": "Bern",
                "contactCount": 1,
                "source": "store",
                "closeness": "prefix",
                "highlight": [
                    {"text": "Ångs", "isMatch": True},
                    {"text": "tröm Werke AG", "isMatch": False},
                ],
            }
        ],
        "sources": {"store": "ok", "pipedrive": "not_connected"},
    }


def called_one(one: int, other: int) -> Received:
    """That a user merged the second into the first."""
    said = OrganizationVerdict(
        decision="same",
        left_records=(ids.organization(OURS, one),),
        right_records=(ids.organization(OURS, other),),
    )
    change = dict(an_org(one, None).fact) | {
        "entity": "organization_verdict",
        "entity_id": str(UUID(int=one)),
        "data": said,
    }
    return Received(topics.APP_ORGANIZATION_VERDICTS.name, OrganizationVerdictChange(**change))


async def test_better_matches_come_first(pool: db.Pool, asker: Asker) -> None:
    await tell_names(
        pool, "Nordbank", "Bunk Beds", "Bank", "Bank of Bern", "First Bank", "Unrelated"
    )

    assert await asker.names("bank") == ["Bank", "Bank of Bern", "First Bank", "Nordbank"]
    assert await asker.names("bnak") == ["Bank", "First Bank", "Bank of Bern"]
    assert await asker.names("bunkk") == ["Bunk Beds"]


async def test_words_are_found_in_any_order_and_half_typed(pool: db.Pool, asker: Asker) -> None:
    await tell_names(pool, "Johnson & Johnson Services", "Smith Johnson", "Services R Us")

    assert await asker.names("serv john") == ["Johnson & Johnson Services"]
    assert await asker.names("JOHNSON, sm") == ["Smith Johnson"]
    assert await asker.names("johnson and johnson") == ["Johnson & Johnson Services"]


async def test_words_typed_as_one_are_found(pool: db.Pool, asker: Asker) -> None:
    await tell_names(pool, "The Coca-Cola Company", "7-Eleven, Inc.", "Cola Coca")

    assert await asker.names("cocacola") == ["The Coca-Cola Company"]
    assert await asker.names("cocacola comp") == ["The Coca-Cola Company"]
    assert await asker.names("7eleven") == ["7-Eleven, Inc."]


async def test_every_alphabet_is_found_in_its_own_letters_and_in_plain_ones(
    pool: db.Pool, asker: Asker
) -> None:
    await tell_names(pool, "Ромашка", "Łódź Fabryka", "田中商事")

    assert await asker.names("ромаш") == ["Ромашка"]
    assert await asker.names("romash") == ["Ромашка"]
    assert await asker.names("lodz") == ["Łódź Fabryka"]
    assert await asker.names("田中") == ["田中商事"]


async def test_of_equally_good_ones_that_with_more_contacts_comes_first(
    pool: db.Pool, asker: Asker
) -> None:
    await tell_names(pool, "Acme East", "Acme North", "Acme West")
    await tell(pool, *(a_person(n, 3) for n in range(5)), a_person(9, 2))

    assert await asker.names("acme") == ["Acme West", "Acme North", "Acme East"]
    assert await asker.names("acme", limit=1) == ["Acme West"]


async def test_common_words_are_found_among_more_than_are_looked_at(
    pool: db.Pool, asker: Asker
) -> None:
    await tell_names(pool, *(f"Branch {n} Bank Inc" for n in range(1, 1300)), "Rare Bank Inc")
    await tell(pool, a_person(1, 777))

    assert (await asker.names("bank inc"))[0] == "Branch 777 Bank Inc"
    assert (await asker.names("b"))[0] == "Branch 777 Bank Inc"
    assert await asker.names("inc rare") == ["Rare Bank Inc"]
    assert await asker.names("branch 1234") == ["Branch 1234 Bank Inc"]
    assert len(await asker.names("ranch", limit=50)) == 50
    assert await asker.names("bank raer") == ["Rare Bank Inc"]
    assert len(await asker.names("bnak brxnch")) == 10


async def test_renamed_deleted_and_merged_organizations_are_found_as_they_are(
    pool: db.Pool, asker: Asker
) -> None:
    await tell_names(pool, "Acme", "Beta")
    await tell(pool, told_of(1, "Gamma", version=2), told_of(2, None, version=2))

    assert await asker.names("acme") == []
    assert await asker.names("beta") == []
    assert await asker.names("gamma") == ["Gamma"]
    words = await pool.fetch("SELECT word FROM search_dictionary")
    assert [row["word"] for row in words] == ["gamma"]


async def test_an_organization_is_found_by_the_name_of_each_of_its_records(
    pool: db.Pool, asker: Asker
) -> None:
    await tell(pool, told_of(1, "Acme"), told_of(2, "Beta Works", version=2), a_person(3, 1))
    await tell(pool, told_of(4, "Acme Tools"), called_one(1, 2))

    _, body = await asker.ask(q="acme!")
    _, shown = await asker.ask(q="beta works")

    hits = [(hit["name"], hit["alias"]) for hit in body["data"]["organizations"]]
    assert hits == [("Beta Works", "Acme"), ("Acme Tools", None)]
    assert body["data"]["organizations"][0]["closeness"] == "exact"
    assert [hit["alias"] for hit in shown["data"]["organizations"]] == [None]


@pytest.mark.parametrize(
    ("q", "closeness"),
    [("quan", "prefix"), ("fer", "words"), ("uantu", "inside"), ("quantmu fer", "similar")],
)
async def test_what_is_typed_of_a_name_that_only_a_merged_record_has_finds_it(
    pool: db.Pool, asker: Asker, q: str, closeness: str
) -> None:
    await tell(pool, told_of(1, "Quantum Ferries"), told_of(2, "Beta Works", version=2))
    await tell(pool, told_of(3, "BETA works!"), called_one(1, 2))

    _, body = await asker.ask(q=q)

    (hit,) = body["data"]["organizations"]
    assert (hit["name"], hit["alias"], hit["closeness"]) == (
        "Beta Works",
        "Quantum Ferries",
        closeness,
    )
    shown = await asker.ask(q="bet")
    assert [each["alias"] for each in shown[1]["data"]["organizations"]] == [None]


async def test_names_of_records_are_found_as_these_are(pool: db.Pool, asker: Asker) -> None:
    await tell(pool, told_of(1, "Omega"), told_of(2, "Alpine", version=9), called_one(1, 2))
    assert [await asker.names(q) for q in ("alp", "ome")] == [["Alpine"], ["Alpine"]]

    await tell(pool, told_of(1, "Gamma", version=3))
    assert [await asker.names(q) for q in ("ome", "gam")] == [[], ["Alpine"]]

    await tell(pool, told_of(1, None, version=4))
    assert [await asker.names(q) for q in ("gam", "alp")] == [[], ["Alpine"]]
    words = await pool.fetch("SELECT word FROM search_dictionary")
    assert [row["word"] for row in words] == ["alpine"]


async def test_organizations_with_hundreds_of_names_hide_no_others(
    pool: db.Pool, asker: Asker
) -> None:
    called = [[f"Acme {n} Branch {branch}" for branch in range(100)] for n in (1, 2)]
    large = [
        index.Name(OURS, ids.organization(OURS, n), f"Acme {n}", 1_000, [f"Acme {n}", *others])
        for n, others in enumerate(called, 1)
    ]
    known = [*large, index.Name(OURS, ids.organization(OURS, 3), "Acme Mill", 0)]
    async with pool.acquire() as conn, conn.transaction():
        await conn.executemany(
            "INSERT INTO organizations (company_id, organization_id, name, contact_count, deleted,"
            " published) VALUES ($1, $2, $3, $4, false, 1)",
            [each[:4] for each in known],
        )
        await index.keep(conn, known, before=[])

    assert await asker.names("acme") == ["Acme 1", "Acme 2", "Acme Mill"]


async def test_a_company_finds_only_its_own(pool: db.Pool, asker: Asker) -> None:
    await tell_names(pool, "Acme Ours")
    await tell_names(pool, "Acme Theirs", company_id=THEIRS)

    assert await asker.names("acme") == ["Acme Ours"]
    assert await asker.names("amce") == ["Acme Ours"]
    assert await asker.names("acme", THEIRS) == ["Acme Theirs"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"q": ""},
        {"q": "  "},
        {"q": "…!"},
        {"q": "\x00"},
        {"q": "x" * 101},
        {"q": "acme", "limit": "0"},
        {"q": "acme", "limit": "51"},
        {"q": "acme", "limit": "many"},
        {"q": "acme", "colour": "red"},
    ],
)
async def test_a_search_that_cannot_be_is_refused_with_a_sentence(
    asker: Asker, params: dict[str, str]
) -> None:
    status, refused = await asker.ask(**params)

    assert status == 400
    assert refused["error"].endswith(".")


@pytest.mark.parametrize(
    "q", ["%", "a%b_c", "(.*", "[", "\\", "'; --", "a\x00b", "𝕬𝖈𝖒𝖊", "a" * 100]
)
async def test_no_letter_has_a_meaning_of_its_own(pool: db.Pool, asker: Asker, q: str) -> None:
    await tell_names(pool, "Zeta")

    status, _ = await asker.ask(q=q)

    assert status in (200, 400)


async def test_strangers_are_refused(asker: Asker) -> None:
    async with asker.client.get("/api/organizations/search?q=acme") as response:
        assert response.status == 401


async def test_a_store_from_before_becomes_findable(pool: db.Pool, asker: Asker) -> None:
    await tell_names(pool, *(f"Acme {n}" for n in range(450)), "…")
    await pool.execute("TRUNCATE search_names, search_words, search_dictionary")
    stop = asyncio.Event()

    async def is_whole() -> bool:
        return await pool.fetchval("SELECT count(*) FROM search_names") == 451

    async with asyncio.TaskGroup() as group:
        group.create_task(upkeep(pool)(stop))
        await until(is_whole)
        stop.set()

    assert await asker.names("acme 44", limit=1) == ["Acme 44"]


async def test_what_an_older_version_writes_meanwhile_becomes_findable(
    pool: db.Pool, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching_upkeep, "AGAIN_S", 0.1)
    await tell_names(pool, "Acme")
    await pool.execute("TRUNCATE search_names, search_words, search_dictionary")
    stop = asyncio.Event()

    async def is_found() -> bool:
        return await asker.names("acm", limit=1) == ["Acme"]

    async with asyncio.TaskGroup() as group:
        group.create_task(upkeep(pool)(stop))
        try:
            await until(is_found, 10)
            await pool.execute("UPDATE search_names SET fold_version = 1, folded = 'of before'")
            await pool.execute("TRUNCATE search_words, search_dictionary")
            await until(is_found, 10)
        finally:
            stop.set()


async def test_what_is_not_findable_is_looked_for_by_parts(pool: db.Pool) -> None:
    part = 20
    await tell_names(pool, *(f"Acme {n}" for n in range(20 * part)))

    (plan,) = await plans(pool, lambda conn: index.findable(conn, FIRST, part))

    assert plan.through <= 10 * part


async def search_tables(pool: db.Pool) -> list[list[tuple[Any, ...]]]:
    return [
        [tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]  # noqa: S608  constants
        for table in ("search_names", "search_words", "search_dictionary")
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_what_can_be_found_is_what_the_organizations_say(pool: db.Pool, seed: int) -> None:
    for batch in shuffled(history(seed, 300), seed):
        await tell(pool, *batch)
    kept = await search_tables(pool)

    await pool.execute("TRUNCATE search_names, search_words, search_dictionary")
    stop = asyncio.Event()
    stop_when_done = asyncio.create_task(upkeep(pool)(stop))
    await until(lambda: is_caught_up(pool))
    stop.set()
    await stop_when_done

    assert await search_tables(pool) == kept


async def is_caught_up(pool: db.Pool) -> bool:
    return await pool.fetchval(
        "SELECT count(*) = (SELECT count(*) FROM search_names WHERE alias IS NULL) "
        "FROM organizations "
        "WHERE NOT deleted AND name IS NOT NULL"
    )


async def found_for(asker: Asker, q: str) -> list[tuple[str, str, str | None]]:
    _, body = await asker.ask(q=q)
    return [
        (hit["name"], hit["source"], hit["id"] and "ours") for hit in body["data"]["organizations"]
    ]


async def sources(asker: Asker, q: str) -> str:
    _, body = await asker.ask(q=q)
    return body["data"]["sources"]["pipedrive"]


async def test_what_only_pipedrive_has_comes_after_ours(pool: db.Pool, asker: Asker) -> None:
    await tell(pool, told_of(700, "Acme Ours"), told_of(701, "Acmy"))
    async with pipedrive("Acme Far", "ACME ours!", "Other") as double:
        asker.connect(double)

        found = await found_for(asker, "acme")

    assert found == [
        ("Acme Ours", "store", "ours"),
        ("Acme Far", "pipedrive", None),
        ("Acmy", "store", "ours"),
    ]


async def test_a_pipedrive_organization_that_we_know_is_ours_whatever_its_name(
    pool: db.Pool, asker: Asker
) -> None:
    async with pipedrive("Acme Old Name", "Acme Deleted") as double:
        asker.connect(double)
        numbers = await double_rows(asker)
        await tell(
            pool,
            told_of(numbers["Acme Old Name"], "Renamed Since"),
            told_of(numbers["Acme Deleted"], None),
        )

        found = await found_for(asker, "acme")

        _, body = await asker.ask(q="acme")

    assert found == [("Renamed Since", "pipedrive", "ours")]
    assert [hit["alias"] for hit in body["data"]["organizations"]] == ["Acme Old Name"]


@pytest.mark.parametrize("largest", [1, 2, 3])
async def test_of_several_organizations_of_a_name_the_one_with_most_contacts_is_known(
    pool: db.Pool, largest: int
) -> None:
    countries = enumerate(("CH", "DE", "FR"), 1)
    await tell(pool, *(told_of(n, "Acme", country=country) for n, country in countries))
    await tell(pool, a_person(1, largest))
    key = names.key(OURS, "acme")

    known = await searching_store.known(pool, OURS, {999: key})

    assert known.of_name[key].organization_id == ids.organization(OURS, largest)


async def double_rows(asker: Asker) -> dict[str, int]:
    page = await asker.fallback._clients.of(OURS).page("/v2/organizations")
    return {row["name"]: row["id"] for row in page.rows}


async def test_pipedrive_is_not_asked_where_ours_are_enough(pool: db.Pool, asker: Asker) -> None:
    await tell_names(pool, *(f"Acme {n}" for n in range(6)))
    async with pipedrive() as double:
        asker.connect(double)

        assert await sources(asker, "acme") == "not_needed"
        assert await sources(asker, "a") == "not_needed"
        assert double.server.limits.tokens_used == 0


async def test_one_letter_and_what_was_just_asked_cost_no_tokens(asker: Asker) -> None:
    async with pipedrive("Acme") as double:
        asker.connect(double)

        assert await sources(asker, "a") == "not_needed"
        assert [await sources(asker, q) for q in ("acme", " ACME", "acmé")] == ["ok"] * 3
        assert double.server.limits.tokens_used == 20 + 2  # two to know whose the token is


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"delay_s": 3.0}, "late"),
        ({"errors": 1.0}, "unavailable"),
        ({"cut": 1.0}, "unavailable"),
        ({"garbage": 1.0}, "unavailable"),
        ({"html": 1.0}, "unavailable"),
    ],
)
async def test_pipedrives_trouble_costs_a_bounded_time_and_none_of_ours(
    pool: db.Pool, asker: Asker, trouble: dict[str, float], told: str
) -> None:
    await tell_names(pool, "Acme")
    async with pipedrive("Acme Far") as double:
        asker.connect(double)
        for name, value in trouble.items():
            setattr(double.server.faults, name, value)
        began = asyncio.get_running_loop().time()

        _, body = await asker.ask(q="acme")

        took = asyncio.get_running_loop().time() - began
    assert [hit["name"] for hit in body["data"]["organizations"]] == ["Acme"]
    assert body["data"]["sources"]["pipedrive"] in (told, "limited")
    assert took < 2


async def test_spent_tokens_are_told_and_pipedrive_is_left_alone(asker: Asker) -> None:
    async with pipedrive("Acme") as double:
        asker.connect(double)
        double.server.limits.rules.daily_tokens = 0

        assert await sources(asker, "acme") == "limited"
        assert await sources(asker, "acmes") == "limited"
        assert double.server.limits.refused == 1


async def test_a_token_that_pipedrive_does_not_know_is_unavailable(asker: Asker) -> None:
    async with pipedrive("Acme") as double:
        asker.connect(double)
        asker.tenants.write_text(asker.tenants.read_text().replace(TOKEN, "wrong"))
        asker.fallback.tenants.reload()

        assert await sources(asker, "acme") == "unavailable"


def test_a_query_of_many_words_is_cut() -> None:
    words: Sequence[str] = searching_terms.of_query("a " * 40)

    assert len(words) == searching_terms.MOST_TERMS
