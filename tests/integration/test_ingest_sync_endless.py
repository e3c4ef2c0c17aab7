"""A list whose pages never end costs a sync a few of them, and no other list."""

from typing import Final

import pytest

from devstack.pipedrive.api import faults
from devstack.pipedrive.api.faults import Faults
from services.ingest.sync import asking, lists
from services.ingest.sync.steps import Mode
from shared.pipedrive import client
from shared.pipedrive.errors import Endless
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PAGE: Final = 3
ROWS: Final = 8
IN_VAIN: Final = 4
"""Calls for pages that lead nowhere: the last of them shows nothing, or a row that was new."""
TOKENS: Final = {lists.PERSONS: 10, lists.LEADS: 20 + 40}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("endless", faults.Endless)
@pytest.mark.parametrize("of", [lists.PERSONS, lists.LEADS], ids=lambda of: of.name)
async def test_it_is_given_up_and_the_others_are_read(
    synchronised_company: Company,
    monkeypatch: pytest.MonkeyPatch,
    of: lists.List,
    endless: faults.Endless,
    mode: Mode,
) -> None:
    company = synchronised_company
    account = company.double.account
    person = company.first("person")
    for number in range(ROWS):
        await account.create("person", {"name": f"Person {number}"})
        await account.create("lead", {"title": f"Lead {number}", "person_id": person})
        await account.create("activity", {"subject": "Call", "type": "call"})
    monkeypatch.setattr(client, "MOST_PER_PAGE", PAGE)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    limits = company.double.server.limits
    before = limits.tokens_used
    assert await company.syncs(A_USER, mode) == "done"
    usual, usual_tokens = company.ended[-1], limits.tokens_used - before
    company.double.server.faults = Faults(paths=of.path, endless=endless)

    before = limits.tokens_used
    state = await company.syncs(A_USER, mode)

    found = company.ended[-1]
    assert state == "done"
    assert limits.tokens_used - before <= usual_tokens + IN_VAIN * TOKENS[of]
    assert (of.name, "") in {(error["list"], error["id"]) for error in found.errors}
    assert {error["error"] for error in found.errors} == {str(Endless())}
    assert found.counts["activities"]["failed"] == 0
    assert found.counts["activities"]["read"] == usual.counts["activities"]["read"]


@pytest.mark.parametrize("mode", Mode)
async def test_where_no_list_ends_the_sync_fails_in_words(
    synchronised_company: Company, mode: Mode
) -> None:
    company = synchronised_company
    company.double.server.faults = Faults(endless=faults.Endless.ANEW)

    state = await company.syncs(A_USER, mode)

    assert (state, company.ended[-1].reason) == (
        "failed",
        f"No list can be read: {Endless()}",
    )
