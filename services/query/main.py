"""Puts the query service together: `api` answers users, `projector` maintains the read model.

Readiness does not depend on Redis: without it pages come from Postgres.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.query import api, projection
from services.query.cache import Cache
from services.query.front import Others, Service
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.limits import Gate, Limits, Rate
from services.query.live.arrivals import Arrivals
from services.query.live.assembly import Live
from services.query.live.hub import Hub
from services.query.live.pruning import Pruner
from services.query.parts import Parts
from services.query.projector import Projector
from services.query.sampler import Sampler
from services.query.searching.indexer import Indexer
from services.query.sessions.api import SessionsApi
from services.query.sessions.people import People
from services.query.sessions.revoking import Revoker
from services.query.sessions.seen import Sessions
from services.query.settings import QuerySettings
from services.query.slow import SlowStatements
from services.query.watch import Watch
from services.query.wire import Wire
from shared import db, lifecycle, service, topics
from shared.app import Ping, application, done_without, preparing
from shared.auth import Authenticator
from shared.kafka.consumer import PACE, Consumer
from shared.kafka.publisher import Publisher
from shared.observability import configure_logs
from shared.settings import told
from shared.tenants import Tenants

SCHEMA = "query"
PROJECTOR = "projector"
ROLES = ("api", PROJECTOR)
MIGRATIONS = Path(__file__).parent / "migrations"
CONSUMED = (
    topics.PERSONS,
    topics.ACTIVITIES,
    topics.APP_CAMPAIGN,
    topics.ORG_STATES,
    topics.CONTACT_LINKS,
    topics.SCORES,
    topics.SYNC_STATUS,
    topics.USERS,
    topics.APP_SESSIONS,
)
PUBLISH_S = 10.0
BRISK = PACE._replace(times=0.3)
"""A page waits for all that comes before the projector, and then for it: it pauses the least."""
KEPT_FREE = 2
"""Connections of the pool that are kept for the watch and for everything that is not a read."""


async def main(arguments: Sequence[str]) -> None:
    settings = told(QuerySettings)
    roles = service.roles(arguments, ROLES, worker=PROJECTOR)
    configure_logs(settings.log_level)
    authenticator = (
        Authenticator(settings.jwt_secret, settings.jwt_jwks_file) if "api" in roles else None
    )
    dsn = settings.database_url.get_secret_value()
    slow = SlowStatements(settings.slow_query_ms / 1000)
    with lifecycle.stop_on_signal() as stop:
        async with (
            db.pool(dsn, SCHEMA, size=settings.pool_size, heard=slow.heard) as pool,
            # On disk before anybody sees it: no page goes back in time when Postgres crashes.
            db.pool(dsn, SCHEMA, size=settings.pool_size) as writing_pool,
            Wire(settings.redis_url.get_secret_value()) as wire,
            Publisher(settings, deadline_s=PUBLISH_S) as publisher,
            preparing(host=settings.host, port=settings.port) as serving,
        ):
            await service.prepare_store(dsn, SCHEMA, MIGRATIONS, stop)
            store_id = await lifecycle.persist(
                lambda: projection.store_id(pool), stop, what="store"
            )
            if store_id is None:  # stopped while waiting
                return
            ping = partial(publisher.ping, CONSUMED)
            fed, loops, pings = list[lifecycle.Loop](), list[lifecycle.Loop](), _pings(pool, wire)
            if PROJECTOR in roles:
                loops, consumer = _project(
                    settings,
                    writing_pool,
                    Invalidation(wire, Keys(store_id), writing_pool),
                    publisher,
                )
                fed.append(consumer.run)
                pings |= {"kafka": ping, "consumer": consumer.ping}
            if authenticator is not None:
                pings["kafka"] = done_without(ping, "changes are delayed")
                parts = _parts(settings, pool, Cache(wire, Keys(store_id)))
                loops += [*_watching(settings, parts), slow.teller(pool)]
                live = _live(settings, People(pool, wire, Keys(store_id)), parts, publisher)
                await lifecycle.persist(live.sessions.load, stop, what="sessions")
                loops += live.loops(dsn, SCHEMA)
                authenticator.deny = live.sessions.why
                app = api.application(
                    parts,
                    pings,
                    authenticator,
                    live,
                    others=Others(
                        Service(settings.ingest_url, settings.ingest_port),
                        Service(settings.scoring_url, settings.scoring_port),
                    ),
                )
            else:
                app = application([], title=api.TITLE, pings=pings)
            lifecycle.spare_the_collector()
            await lifecycle.run(
                *loops,
                service.making(settings, CONSUMED, fed),
                serving(app),
                stop=stop,
                grace_s=settings.stop_seconds,
                stuck_s=settings.stuck_seconds,
            )


def _pings(pool: db.Pool, wire: Wire) -> dict[str, Ping]:
    redis = done_without(wire.ping, "pages are read from Postgres")
    return {"postgres": lambda: db.ping(pool), "redis": redis}


def _parts(settings: QuerySettings, pool: db.Pool, cache: Cache) -> Parts:
    rate = Rate(settings.rate_limit_per_second, settings.rate_limit_burst)
    gate = Gate(max(1, settings.pool_size - KEPT_FREE))
    return Parts(pool, cache, Watch(pool), Limits(rate, gate))


def _live(settings: QuerySettings, people: People, parts: Parts, publisher: Publisher) -> Live:
    pool = parts.pool
    hub = Hub(pool)
    sessions = Sessions(pool, lambda: hub.end_denied(sessions.why))
    api = SessionsApi(parts, sessions, people, Revoker(pool, publisher))
    read_here = {topic.name for topic in CONSUMED}
    arrivals = Arrivals(pool, read_here, settings.kafka_topic_prefix)
    return Live(parts.cache, hub, arrivals, sessions, people, api)


def _watching(settings: QuerySettings, parts: Parts) -> list[lifecycle.Loop]:
    """The API's maintenance loops."""
    per_second = settings.stale_samples_per_second
    loops: list[lifecycle.Loop] = [parts.watch.run]
    if per_second:
        gate = parts.limits.gate
        loops.append(Sampler(parts.samples, parts.cache, parts.pool, gate, per_second).run)
    return loops


def _project(
    settings: QuerySettings, pool: db.Pool, invalidation: Invalidation, publisher: Publisher
) -> tuple[list[lifecycle.Loop], Consumer]:
    """The projector's loops, and its consumer, which waits for the topics."""
    tenants = Tenants(settings.tenants_file)
    consumer = Consumer(
        settings,
        service=SCHEMA,
        topics=CONSUMED,
        pool=pool,
        apply=Projector(tenants, invalidation).apply,
        publisher=publisher,
        pace=BRISK,
    )
    loops: list[lifecycle.Loop] = [
        consumer.watch,
        tenants.watch,
        invalidation.run,
        Pruner(pool).run,
    ]
    loops.append(Indexer(pool).run)
    return loops, consumer
