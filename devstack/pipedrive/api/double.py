"""The whole double: a company, its API on a port, and the controls for tests.

async with Double(Setup(company_id=1, api_token="t", sizes=Sizes(2, 100, 40))) as double:
double.url             # what a tenants file calls api_domain
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aiohttp import web

from devstack.pipedrive.api import generated
from devstack.pipedrive.api.account import Account
from devstack.pipedrive.api.control import Control
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.generated import Size
from devstack.pipedrive.api.hooks import Hooks
from devstack.pipedrive.api.limits import Limits
from devstack.pipedrive.api.limits import Rules as LimitRules
from devstack.pipedrive.api.server import Server
from devstack.pipedrive.company import USUAL, Company, Happening
from devstack.pipedrive.delivery import Rules
from devstack.pipedrive.world import Sizes

LARGEST_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setup:
    """`generated` adds rows that take no memory, beside or instead of the simulated ones."""

    company_id: int
    api_token: str
    sizes: Sizes = field(default_factory=Sizes)
    seed: int = 1
    epoch: datetime | None = None
    weights: dict[Happening, float] = field(default_factory=lambda: dict(USUAL))
    limits: LimitRules = field(default_factory=LimitRules)
    delivery: Rules = field(default_factory=Rules)
    generated: Size | None = None
    folder: Path | None = None
    remembers: bool = False
    host: str = "127.0.0.1"
    port: int = 0


class Double:
    """Serves while its context is open. Live through the history before anybody asks it."""

    def __init__(self, setup: Setup, company: Company | None = None) -> None:
        epoch = setup.epoch or datetime.now(UTC)
        self.setup = setup
        self.company = company or Company(setup.seed, setup.sizes, epoch, setup.weights)
        hooks = Hooks(
            setup.company_id, self.company.user_ids, seed=setup.seed, rules=setup.delivery
        )
        bases = generated.bases(setup.generated, epoch) if setup.generated else {}
        self.account = Account(
            setup.company_id,
            self.company,
            hooks,
            bases=bases,
            folder=setup.folder,
            remembers=setup.remembers,
        )
        self.server = Server(self.account, Limits(setup.limits), Faults(), setup.api_token)
        self.url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.account.hooks)
        app = web.Application(client_max_size=LARGEST_BODY)
        app.add_routes(Control(self.server).routes())
        app.add_routes(self.server.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.setup.host, self.setup.port).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
