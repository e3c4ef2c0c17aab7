"""What a sync could not read, the next one reads from the same moment on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked, Rejected
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from devstack.pipedrive.changes import Id
from services.ingest import rows
from services.ingest.sync import asking, connection_store, schedule, sync_store, trying
from services.ingest.sync.connection_store import Link
from services.ingest.sync.lists import PERSONS
from services.ingest.sync.reading import Reader
from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.steps import Mode
from shared.errors import Unavailable
from shared.pipedrive import client
from shared.pipedrive.client import Page
from shared.pipedrive.errors import DaySpent, PipedriveRefused, Unanswered
from tests.support.commands import COMPANY
from tests.support.synchronised import A_USER, Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

READ_UP_TO = timedelta(hours=1)
CHANGED = timedelta(minutes=30)
PAGE = 2
TRIES, ROUNDS = 3, 2
SILENT_S = 0.1
BEGAN = "UPDATE syncs SET created_at = $2, started_at = $2 WHERE id = $1"


@pytest.fixture
async def company(synchronised_company: Company) -> Company:
    """Whose last sync was an hour ago."""
    async with synchronised_company.sync.store() as conn:
        await conn.execute("UPDATE connections SET since = since - $1::interval", READ_UP_TO)
    synchronised_company.told.events.clear()
    return synchronised_company


def change(company: Company, entity: str, row_id: Id, **fields: Any) -> None:
    """Half an hour ago, unheard."""
    table = company.double.account.tables[entity]
    at = datetime.now(UTC) - CHANGED
    stamp = shapes.millis if entity == "lead" else shapes.seconds
    table.put({**(table.get(row_id) or {}), **fields, "update_time": stamp(at)}, at)


def refuse_activities(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = lists.v2

    def refused(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if table.entity == "activity":
            raise Rejected(403, "Your user may not see activities")
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(lists, "v2", refused)


async def link(company: Company) -> Link:
    async with company.sync.store() as conn:
        found = await connection_store.link(conn, COMPANY)
    assert found is not None
    return found


async def test_what_changed_in_a_list_that_was_refused_is_read_when_it_is_no_more(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await company.double.account.create("activity", {"subject": "Call", "type": "call"})
    change(company, "activity", made["id"], subject="Called unheard")
    began = datetime.now(UTC)
    with monkeypatch.context() as meanwhile:
        refuse_activities(meanwhile)
        states = [await company.syncs(A_USER) for _ in range(2)]
        errors = company.ended[-1].errors
        told_meanwhile = company.told.ids("activity")
    since = (await link(company)).since

    state = await company.syncs(A_USER)

    assert [*states, state] == ["done"] * 3
    assert {(each["list"], each["id"]) for each in errors} == {("activities", "")}
    assert told_meanwhile == set()
    assert since is not None
    assert since >= began
    assert company.told.ids("activity") == {str(made["id"])}


async def test_what_was_archived_while_the_archive_was_not_read_is_found_when_it_is(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = company.double.account
    person = company.first("person")
    made = [
        await account.create("lead", {"title": "To be archived", "person_id": person})
        for _ in range(2 * PAGE)
    ]
    for lead in made:
        change(company, "lead", lead["id"], is_archived=True)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    monkeypatch.setattr(schedule, "is_thorough", lambda *_: False)
    states = [await company.syncs(BY_THE_CLOCK) for _ in range(2)]
    told_meanwhile = company.told.ids("lead")
    monkeypatch.setattr(schedule, "is_thorough", lambda *_: True)

    state = await company.syncs(BY_THE_CLOCK)

    assert [*states, state] == ["done"] * 3
    assert told_meanwhile == set()
    assert company.told.ids("lead") >= {lead["id"] for lead in made}


async def test_a_list_that_is_refused_when_its_rows_have_settled_fails_no_other(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, pause = company.double.account, Reader.pause

    async def until_it_is_refused(self: Reader, seconds: float) -> None:
        await pause(self, seconds)
        paths = PERSONS.path
        company.double.server.faults = Faults(paths=paths, refused=1.0, status=403, after=0.0)

    made = await account.create("person", {"name": "Ann Other"})
    await account.create("lead", {"title": "A lead", "person_id": made["id"]})
    with monkeypatch.context() as patched:
        patched.setattr(Reader, "pause", until_it_is_refused)
        patched.setattr(rows, "SLACK", timedelta(minutes=1))  # none has settled before
        refused = await company.syncs(A_USER)
    company.double.server.faults = Faults()
    errors, told_meanwhile = company.ended[-1].errors, company.told.ids("person")

    again = await company.syncs(A_USER)

    assert (refused, again) == ("done", "done")
    assert [error["list"] for error in errors] == ["persons"]
    assert str(made["id"]) not in told_meanwhile
    assert str(made["id"]) in company.told.ids("person")


async def test_a_full_sync_of_three_days_is_followed_by_none_for_as_long(
    company: Company,
) -> None:
    days = timedelta(days=3)
    async with company.sync.store() as conn, conn.transaction():
        sync_id, _ = await sync_store.ask(conn, COMPANY, Mode.FULL, A_USER)
        began = datetime.now(UTC) - days
        await conn.execute(BEGAN, sync_id, began)

    assert await company.ends(sync_id) == "done"

    full_due = (await link(company)).full_due
    assert full_due is not None
    assert full_due - datetime.now(UTC) > days - timedelta(minutes=1)


async def test_a_walk_whose_marks_are_forgotten_each_night_ends_and_is_made_good_for(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    persons = list(company.double.account.tables["person"].walk(Order.ID))
    for person in persons:
        change(company, "person", person, name="A. Nother")
    monkeypatch.setattr(client, "MOST_PER_PAGE", 1)
    lasts_for(monkeypatch, pages=len(persons) // 2)

    states = [await company.syncs(A_USER, Mode.FULL)]
    told_meanwhile = company.told.ids("person")
    states += [await company.syncs(A_USER)]

    assert states == ["done", "done"]
    assert [error["list"] for error in company.ended[-2].errors] == ["persons"]
    assert len(told_meanwhile) < len(persons)
    assert company.told.ids("person") == {str(person) for person in persons}


def lasts_for(monkeypatch: pytest.MonkeyPatch, *, pages: int) -> None:
    """A day, of a walk of persons; the next one Pipedrive knows nothing of its cursors."""
    shown, left, knows = client.Pipedrive.page, pages, True

    async def page(
        self: client.Pipedrive, path: str, params: client.Params, **more: float
    ) -> Page:
        nonlocal left, knows
        if path == PERSONS.path and params.items() >= PERSONS.in_full().items():
            if "cursor" not in params:
                left, knows = pages, True
            elif not knows:
                raise PipedriveRefused(400, "Pipedrive refused: it does not know the cursor.")
            elif not left:
                knows = False
                raise DaySpent(datetime.now(UTC))
            left -= 1
        return await shown(self, path, params, **more)

    monkeypatch.setattr(client.Pipedrive, "page", page)


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "TRIES", TRIES)
    monkeypatch.setattr(trying, "ROUNDS", ROUNDS)
    monkeypatch.setattr(trying, "RETRY_AFTER", timedelta(0))


def silence(company: Company, paths: str = "") -> Faults:
    faults = Faults(paths=paths, errors=1.0, after=0.0)
    company.double.server.faults = faults
    return faults


async def test_a_list_that_alone_gives_no_answer_is_given_up_and_read_when_it_does(
    company: Company, in_haste: None
) -> None:
    made = await company.double.account.create("activity", {"subject": "Call", "type": "call"})
    change(company, "activity", made["id"], subject="Called unheard")
    person = company.first("person")
    change(company, "person", person, name="Renamed unheard")
    struck = []
    for _ in range(2):
        faults = silence(company, "/v2/activities")
        assert await company.syncs(A_USER) == "done"
        struck.append(faults.struck)
    given_up = company.ended[-1]
    told_meanwhile = company.told.ids("activity"), company.told.ids("person")
    company.double.server.faults = Faults()

    state = await company.syncs(A_USER)

    assert struck == [TRIES * ROUNDS, trying.TRIES_AGAIN]
    [error] = given_up.errors
    assert (error["list"], error["id"]) == ("activities", "")
    assert "unexpected answer, status 500" in error["error"]
    assert given_up.counts["activities"]["failed"] == 1
    assert told_meanwhile == (set(), {str(person)})
    assert (state, company.ended[-1].errors) == ("done", [])
    assert company.told.ids("activity") == {str(made["id"])}


async def test_a_list_that_gave_no_answer_to_a_full_sync_is_found_whole_by_the_next_delta(
    company: Company, in_haste: None
) -> None:
    """Also where the company was never read before, and no row of the list changed since."""
    async with company.sync.store() as conn:
        await conn.execute("DELETE FROM known")
        await conn.execute("UPDATE connections SET since = NULL")
    silence(company, "/v2/activities")
    began = await company.syncs(A_USER)
    in_full = company.ended[-1]
    company.double.server.faults = Faults()

    state = await company.syncs(A_USER)

    assert (began, in_full.reads, state) == ("done", Mode.FULL, "done")
    activities = company.double.account.tables["activity"].walk(Order.ID)
    assert company.told.ids("activity") == {str(each) for each in activities}


async def test_where_no_list_is_answered_the_sync_waits_until_one_is(
    company: Company, in_haste: None
) -> None:
    silence(company)
    sync_id = await company.begins(A_USER)
    reasons: list[str | None] = []

    async def has_long_waited() -> bool:
        found = await company.stands(sync_id)
        assert (found.finished_at, found.errors) == (None, [])
        reasons.append(found.reason)
        is_waiting = found.state == "waiting"
        return bool(is_waiting and found.mark.get("rounds", 0) > 2 * ROUNDS)

    async def is_done() -> bool:
        return (await company.stands(sync_id)).state == "done"

    await until(has_long_waited, 60)
    company.double.server.faults = Faults()
    await until(is_done, 30)

    assert "unexpected answer, status 500" in (reasons[-1] or "")
    assert (await company.stands(sync_id)).errors == []


async def test_a_row_looked_up_in_vain_is_no_sign_of_life_of_a_silent_company(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead is gone, and nothing is answered any more once all lists have been walked. As for a
    page, the round ends with the first try that took too long.
    """
    account, listed = company.double.account, lists.v1
    person = company.first("person")
    lead = (await account.create("lead", {"title": "A lead", "person_id": person}))["id"]
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    account.tables["lead"].purge(lead)
    silent = Faults(errors=1.0, after=0.0, delay_s=2 * SILENT_S)

    def and_then_silent(
        table: Table, asked: Asked, sight: Sight, *, archived: bool = False
    ) -> bytes:
        if archived:
            company.double.server.faults = silent
        return listed(table, asked, sight, archived=archived)

    async def is_waiting() -> bool:
        return (await company.stands(sync_id)).state == "waiting"

    monkeypatch.setattr(trying, "SILENT_S", SILENT_S)
    monkeypatch.setattr(lists, "v1", and_then_silent)
    sync_id = await company.begins(A_USER, Mode.FULL)
    await until(is_waiting, 60)

    the_row_and_its_list = 2
    assert (await company.stands(sync_id)).mark["step"] == "gone leads"
    assert silent.struck == the_row_and_its_list


