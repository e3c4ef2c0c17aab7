"""No secret stands in any log, whatever goes wrong, nor in anything that a service says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.query.settings import QuerySettings
from tests.security.test_tokens import FORGED
from tests.security.world import OURS, SERVICES, World, assert_silent, bearer, secrets_of
from tests.support.cluster import SECRET, Cluster
from tests.support.pipe import authorization, password
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HIDDEN = "hidden-password-1234567890"
AWAY = {
    "DATABASE_URL": f"postgresql://someone:{HIDDEN}@127.0.0.1:9/nowhere",
    "REDIS_URL": f"redis://:{HIDDEN}@127.0.0.1:9/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "LOG_LEVEL": "DEBUG",
}


async def test_what_goes_wrong_tells_no_secret(running: World) -> None:
    tokens = [FORGED["expired"], FORGED["alg 'none', unsigned"], bearer(OURS)["Authorization"]]
    wrong = "a-wrong-password-that-was-typed"
    for service in SERVICES:
        for header in (*(f"Bearer {t}" for t in tokens), authorization(OURS, wrong)):
            for path in ("/api/my-500", "/api/sync", "/api/organizations", "/api/nothing"):
                headers = {"Authorization": header}
                async with running.http.get(running.url(service, path), headers=headers) as answer:
                    assert_silent(await answer.text(), running)
    for header in (authorization(OURS, wrong), authorization(OURS)):
        for content in (b"{", b"\xff" * 10, json.dumps({"password": HIDDEN}).encode()):
            url = running.url("ingest", "/webhooks/pipedrive")
            headers = {"Authorization": header}
            async with running.http.post(url, data=content, headers=headers) as answer:
                assert_silent(await answer.text(), running)

    log = running.logs()
    assert_silent(log, running)
    for secret in (wrong, HIDDEN, *tokens, authorization(OURS).split()[1]):
        assert secret not in log


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_everybody_may_read_tells_no_secret(running: World, path: str) -> None:
    for service in SERVICES:
        async with running.http.get(running.url(service, path)) as answer:
            text = await answer.text()
            assert_silent(text, running)
            assert str(OURS) not in text


@pytest.fixture
async def cut_off(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Services that reach no server."""
    environment = {**AWAY, "SPOOL_DIR": str(tmp_path / "spool")}
    async with Cluster(tmp_path, environment) as cluster:
        tenant = {"company_id": OURS, "webhook_user": "u", "webhook_password": HIDDEN}
        cluster.write_tenants([{**tenant, "api_token": HIDDEN}])
        yield cluster


async def test_outages_tell_no_secret(cut_off: Cluster) -> None:
    instances = [cut_off.start(service) for service in SERVICES]

    async def have_told_of_it() -> bool:
        return all("outage_began" in each.log.read_text() for each in instances)

    await until(have_told_of_it, 60)
    for each in instances:
        log = each.log.read_text()
        assert HIDDEN not in log, log
        assert SECRET not in log


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("scoring", "DATABASE_URL", f"postgresql://u:{HIDDEN}@[half/nowhere"),
        ("scoring", "DATABASE_URL", f"postgresql://u:{HIDDEN}/5@host:5432/db"),
        ("scoring", "DATABASE_URL", f"mysql://u:{HIDDEN}@host/db"),
        ("query", "REDIS_URL", f"http://u:{HIDDEN}@host"),
        ("query", "REDIS_URL", f"redis://u:{HIDDEN}/5@host:port"),
        ("scoring", "PORT", "many"),
        ("ingest", "TENANTS_FILE", "tenants.json"),
    ],
)
async def test_a_wrong_setting_tells_no_secret(
    cut_off: Cluster, service: str, name: str, value: str
) -> None:
    tenant = {"webhook_user": "u", "webhook_password": HIDDEN, "api_token": {"secret": HIDDEN}}
    cut_off.write_tenants([{**tenant, "company_id": "x"}])
    instance = cut_off.start(service, **{name: value})

    async def has_shown_its_trouble() -> bool:
        ended = instance.process.poll() is not None
        return ended or "outage_began" in instance.log.read_text()

    await until(has_shown_its_trouble)
    log = instance.log.read_text()
    assert HIDDEN not in log
    assert SECRET not in log


def test_the_secrets_are_those_that_the_services_hold(running: World) -> None:
    assert password(OURS) in secrets_of(running)
    assert len({*secrets_of(running)}) >= 5


def test_a_dump_of_the_settings_hides_them() -> None:
    settings = QuerySettings(
        DATABASE_URL=AWAY["DATABASE_URL"], redis_url=AWAY["REDIS_URL"], jwt_secret=HIDDEN
    )

    assert HIDDEN not in repr(settings) + str(settings.model_dump())
