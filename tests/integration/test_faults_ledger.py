"""What the ledger of the scenarios says is lost or doubled, in stores that are so."""

import pytest

from shared import topics
from tests.faults import ledger
from tests.faults.ledger import Entry
from tests.support import pipe
from tests.support import query_facts as facts
from tests.support.query_facts import project, read_model

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE user_counts SET contacts = contacts + 1",
        "UPDATE user_counts SET contacts = contacts - 1",
        "UPDATE user_counts SET contacts = 0",
        "DELETE FROM user_counts",
    ],
)
async def test_a_counter_that_says_more_or_less_than_there_is_is_found(
    database_url: str, harm: str
) -> None:
    async with read_model(database_url) as pool:
        await project(pool, [facts.person(1), facts.person(2), facts.person(3, owner_id=8)])
        await project(pool, [facts.person(3, 2, owner_id=7)])
        before = await ledger.doubled(database_url)
        await pool.execute(f"{harm} WHERE owner_id = 7")

        found = await ledger.doubled(database_url)

    assert before == []
    assert len(found) == 1


async def test_an_acked_change_of_a_user_that_is_in_no_store_is_lost(database_url: str) -> None:
    log = {str(version): Entry("user", "7", version) for version in (1, 2, 3)}
    async with read_model(database_url) as pool:
        told = {"company_id": pipe.COMPANY, "data": {"name": "Ada", "active": True}}
        await project(pool, [facts.changed(topics.USERS, 7, 2, **told)])
        rows = await ledger.rows(database_url)

    account = ledger.account(log, log, frozenset(), rows)

    assert account.outcomes == {"superseded": 1, "applied": 1}
    assert account.lost == ("3: user 7 stands at 2",)
