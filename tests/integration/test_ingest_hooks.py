"""Our webhook at the double: whose it must be, what is told of it, when it is looked at."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.pipedrive.api.double import Double
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.hooks import MOST
from devstack.pipedrive.world import Sizes
from services.ingest.sync import answers, connection_store, hooks
from services.ingest.sync.answers import Reason
from services.ingest.sync.connection_store import Link
from services.ingest.sync.hooks import Registered
from shared import db
from shared.pipedrive.budget import Budget
from shared.pipedrive.client import Clients, Pipedrive
from shared.pipedrive.errors import PipedriveRefused
from shared.tenants import Tenants
from tests.support.commands import COMPANY, a_tenant, double

pytestmark = pytest.mark.integration

ANOTHER_USER = 1002
ANOTHER_PASSWORD = "another"
USUAL_S = 900.0
SOON_S = 300.0
NOBODY = "http://127.0.0.1:1"
UNREACHABLE = "Pipedrive refused: subscription_url: invalid or non-reachable URL."
OURS, OTHERS = b"ours", b"another's"


@dataclass(frozen=True, slots=True)
class Company:
    double: Double
    client: Pipedrive
    conn: db.Connection
    tenants: Tenants
    url: str
    file: Path

    async def ensure(self) -> Registered:
        return await hooks.ensure(self.client, self.conn, self.tenants.get(COMPANY), self.url)

    def change_password(self, password: str) -> None:
        tenant = a_tenant(self.double.url, webhook_password=password)
        self.file.write_text(json.dumps([tenant]))
        self.tenants.reload()

    async def another(self, password: str, **other: str) -> int:
        """A webhook that listens as ours does but for what is `other`, and of which we know
        nothing.
        """
        account = self.double.account
        as_ours = {"url": self.url, "action": "*", "entity": "*", "name": hooks.NAME}
        made = await account.hooks.add(
            user_id=account.user_id,
            version=hooks.VERSION,
            user="hook",
            password=password,
            **as_ours | other,
        )
        return made.hook_id

    def passwords(self) -> list[str | None]:
        """Those of the webhooks that Pipedrive holds."""
        return [hook.password for hook in self.double.account.hooks.all()]

    async def link(self) -> Link:
        found = await connection_store.link(self.conn, COMPANY)
        assert found is not None
        return found

    async def problem(self) -> str | None:
        """What users are told of it."""
        async with Budget(None) as budget:
            usage = await budget.usage(COMPANY)
        problem: str | None = answers.connection(await self.link(), usage, None)["problem"]
        return problem

    async def to_check(self, digest: bytes, *, differing_s: float) -> list[int]:
        digests = {COMPANY: digest, 1: OTHERS}
        return await connection_store.to_check(
            self.conn, USUAL_S, digests, differing_s=differing_s
        )


@pytest.fixture
async def company(ingest_conn: db.Connection, tmp_path: Path) -> AsyncIterator[Company]:
    async def take(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_route("*", hooks.DOOR, take)
    async with AsyncExitStack() as held:
        server = await held.enter_async_context(TestServer(app))
        pipedrive = await held.enter_async_context(double(sizes=Sizes(2, 1, 1, 0.0)))
        file = tmp_path / "tenants.json"
        file.write_text(json.dumps([a_tenant(pipedrive.url)]))
        tenants = Tenants(file)
        budget = await held.enter_async_context(Budget(None))
        clients = await held.enter_async_context(Clients(tenants, budget))
        url = hooks.door(str(server.make_url("")))
        yield Company(pipedrive, clients.of(COMPANY), ingest_conn, tenants, url, file)


async def test_a_webhook_of_another_user_than_the_tokens_is_made_anew(company: Company) -> None:
    first = await company.ensure()
    assert await company.ensure() == Registered(first.hook_id, None)
    [hook] = company.double.account.hooks.all()
    hook.user_id = ANOTHER_USER  # be it deactivated, the webhook is shown as active

    again = await company.ensure()

    [hook] = company.double.account.hooks.all()
    assert again == Registered(hook.hook_id, Reason.OWNER)
    assert hook.hook_id != first.hook_id
    assert hook.user_id == company.double.account.user_id
    assert await company.ensure() == Registered(hook.hook_id, None)


async def test_a_webhook_whose_url_pipedrive_spells_its_way_stays(company: Company) -> None:
    url = company.url.replace("127.0.0.1", "LOCALHOST")
    spelled = replace(company, url=url)
    made = await spelled.ensure()

    again = await spelled.ensure()

    [hook] = company.double.account.hooks.all()
    assert hook.url == url.replace("LOCALHOST", "localhost") != url
    assert again == Registered(made.hook_id, None)


async def test_after_a_change_of_the_password_the_webhook_with_the_former_one_is_never_kept(
    company: Company,
) -> None:
    await company.ensure()
    company.change_password(ANOTHER_PASSWORD)
    company.double.server.faults = Faults(methods="DELETE", errors=1.0, after=0.0)

    made = await company.ensure()
    both = company.passwords()
    company.double.server.faults = Faults()
    again = await company.ensure()

    assert made.mended is Reason.CREDENTIALS
    assert both == ["password", ANOTHER_PASSWORD]
    assert again == Registered(made.hook_id, None)
    assert company.passwords() == [ANOTHER_PASSWORD]


async def test_a_webhook_that_was_made_and_not_written_down_is_made_anew(
    company: Company,
) -> None:
    """As by who was killed in between: nobody knows with which credentials."""
    first = await company.ensure()
    company.change_password(ANOTHER_PASSWORD)
    unknown = await company.another(password="forgotten")

    made = await company.ensure()

    assert made.mended is Reason.CREDENTIALS
    assert made.hook_id not in (first.hook_id, unknown)
    assert company.passwords() == [ANOTHER_PASSWORD]


async def test_another_webhook_at_our_url_does_not_stand_in_for_one_that_is_gone(
    company: Company,
) -> None:
    first = await company.ensure()
    another = await company.another(password="theirs")
    company.double.account.hooks.delete(first.hook_id)

    made = await company.ensure()

    assert made.mended is Reason.MISSING
    assert made.hook_id != another
    assert company.passwords() == ["password"]
    assert await company.ensure() == Registered(made.hook_id, None)


async def test_a_webhook_is_made_anew_also_where_the_user_has_as_many_as_pipedrive_allows(
    company: Company,
) -> None:
    first = await company.ensure()
    elsewhere = company.url.replace("127.0.0.1", "localhost")
    for _ in range(MOST - 1):
        await company.another(password="theirs", name="somebody", url=elsewhere, entity="note")
    company.double.account.hooks.all()[0].is_active = False

    made = await company.ensure()

    shown = {hook.hook_id: hook for hook in company.double.account.hooks.all()}
    ours = [hook for hook in shown.values() if hook.name == hooks.NAME]
    assert (len(shown), first.hook_id in shown) == (MOST, False)
    assert [(hook.hook_id, hook.is_active) for hook in ours] == [(made.hook_id, True)]


async def test_what_was_lost_until_the_webhook_was_made_anew_is_read_from_the_last_event_on(
    company: Company,
) -> None:
    await company.ensure()
    before = await company.link()
    await company.conn.execute(
        "UPDATE connections SET since = now(), last_event_at = now() - interval '1 hour'"
    )
    company.double.account.hooks.delete(before.hook_id or 0)

    await company.ensure()

    link = await company.link()
    assert before.since is None
    assert link.since is not None
    assert link.since == link.last_event_at


async def test_where_pipedrive_does_not_say_whose_the_token_is_any_owner_will_do(
    company: Company,
) -> None:
    first = await company.ensure()
    company.double.account.tables["user"].purge(company.double.account.user_id)
    [hook] = company.double.account.hooks.all()
    hook.user_id = ANOTHER_USER

    assert await company.ensure() == Registered(first.hook_id, None)
    assert (await company.link()).hook_problem is None


async def test_that_the_tokens_user_is_no_admin_is_told_and_stops_nothing(
    company: Company,
) -> None:
    company.double.account.sight.is_admin = False

    made = await company.ensure()

    link = await company.link()
    assert link.hook_problem is not None
    assert "is not an admin" in link.hook_problem
    company.double.account.sight.is_admin = True
    assert await company.ensure() == Registered(made.hook_id, None)
    assert (await company.link()).hook_problem is None


async def test_what_pipedrive_says_of_the_webhook_is_kept_without_its_credentials(
    company: Company,
) -> None:
    made = await company.ensure()

    link = await company.link()

    assert link.hook_shown is not None
    assert link.hook_shown_at is not None
    assert link.hook_shown["id"] == made.hook_id
    assert link.hook_shown.keys() == set(hooks.SHOWN)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"is_active": False}, "switched the webhook off"),
        ({"user_id": ANOTHER_USER}, "not the API token user's"),
    ],
)
async def test_what_is_wrong_with_the_webhook_is_said_in_words(
    company: Company, change: dict[str, object], problem: str
) -> None:
    made = await company.ensure()
    for name, value in change.items():
        setattr(company.double.account.hooks.all()[0], name, value)

    told = await hooks.reported(company.client, made.hook_id)

    assert told.shown is not None
    assert problem in (told.problem or "")
    company.double.account.hooks.delete(made.hook_id)
    gone = await hooks.reported(company.client, made.hook_id)
    assert gone.shown is None
    assert "has deleted" in (gone.problem or "")


async def test_why_the_webhook_cannot_be_registered_again_is_told_until_it_is(
    company: Company,
) -> None:
    """As where it was deleted since nobody answered at our URL, and still nobody does."""
    first = await company.ensure()
    company.double.account.hooks.delete(first.hook_id)
    with pytest.raises(PipedriveRefused):
        await replace(company, url=hooks.door(NOBODY)).ensure()
    report = await hooks.reported(company.client, first.hook_id)
    await connection_store.keep_report(company.conn, COMPANY, first.hook_id, report)
    meanwhile = await company.problem()

    await company.ensure()

    assert meanwhile is not None
    assert "has deleted the webhook" in meanwhile
    assert meanwhile.endswith(UNREACHABLE)
    assert await company.problem() is None


async def test_one_of_all_that_want_to_know_asks_pipedrive(company: Company) -> None:
    assert not await connection_store.is_to_ask(company.conn, COMPANY, SOON_S)
    await company.ensure()
    assert not await connection_store.is_to_ask(company.conn, COMPANY, SOON_S)

    await company.conn.execute("UPDATE connections SET hook_asked_at = now() - interval '301 s'")

    asked = [await connection_store.is_to_ask(company.conn, COMPANY, SOON_S) for _ in range(3)]
    assert asked == [True, False, False]


async def test_a_webhook_with_other_credentials_than_the_present_ones_does_not_wait(
    company: Company,
) -> None:
    await company.ensure()
    ours = hooks.digest(company.tenants.get(COMPANY))

    assert await company.to_check(ours, differing_s=0) == []
    assert await company.to_check(OURS, differing_s=SOON_S) == []
    assert await company.to_check(OURS, differing_s=0) == [COMPANY]
    await company.conn.execute("UPDATE connections SET hook_checked_at = now() - interval '301 s'")
    assert await company.to_check(ours, differing_s=SOON_S) == []
    assert await company.to_check(OURS, differing_s=SOON_S) == [COMPANY]
    await company.conn.execute("UPDATE connections SET hook_checked_at = now() - interval '901 s'")
    assert await company.to_check(ours, differing_s=SOON_S) == [COMPANY]
