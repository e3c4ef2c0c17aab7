"""Puts the scoring service together."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from aiohttp import web

from services.scoring.api import Api
from services.scoring.consumer import Scorer
from services.scoring.history import Keeper
from services.scoring.rescoring import Rescorer
from services.scoring.settings import ScoringSettings
from services.scoring.ticker import Ticker
from services.scoring.weights_api import WeightsApi
from shared import db, lifecycle, service, topics
from shared.app import Ping, application, done_without, preparing
from shared.auth import Authenticator, Deny
from shared.kafka.consumer import Consumer
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Publisher
from shared.kafka.refusals import Refusals
from shared.observability import configure_logs
from shared.openapi import Endpoint
from shared.outbox import Relay
from shared.settings import told
from shared.tenants import Tenants

SERVICE = "scoring"
TITLE = "My-500 scoring"
ROLES = ("api", "worker", "ticker")
MIGRATIONS = Path(__file__).parent / "migrations"
CONSUMED = (
    topics.PERSONS,
    topics.ACTIVITIES,
    topics.DEALS,
    topics.LEADS,
    topics.APP_SCORING_WEIGHTS,
)
TOPICS = (*CONSUMED, topics.SCORES)
PUBLISH_S = 30.0


async def main(arguments: Sequence[str]) -> None:
    roles = service.roles(arguments, ROLES)
    settings = told(ScoringSettings)
    configure_logs(settings.log_level)
    dsn = settings.database_url.get_secret_value()
    tenants = Tenants(settings.tenants_file)
    with lifecycle.stop_on_signal() as stop:
        async with (
            db.pools(dsn, SERVICE, size=settings.pool_size) as (pool, working_pool),
            Publisher(settings, deadline_s=PUBLISH_S) as publisher,
            FencedPublisher(settings, SERVICE, deadline_s=PUBLISH_S) as relayed,
            preparing(host=settings.host, port=settings.port) as serving,
        ):
            loops: list[lifecycle.Loop] = [tenants.watch]
            pings: dict[str, Ping] = {"postgres": partial(db.ping, pool)}
            fed: list[lifecycle.Loop] = []
            if roles != {"api"}:
                loops.append(Keeper(pool, timedelta(days=settings.score_history_days)).run)
                fed.append(Relay(dsn, SERVICE, relayed).run)
                pings["kafka"] = partial(publisher.ping, TOPICS)
            if "worker" in roles:
                consumer = _consumer(settings, working_pool, publisher, tenants)
                loops.append(consumer.watch)
                fed.append(consumer.run)
                pings["consumer"] = consumer.ping
            loops += _ticking(working_pool, tenants) if "ticker" in roles else ()
            refusals = Refusals(settings)
            endpoints: Sequence[Endpoint] = ()
            if "api" in roles:
                pings["kafka"] = done_without(
                    partial(publisher.ping, TOPICS), "changes are delayed"
                )
                pings["refusals"] = refusals.ping
                loops.append(refusals.run)
                endpoints = [
                    *WeightsApi(pool, tenants, publisher).endpoints(),
                    *Api(pool, tenants).endpoints(),
                ]
            loops.append(serving(_application(settings, endpoints, pings, refusals.why)))
            await service.prepare_store(dsn, SERVICE, MIGRATIONS, stop)
            await lifecycle.run(
                service.making(settings, TOPICS, fed),
                *loops,
                stop=stop,
                grace_s=settings.stop_seconds,
                stuck_s=settings.stuck_seconds,
            )


def _consumer(
    settings: ScoringSettings, pool: db.Pool, publisher: Publisher, tenants: Tenants
) -> Consumer:
    return Consumer(
        settings,
        service=SERVICE,
        topics=CONSUMED,
        pool=pool,
        apply=Scorer(tenants).apply,
        publisher=publisher,
    )


def _ticking(pool: db.Pool, tenants: Tenants) -> Sequence[lifecycle.Loop]:
    return Ticker(pool, tenants).run, Rescorer(pool, tenants).run


def _application(
    settings: ScoringSettings, endpoints: Sequence[Endpoint], pings: Mapping[str, Ping], deny: Deny
) -> web.Application:
    return application(
        endpoints,
        title=TITLE,
        pings=pings,
        authenticator=Authenticator(settings.jwt_secret, settings.jwt_jwks_file, deny)
        if endpoints
        else None,
    )