def test_who_is_not_answered_waits_longer_from_round_to_round_up_to_a_bound() -> None:
    rests = [trying.rest(Unanswered("no"), rounds) for rounds in range(1, 1000)]

    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (trying.RETRY_AFTER, trying.LONGEST_WAIT)
    assert trying.rest(Unavailable("Kafka: it is away"), 7) == trying.RETRY_AFTER


async def test_a_list_that_is_too_much_for_pipedrive_at_a_time_is_read_by_smaller_pages(
    synchronised_company: Company, in_haste: None
) -> None:
    company = synchronised_company
    account = company.double.account
    person = company.first("person")
    leads = [
        (await account.create("lead", {"title": f"Lead {n}", "person_id": person}))["id"]
        for n in range(150)
    ]
    persons = [(await account.create("person", {"name": f"P {n}"}))["id"] for n in range(250)]
    company.double.server.faults = Faults(most_rows=100)
    company.told.events.clear()

    state = await company.syncs(A_USER, Mode.FULL)

    assert (state, company.ended[-1].errors) == ("done", [])
    assert company.told.ids("person") >= {str(each) for each in persons}
    assert company.told.ids("lead") >= set(leads)
    assert company.ended[-1].counts["leads"]["read"] == len(
        [each for each in account.tables["lead"].walk(Order.ID) if account.exists("lead", each)]
    )


async def test_a_sync_that_could_read_no_list_has_failed_and_the_next_one_reads_them(
    company: Company,
) -> None:
    person = company.first("person")
    change(company, "person", person, name="Renamed unheard")
    company.double.server.faults = Faults(refused=1.0, status=403)
    states = [await company.syncs(A_USER, mode) for mode in (Mode.FULL, Mode.INCREMENTAL)]
    refused = company.ended[-2:]
    company.double.server.faults = Faults()

    states.append(await company.syncs(A_USER))

    assert states == ["failed", "failed", "done"]
    said = "No list can be read: Pipedrive refused: Not for this account."
    assert [each.reason for each in refused] == [said, said]
    assert (company.ended[-1].errors, company.told.ids("person")) == ([], {str(person)})
