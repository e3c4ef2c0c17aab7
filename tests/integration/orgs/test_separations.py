"""Records that the rules united though they are not one, parted by users."""

from typing import Any
from uuid import UUID

import pytest

from services.orgs.judging.saying import STAYING
from services.orgs.settings import OrgsSettings
from shared import db, topics
from shared.events import Action, OrganizationVerdictChange, parse
from shared.kafka.consumer import Received
from tests.support.orgs_facts import OURS, THEIRS, a_person, an_org, records_in
from tests.support.orgs_judging import get, home, org_id, post, reviews
from tests.support.orgs_store import Client, tell

pytestmark = pytest.mark.integration

NOBODY = UUID(int=1)


def comes_of(answer: dict[str, Any]) -> dict[str, tuple[set[str], int]]:
    """The records of each organization that came of it, and how many contacts."""
    return {
        part["organizationId"]: (
            {record["recordId"] for record in part["firstRecords"]},
            part["contacts"],
        )
        for part in answer["data"]["organizations"]
    }


async def homes(client: Client, *numbers: int) -> list[str]:
    return [await home(client, number) for number in numbers]


async def test_what_the_rules_united_is_parted_and_all_else_stays_together(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, *(an_org(number, "Müller") for number in (1, 2, 3)))
    await tell(pool, a_person(5, 2), a_person(6, 3), a_person(7, 1))
    wanted = {"organizationId": org_id(1), "recordIds": [org_id(2)]}

    status, seen = await post(client, "/separations", **wanted, dryRun=True)
    assert (status, await homes(client, 1, 2, 3)) == (200, [org_id(1)] * 3), seen
    _, done = await post(client, "/separations", **wanted, reason="another village")

    assert (seen["data"]["id"], seen["data"]["dryRun"]) == (None, True)
    assert comes_of(seen) == {
        org_id(1): ({org_id(1), org_id(3)}, 2),
        org_id(2): ({org_id(2)}, 1),
    }
    assert done["data"]["organizations"] == seen["data"]["organizations"]
    assert await homes(client, 1, 2, 3) == [org_id(1), org_id(2), org_id(1)]
    _, shown = await get(client, f"/{org_id(2)}")
    assert shown["data"]["contactCount"] == 1
    (told,) = shown["data"]["history"]
    assert (told["kind"], told["reason"]) == ("separated", "another village")
    assert told["verdictId"] == done["data"]["id"]
    _, rest = await get(client, f"/{org_id(1)}")
    assert {each["kind"]: each["reason"] for each in rest["data"]["history"]} == {
        "separated": "another village",
        "merged": STAYING,
    }
    assert await reviews(pool, client) == []


async def test_what_was_parted_stays_so_whatever_comes_and_a_merge_takes_it_back(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, *(an_org(number, "Müller") for number in (1, 2, 3)))
    await post(client, "/separations", organizationId=org_id(1), recordIds=[org_id(1)])
    parted = await homes(client, 1, 2, 3)

    await tell(pool, an_org(2, "Müller", version=2), an_org(4, "Müller"))
    later = await homes(client, 1, 2, 3)
    status, merged = await post(
        client, "/merges", winnerId=org_id(1), loserId=org_id(3), reason="one after all"
    )

    assert parted == later == [org_id(1), org_id(2), org_id(2)]
    assert (status, len(merged["data"]["overrides"])) == (200, 1)
    assert await homes(client, 1, 2, 3) == [org_id(1)] * 3


async def test_a_separation_outweighs_the_merges_before_it(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Beta"), an_org(3, "Gamma"), an_org(4, "Delta"))
    for loser in (2, 3, 4):
        await post(client, "/merges", winnerId=org_id(1), loserId=org_id(loser))
    wanted = {"organizationId": org_id(1), "recordIds": [org_id(2), org_id(3)]}

    _, seen = await post(client, "/separations", **wanted, dryRun=True)
    _, done = await post(client, "/separations", **wanted)

    assert done["data"]["organizations"] == seen["data"]["organizations"]
    assert await homes(client, 1, 2, 3, 4) == [org_id(1), org_id(2), org_id(2), org_id(1)]


async def test_a_store_made_anew_from_the_log_has_the_same_separations(
    pool: db.Pool, client: Client, settings: OrgsSettings
) -> None:
    records = [an_org(number, "Müller") for number in (1, 2, 3)]
    await tell(pool, *records)
    await post(client, "/separations", organizationId=org_id(1), recordIds=[org_id(2)])
    parted = await homes(client, 1, 2, 3)

    topic = topics.APP_ORGANIZATION_VERDICTS
    told = [
        Received(topic.name, parse(OrganizationVerdictChange, value))
        for value in await records_in(settings, topic.name)
    ]
    await pool.execute("TRUNCATE records, organizations, verdicts, verdict_members, aliases")
    await tell(pool, *reversed(told))
    await tell(pool, *reversed(records))

    assert await homes(client, 1, 2, 3) == parted


@pytest.mark.parametrize(
    ("organization", "records", "status", "code"),
    [
        (org_id(1), [org_id(1), org_id(2)], 409, "nothing_to_part"),
        (org_id(1), [org_id(3)], 404, "not_found"),
        (org_id(1), [org_id(4)], 404, "not_found"),
        (org_id(1), [str(NOBODY)], 404, "not_found"),
        (str(NOBODY), [org_id(1)], 404, "not_found"),
        (org_id(1), [], 400, "bad_request"),
        (org_id(1), ["x"], 400, "bad_request"),
    ],
)
async def test_what_cannot_be_parted_is_refused_with_a_sentence(
    pool: db.Pool, client: Client, organization: str, records: list[str], status: int, code: str
) -> None:
    await tell(pool, *(an_org(number, "Müller") for number in (1, 2, 3)), an_org(4, "Omega"))
    await tell(pool, an_org(3, None, version=2, action=Action.DELETE))
    wanted = {"organizationId": organization, "recordIds": records}

    answered, refused = await post(client, "/separations", **wanted)
    theirs, _ = await post(client, "/separations", THEIRS, **wanted)

    assert (answered, refused["code"]) == (status, code)
    assert refused["error"].endswith(".")
    assert theirs in {400, 404}
    assert await pool.fetchval("SELECT count(*) FROM verdicts WHERE company_id = $1", OURS) == 0
