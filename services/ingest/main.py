"""Ingest: the one door in.

`python -m services.ingest [api] [sync]`: without a role both run in this process.
`python -m services.ingest connect --company C`: see `services.ingest.sync.command`.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence

from services.ingest import readiness, storage
from services.ingest.api import Door
from services.ingest.calling import calling
from services.ingest.commands import role as commands_role
from services.ingest.intake import Intake
from services.ingest.preparing import Prepared
from services.ingest.settings import IngestSettings
from services.ingest.sync import role as sync_role
from shared import lifecycle, service
from shared.app import application, server
from shared.auth import Authenticator, Deny
from shared.errors import Misconfigured, Unavailable
from shared.kafka.publisher import Publisher
from shared.kafka.refusals import Refusals
from shared.observability import configure_logs
from shared.settings import told
from shared.tenants import Tenants

log = logging.getLogger(__name__)

ROLES = ("api", sync_role.ROLE)
PRODUCER_S = 5.0
"""Until a producer is given up. No webhook waits that long: the spool takes it first."""


async def main(arguments: Sequence[str]) -> None:
    roles = service.roles(arguments, ROLES, worker=sync_role.ROLE)
    settings = told(IngestSettings)
    configure_logs(settings.log_level)
    tenants = Tenants(settings.tenants_file)
    prepared = Prepared(settings)

    async def prepare(stop: asyncio.Event) -> None:
        # Beside the server and not before it: a 503 tells a client more than a closed port.
        await prepared.make(stop)
        await lifecycle.idle(stop)

    async def tenants_known() -> None:
        if not len(tenants):
            raise Unavailable("no tenant is configured: see the tenants file")

    with lifecycle.stop_on_signal() as stop:
        async with (
            Publisher(settings, deadline_s=PRODUCER_S) as publisher,
            storage.stored(settings, publisher, prepared.topics.is_set) as (outlet, spooling),
            calling(settings, tenants) as (budget, clients),
            sync_role.assembled(settings, tenants, budget, clients, prepared) as sync,
            commands_role.assembled(
                settings, tenants, clients, publisher, outlet, prepared
            ) as commands,
        ):
            door = Door(tenants, Intake(outlet), settings.max_body_bytes)
            refusals = Refusals(settings, is_beside=True)
            authenticator = _authenticator(roles, settings, refusals.why)
            for_users = [*sync.endpoints(), *commands.endpoints()] if authenticator else []
            app = application(
                [*(door.endpoints() if "api" in roles else ()), *for_users],
                title="My-500 ingest",
                pings=(
                    {
                        "kafka": readiness.kafka(publisher, outlet),
                        "spool": readiness.spool(outlet),
                        "tenants": tenants_known,
                    }
                    # The door does not need Postgres; a process without it does.
                    | ({} if "api" in roles else sync.pings())
                    | ({"refusals": refusals.ping} if for_users else {})
                ),
                authenticator=authenticator,
                max_body_bytes=settings.max_body_bytes,
            )
            lifecycle.spare_the_collector(lifecycle.REQUESTS)
            await lifecycle.run(
                prepare,
                *spooling,
                tenants.watch,
                *((sync.run,) if sync_role.ROLE in roles else ()),
                commands.run,
                *((refusals.run,) if for_users else ()),
                server(app, host=settings.host, port=settings.port),
                stop=stop,
                grace_s=settings.stop_seconds,
                stuck_s=settings.stuck_seconds,
            )


def _authenticator(
    roles: Collection[str], settings: IngestSettings, deny: Deny
) -> Authenticator | None:
    """Null if no key for tokens is configured: webhooks are accepted all the same."""
    if "api" not in roles:
        return None
    try:
        return Authenticator(settings.jwt_secret, settings.jwt_jwks_file, deny)
    except Misconfigured as error:
        log.warning("users_not_served", extra={"reason": str(error)})
        return None
