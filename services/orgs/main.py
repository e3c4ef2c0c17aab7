"""Puts the orgs service together."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.orgs import api, applying
from services.orgs.judging.asking import Asker
from services.orgs.relinking import relinking
from services.orgs.searching import api as searching_api
from services.orgs.searching import store as searching_store
from services.orgs.searching.pipedrive import Fallback
from services.orgs.searching.upkeep import upkeep
from services.orgs.settings import OrgsSettings
from services.orgs.telling import telling
from shared import db, lifecycle, service, topics
from shared.app import application, done_without, preparing
from shared.auth import Authenticator
from shared.kafka.consumer import PACE, Consumer
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Publisher
from shared.kafka.refusals import Refusals
from shared.observability import configure_logs
from shared.outbox import Relay
from shared.settings import told

SERVICE = "orgs"
TITLE = "My-500 organizations"
ROLES = ("api", "worker")
MIGRATIONS = Path(__file__).parent / "migrations"
PUBLISH_DEADLINE_S = 5.0
LEISURELY = PACE._replace(times=3.0, least_s=0.02, most_s=0.25)
"""Fewer and larger batches than other services: what pages show of organizations may come a moment
later, and the CPU time that this frees is what makes names and scores quick."""

CONSUMED = (
    topics.ORGANIZATIONS,
    topics.APP_ORGANIZATIONS,
    topics.APP_ORGANIZATION_VERDICTS,
    topics.PERSONS,
    topics.ACTIVITIES,
)
PUBLISHED = (topics.ORG_STATES, topics.CONTACT_LINKS)
TOPICS = (*CONSUMED, *PUBLISHED)


async def main(arguments: Sequence[str]) -> None:
    roles = service.roles(arguments, ROLES)
    settings = told(OrgsSettings)
    configure_logs(settings.log_level)
    works, answers = "worker" in roles, "api" in roles
    refusals = Refusals(settings)
    authenticator = (
        Authenticator(settings.jwt_secret, settings.jwt_jwks_file, refusals.why)
        if answers
        else None
    )
    dsn = settings.database_url.get_secret_value()
    with lifecycle.stop_on_signal() as stop:
        async with (
            db.pools(dsn, SERVICE, size=settings.pool_size) as (pool, working_pool),
            searching_store.pools(dsn, SERVICE, pool, size=settings.pool_size) as searched,
            Publisher(settings, deadline_s=PUBLISH_DEADLINE_S) as publisher,
            FencedPublisher(settings, SERVICE, deadline_s=PUBLISH_DEADLINE_S) as relayed,
            Fallback(settings) as fallback,
            preparing(host=settings.host, port=settings.port) as serving,
        ):
            await service.prepare_store(dsn, SERVICE, MIGRATIONS, stop)
            consumer = Consumer(
                settings,
                service=SERVICE,
                topics=CONSUMED,
                pool=working_pool,
                apply=applying.apply,
                publisher=publisher,
                pace=LEISURELY,
            )
            relay = Relay(dsn, SERVICE, relayed)
            ping = partial(publisher.ping, TOPICS)
            kafka = done_without(ping, "changes are delayed") if answers else ping
            pings = {"postgres": lambda: db.ping(pool), "kafka": kafka}
            served = (
                *searching_api.endpoints(searched, fallback),
                *api.endpoints(pool, publisher),
            )
            app = application(
                served if answers else (),
                title=TITLE,
                pings=pings
                | ({"consumer": consumer.ping} if works else {})
                | ({"refusals": refusals.ping} if answers else {}),
                authenticator=authenticator,
            )
            worker = (
                consumer.watch,
                Asker(working_pool).run,
                relinking(working_pool),
                telling(working_pool),
                upkeep(working_pool),
            )
            fed = (consumer.run, relay.run)
            loops = (*(worker if works else ()), *((refusals.run,) if answers else ()))
            await lifecycle.run(
                serving(app),
                service.making(settings, TOPICS, fed if works else ()),
                *loops,
                fallback.tenants.watch,
                stop=stop,
                grace_s=settings.stop_seconds,
                stuck_s=settings.stuck_seconds,
            )
