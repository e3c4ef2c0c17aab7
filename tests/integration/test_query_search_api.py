"""The search at the door: what is refused, what an answer looks like, when it is kept."""

from collections.abc import AsyncIterator

import pytest

from tests.support import query_door
from tests.support import query_facts as facts
from tests.support.query_door import Door

pytestmark = pytest.mark.integration


@pytest.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with query_door.opened(database_url, redis_url) as door:
        yield door


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?q=",
        "?q=%20%20",
        "?q=%00",
        f"?q={'x' * 201}",
        "?q=anna&page=0",
        "?q=anna&limit=501",
        "?q=anna&page=11&limit=100",
        "?q=anna&page=5&limit=300",
        "?q=anna&warmness=hot",
        "?q=anna&inCampaign=yes",
        "?q=anna&facets=1",
        "?q=anna&sort=name",
    ],
)
async def test_what_cannot_be_searched_is_refused_with_a_sentence(door: Door, query: str) -> None:
    answered = await door.get(f"/api/my-500/search{query}")
    body = await answered.json()

    assert answered.status == 400
    assert body["code"] == "bad_request"
    assert len(body["error"]) > 10


async def test_text_without_a_letter_finds_nobody(door: Door) -> None:
    await door.told(facts.person(1))

    for path in ("/api/my-500/search?q=!!!", "/api/my-500/suggest?q=!!!"):
        answered = await door.get(path)
        body = await answered.json()
        assert answered.status == 200
        assert body["data"]["contacts"] == []


async def test_a_hit_is_a_contact_as_on_the_list_with_what_was_found(door: Door) -> None:
    await door.told(
        facts.organization(1, name="Straße & Söhne"),
        facts.person(
            1,
            name="Jürgen Groß 😀 Ada",
            emails=[{"value": "j.gross@mail.example"}],
            phones=[{"value": "+49 (0)30 12-34"}],
        ),
        facts.link(1, 1),
        facts.person(2, name="Nobody"),
    )

    listed = await (await door.get("/api/my-500")).json()
    found = await (await door.get("/api/my-500/search?q=gross%20ada&facets=true")).json()
    by_phone = await (await door.get("/api/my-500/search?q=030%201234")).json()

    contact = found["data"]["contacts"][0]
    highlights = contact.pop("highlights")
    assert contact in listed["data"]["contacts"]
    assert highlights == {
        "name": [[7, 11], [15, 18]],
        "email": [[2, 7]],
        "phone": [],
        "organization": [],
    }
    assert found["data"]["pagination"] == {
        "page": 1,
        "limit": 20,
        "total": 1,
        "totalPages": 1,
        "hasNext": False,
        "hasPrev": False,
        "nextCursor": None,
        "totalIsExact": True,
    }
    assert found["data"]["facets"]["organizations"][0]["name"] == "Straße & Söhne"
    assert by_phone["data"]["contacts"][0]["highlights"]["phone"] == [[7, 15]]


async def test_a_search_is_kept_until_something_that_it_shows_changes(door: Door) -> None:
    await door.told(facts.person(1, 1, name="Anna"))
    path = "/api/my-500/search?q=anna"

    first = await (await door.get(path)).json()
    second = await (await door.get(path)).json()
    await door.told(facts.person(2, 1, name="Anna Two"))
    third = await (await door.get(path)).json()

    assert [a["performance"]["cacheHit"] for a in (first, second, third)] == [False, True, False]
    assert [len(a["data"]["contacts"]) for a in (first, second, third)] == [1, 1, 2]


async def test_an_organization_that_went_into_another_filters_as_that_one(door: Door) -> None:
    survivor = facts.organization_id(2)
    await door.told(
        facts.organization(1, 1),
        facts.organization(2, 1),
        facts.organization(1, 2, deleted=True, merged_into=survivor),
        facts.person(1, name="Anna"),
        facts.person(2, name="Anna Elsewhere"),
        facts.link(1, 2),
    )

    path = f"/api/my-500/search?q=anna&organizationId={facts.organization_id(1)}"
    found = await (await door.get(path)).json()

    assert [each["name"] for each in found["data"]["contacts"]] == ["Anna"]
