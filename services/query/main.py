"""Builds the query service and runs it: `api` answers users, `projector` keeps the read model.

Redis is no reason for not being ready: without it pages come from Postgres.
"""

import gc
from collections.abc import Sequence
from pathlib import Path

from services.query import api, projection
from services.query.cache import Cache
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.projector import Projector
from services.query.settings import QuerySettings
from services.query.watch import Watch
from services.query.wire import Wire
from shared import db, lifecycle, service, topics
from shared.app import Health, Ping, application, server
from shared.auth import Authenticator
from shared.kafka.consumer import Consumer
from shared.kafka.publisher import Publisher
from shared.observability import configure_logs
from shared.tenants import Tenants

SCHEMA = "query"
ROLES = ("api", "projector")
MIGRATIONS = Path(__file__).parent / "migrations"
CONSUMED = (
    topics.PERSONS,
    topics.ACTIVITIES,
    topics.APP_CAMPAIGN,
    topics.ORG_STATES,
    topics.CONTACT_LINKS,
    topics.SCORES,
    topics.SYNC_STATUS,
)
PUBLISH_S = 10.0


async def main(arguments: Sequence[str]) -> None:
    settings = QuerySettings()
    roles = service.roles(arguments, ROLES)
    configure_logs(settings.log_level)
    dsn = settings.database_url.get_secret_value()
    with lifecycle.stop_on_signal() as stop:
        await service.prepare_store(dsn, SCHEMA, MIGRATIONS, stop)
        if "projector" in roles:
            await service.prepare_topics(settings, CONSUMED, stop)
        async with (
            db.pool(dsn, SCHEMA, size=settings.pool_size) as pool,
            db.pool(
                dsn, SCHEMA, size=settings.pool_size, durable=False, replan=True
            ) as writing_pool,
            Wire(settings.redis_url.get_secret_value()) as wire,
            Publisher(settings, deadline_s=PUBLISH_S) as publisher,
        ):
            store_id = await lifecycle.persist(
                lambda: projection.store_id(pool), stop, what="store"
            )
            if store_id is None:  # stopped while waiting
                return
            loops: list[lifecycle.Loop] = []
            health = Health({"postgres": lambda: db.ping(pool)})
            if "projector" in roles:
                invalidation = Invalidation(wire, Keys(store_id), writing_pool)
                loops, health = _project(settings, writing_pool, invalidation, publisher)
            if "api" in roles:
                watch = Watch(pool)
                loops.append(watch.run)
                authenticator = Authenticator(settings.jwt_secret, settings.jwt_jwks_file)
                parts = api.Parts(pool, Cache(wire, Keys(store_id)), watch)
                app = api.application(parts, health, authenticator)
            else:
                app = application([], title=api.TITLE, health=health)
            loops.append(server(app, host=settings.host, port=settings.port))
            gc.freeze()  # what is there by now stays: the collector need not walk it for each page
            await lifecycle.run(*loops, stop=stop, grace_s=settings.stop_seconds)


def _project(
    settings: QuerySettings, pool: db.Pool, invalidation: Invalidation, publisher: Publisher
) -> tuple[list[lifecycle.Loop], Health]:
    """The projector's loops, and the health of a process that runs them."""
    tenants = Tenants(settings.tenants_file)
    consumer = Consumer(
        settings,
        service=SCHEMA,
        topics=CONSUMED,
        pool=pool,
        apply=Projector(tenants, invalidation).apply,
        publisher=publisher,
    )
    pings: dict[str, Ping] = {"postgres": lambda: db.ping(pool), "consumer": consumer.ping}
    loops: list[lifecycle.Loop] = [consumer.run, consumer.watch, tenants.watch, invalidation.run]
    return loops, Health(pings, consumer.alive)
