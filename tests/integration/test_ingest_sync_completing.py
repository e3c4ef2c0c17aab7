"""Rows that webhooks left incomplete and that cannot be fetched are left to the next delta."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from pydantic import SecretStr

from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked, Rejected
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from services.ingest.sync import hearing, known_store
from services.ingest.sync import lists as of_pipedrive
from services.ingest.sync.asking import MOST_IDS
from services.ingest.sync.completing import ROUNDS, Completer
from services.ingest.sync.hearing import Carried, Glimpse
from services.ingest.sync.lists import PERSONS
from shared import db, heart, topics
from shared.events import BIGINT_MAX, Action, Source
from shared.kafka.consumer import Received
from shared.pipedrive.client import DEADLINE_S
from tests.support import proxy
from tests.support.commands import COMPANY, a_tenant
from tests.support.loops import running
from tests.support.proxy import Weather
from tests.support.synchronised import Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OFTEN_S = 0.05
UNKNOWN_COMPANY = COMPANY + 1
SILENT_COMPANY = COMPANY - 1
SOON_S = DEADLINE_S / 2
LEFT = "SELECT count(*) FROM incomplete"
OURS_LEFT = f"{LEFT} WHERE company_id <> {SILENT_COMPANY}"
PLACES_LEFT = "SELECT place FROM incomplete"
TOLD = "SELECT place, told FROM known WHERE entity = 'person' ORDER BY place LIMIT 2"
NEVER_TOLD = BIGINT_MAX
NOW = datetime.now(UTC)


@asynccontextmanager
async def completing(company: Company, **changes: object) -> AsyncIterator[None]:
    """`changes` are settings."""
    parts = company.sync.parts
    settings = parts.settings.model_copy(update={"sync_complete_seconds": OFTEN_S, **changes})
    often = replace(parts, settings=settings, publisher=company.told)
    async with running(Completer(often, company.sync.pool).run):
        yield


async def leave_incomplete(company: Company, *ids: int, company_id: int = COMPANY) -> None:
    versions = {(company_id, "person", PERSONS.place(str(each))): NEVER_TOLD for each in ids}
    async with company.sync.store() as conn:
        await known_store.missing(conn, versions)


async def none_are_left(company: Company) -> None:
    async def is_empty() -> bool:
        async with company.sync.store() as conn:
            return not await conn.fetchval(LEFT)

    await until(is_empty, 20)


async def test_companies_for_which_postgres_gives_no_answer_one_after_the_other_are_not_stuck(
    synchronised_company: Company,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    company, companies = synchronised_company, range(UNKNOWN_COMPANY, UNKNOWN_COMPANY + 10)
    for each in companies:
        await leave_incomplete(company, 1, company_id=each)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(db, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(heart, "PATIENCE_S", 2.0)

    async def all_have_been_tried() -> bool:
        assert "Completer.run" not in heart.stuck()
        failures = sum(record.message == "completing_failed" for record in caplog.records)
        return failures >= len(companies)

    async with proxy.before(database_url) as link:
        await link.turn(Weather.HALF_OPEN)
        url = SecretStr(proxy.through(database_url, link))
        async with completing(company, database_url=url):
            await until(all_have_been_tried)


async def test_a_refused_list_is_asked_for_once_and_said_to_be_given_up_once(
    synchronised_company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    company = synchronised_company
    company.double.server.faults = Faults(paths="/v2/persons", refused=1.0, status=403)

    async with completing(company):
        for person in (1, 2):
            await leave_incomplete(company, person)
            await none_are_left(company)

    assert company.double.server.faults.struck == 1
    [said] = [each for each in caplog.records if each.message == "completing_given_up"]
    assert said.levelno == logging.WARNING


async def test_rows_of_companies_that_are_not_connected_are_not_kept_nor_asked_for(
    synchronised_company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    company = synchronised_company
    without_token = a_tenant(company.double.url, api_token=None)
    company.sync.parts.settings.tenants_file.write_text(json.dumps([without_token]))
    requests = company.double.server.requests
    caplog.set_level(logging.INFO, "services.ingest.sync.completing")

    async with completing(company):
        await leave_incomplete(company, 1)
        await leave_incomplete(company, 1, company_id=UNKNOWN_COMPANY)
        await none_are_left(company)

    assert company.double.server.requests == requests
    assert not [each for each in caplog.records if each.message.startswith("completing")]


async def test_a_row_that_pipedrive_does_not_take_to_be_one_holds_up_no_other(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company
    odd, listed = 10**12, lists.v2
    persons = list(islice(company.double.account.tables["person"].walk(Order.ID), 3))
    shown: set[int] = set()

    def refusing(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if odd in (asked.ids or ()):
            raise Rejected(400, "ids: must be ids of persons")
        shown.update(asked.ids or ())
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(lists, "v2", refusing)
    await leave_incomplete(company, odd, *persons)

    async with completing(company):
        await none_are_left(company)

    assert shown == set(persons)


async def test_rows_that_are_too_much_for_pipedrive_at_a_time_are_left_after_some_rounds(
    synchronised_company: Company,
) -> None:
    """Each round costs tokens of the sync's share of the day."""
    company = synchronised_company
    company.double.server.faults = Faults(paths="/v2/persons", most_rows=MOST_IDS - 1)
    await leave_incomplete(company, 1)

    async with completing(company):
        await none_are_left(company)

    assert company.double.server.faults.struck == ROUNDS


async def test_what_a_sync_has_read_since_its_webhook_is_not_asked_for_once_more(
    synchronised_company: Company,
) -> None:
    """As where the log is heard from its beginning, be it as the company is connected."""

    def change(place: bytes, version: int) -> Received:
        glimpse = Glimpse(
            company_id=COMPANY,
            entity="person",
            entity_id=of_pipedrive.entity_id(place, is_number=True),
            action=Action.CHANGE,
            version=version,
            source=Source.WEBHOOK_V2,
            occurred_at=NOW,
            received_at=NOW,
            data=Carried(),
        )
        return Received(topics.PERSONS.name, glimpse)

    async with synchronised_company.sync.store() as conn:
        (before, read), (since, read_too) = await conn.fetch(TOLD)
        await hearing.apply(conn, [change(before, read - 1), change(since, read_too + 1)])
        left = [row["place"] for row in await conn.fetch(PLACES_LEFT)]

    assert left == [since]


async def test_a_company_whose_pipedrive_says_nothing_keeps_no_other_waiting(
    synchronised_company: Company,
) -> None:
    """It would be the first in turn."""
    company = synchronised_company
    is_asked = asyncio.Event()

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def ours_are_completed() -> bool:
        async with company.sync.store() as conn:
            return is_asked.is_set() and not await conn.fetchval(OURS_LEFT)

    async with RawTestServer(silent) as server:
        theirs = a_tenant(str(server.make_url("")), SILENT_COMPANY, webhook_user="silent")
        tenants = [a_tenant(company.double.url), theirs]
        company.sync.parts.settings.tenants_file.write_text(json.dumps(tenants))
        await leave_incomplete(company, 1, company_id=SILENT_COMPANY)
        await leave_incomplete(company, 1)

        async with completing(company):
            await until(ours_are_completed, SOON_S)
