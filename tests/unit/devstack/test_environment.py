"""What a service is told to run on the stack."""

from pathlib import Path

import pytest

from devstack import environment
from devstack.stack import Urls
from services.ingest.settings import IngestSettings

URLS = Urls(kafka="127.0.0.1:1", database="postgresql://127.0.0.1:2/my500", redis="redis://here")
THEIRS = "https://hooks.example.com"
ELSEWHERE = "http://127.0.0.1:40001"


def test_whoever_runs_ingest_on_the_stack_can_connect_a_company_to_it(tmp_path: Path) -> None:
    port = IngestSettings.model_fields["port"].default

    values = environment.write(tmp_path, URLS)

    assert values["PUBLIC_URL"] == f"http://127.0.0.1:{port}"
    assert environment.read(tmp_path) == values


def test_an_address_that_somebody_wrote_into_the_file_stays(tmp_path: Path) -> None:
    environment.write(tmp_path, URLS)
    file = environment.env_file(tmp_path)
    file.write_text(file.read_text().replace(environment.PUBLIC_URL, THEIRS))

    assert environment.write(tmp_path, URLS)["PUBLIC_URL"] == THEIRS


def test_containers_are_not_told_where_they_are_reached(tmp_path: Path) -> None:
    assert environment.write_secrets(tmp_path).keys() == {"JWT_SECRET", "TENANTS_FILE"}


@pytest.mark.parametrize(
    ("in_environment", "in_file", "expected"),
    [
        (None, None, ELSEWHERE),
        (None, environment.PUBLIC_URL, ELSEWHERE),
        ("", environment.PUBLIC_URL, ELSEWHERE),
        (None, THEIRS, THEIRS),
        (THEIRS, environment.PUBLIC_URL, THEIRS),
    ],
)
def test_a_run_is_reached_where_it_listens_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
    in_environment: str | None,
    in_file: str | None,
    expected: str,
) -> None:
    monkeypatch.delenv("PUBLIC_URL", raising=False)
    if in_environment is not None:
        monkeypatch.setenv("PUBLIC_URL", in_environment)
    values = {} if in_file is None else {"PUBLIC_URL": in_file}

    assert environment.public_url(values, ELSEWHERE) == expected
