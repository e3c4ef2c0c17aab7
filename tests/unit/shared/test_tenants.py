"""A credential speaks for one company; a broken file changes nothing."""

import base64
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.tenants import CustomFields, Tenants


def a_tenant(**changes: object) -> dict[str, object]:
    return {
        "company_id": 7001,
        "webhook_user": "demo",
        "webhook_password": "s3cret",
        **changes,
    }


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps([a_tenant(), a_tenant(company_id=7002, webhook_password="öther")]))
    return path


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(("password", "company"), [("s3cret", 7001), ("öther", 7002)])
def test_the_same_user_with_another_password_is_another_company(
    file: Path, password: str, company: int
) -> None:
    tenant = Tenants(file).authenticate(basic("demo", password))

    assert tenant is not None
    assert tenant.company_id == company


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ???",
        "Basic ZGVtbw==",
        "Bearer " + base64.b64encode(b"demo:s3cret").decode(),
        basic("demo", "wrong"),
        basic("demo", "s3cret "),
        basic("", ""),
        "Basic é",
    ],
)
def test_anything_but_the_credentials_speaks_for_nobody(
    file: Path, authorization: str | None
) -> None:
    assert Tenants(file).authenticate(authorization) is None


def test_a_changed_file_takes_effect(file: Path) -> None:
    tenants = Tenants(file)

    _write(file, json.dumps([a_tenant(webhook_password="rotated")]))
    tenants.reload()

    assert tenants.authenticate(basic("demo", "s3cret")) is None
    assert tenants.authenticate(basic("demo", "rotated")) is not None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '[{"company_id": 1}]',
        json.dumps([a_tenant(), a_tenant()]),
        json.dumps([a_tenant(), a_tenant(company_id=2)]),
    ],
)
def test_a_broken_file_leaves_the_last_good_one_in_force(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    tenants = Tenants(file)

    _write(file, text)
    tenants.reload()

    assert tenants.authenticate(basic("demo", "s3cret")) is not None
    assert "tenants_file_refused" in caplog.messages
    assert "s3cret" not in str([vars(record) for record in caplog.records])


def test_a_missing_file_means_no_tenants_until_it_appears(tmp_path: Path) -> None:
    tenants = Tenants(tmp_path / "later.json")
    assert tenants.authenticate(basic("demo", "s3cret")) is None

    (tmp_path / "later.json").write_text(json.dumps([a_tenant()]))
    tenants.reload()

    assert tenants.authenticate(basic("demo", "s3cret")) is not None


def test_a_file_that_could_not_be_read_is_read_once_it_can(file: Path) -> None:
    with no_more_files():
        tenants = Tenants(file)
    assert tenants.authenticate(basic("demo", "s3cret")) is None

    tenants.reload()

    assert tenants.authenticate(basic("demo", "s3cret")) is not None


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process has as many open as it may: as with rights, the file itself stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_company_that_came_since_the_last_look_is_known(file: Path) -> None:
    tenants = Tenants(file)
    _write(file, json.dumps([a_tenant(company_id=7003, currency="EUR")]))

    assert tenants.get(7003).currency == "EUR"


def test_null_is_as_good_as_nothing(file: Path) -> None:
    names = ("lead_labels", "custom_fields", "currency_rates")
    optional = dict.fromkeys([*names, "api_token", "api_domain", "currency"])
    _write(file, json.dumps([a_tenant(**optional)]))
    found = Tenants(file).get(7001)

    assert found.company_id == 7001
    assert found.model_dump(include={*names}) == Tenants(Path("none")).get(1).model_dump(
        include={*names}
    )


@pytest.mark.parametrize(
    ("told", "title"),
    [
        (" Boss ", "Boss"),
        (16, "16"),
        (16.0, "16"),
        ([16, 17], "16,17"),
        ("16,17", "16,17"),
        ([], None),
        (None, None),
        (True, None),
        ({"id": 16}, None),
    ],
)
def test_a_job_title_is_the_same_however_a_custom_field_spells_it(
    told: object, title: str | None
) -> None:
    names = CustomFields(job_title="aa")

    assert names.told_title({"aa": told}) == {"custom_job_title": title}
    assert names.told_title({"bb": told}) == {}
    assert names.told_title(None) == {}
    assert CustomFields().told_title({"aa": told}) == {}


def test_what_is_wrong_with_the_file_is_said_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tenants = Tenants(file)
    file.unlink()
    for company_id in range(5):
        tenants.get(company_id)

    assert [each.message for each in caplog.records] == ["tenants_file_refused"]
