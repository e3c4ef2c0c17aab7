"""The compose file, .env.example and the settings of the services say the same."""

import os
import re
import resource
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack import documents, postgres, valkey
from devstack.documents import SERVICES
from devstack.kafka import broker

ROOT = Path(__file__).parents[2]
# Published by the gateway, known to Compose alone.
HOST_PORTS = {f"{name.upper()}_PORT" for name in SERVICES}
# A container listens on all its addresses.
FIXED_IN_CONTAINERS = {"HOST"}


def names_of(service: str) -> set[str]:
    """What the environment may call the settings of a service."""
    fields = documents.settings_classes()[service].model_fields
    return {name for field, told in fields.items() for name in documents.variables(field, told)}


def compose() -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return whole


def example() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_given_each_of_its_settings_and_no_other(service: str) -> None:
    given = set(compose()["services"][service]["environment"])

    assert given == names_of(service) - FIXED_IN_CONTAINERS


def test_the_example_names_every_setting_and_nothing_else() -> None:
    assert example() == set().union(*map(names_of, SERVICES)) | HOST_PORTS


def test_what_compose_reads_from_its_environment_is_in_the_example() -> None:
    read = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))

    assert read - example() == set()


def test_kafka_has_the_settings_of_the_local_broker() -> None:
    given = compose()["services"]["kafka"]["environment"]
    ours = {f"KAFKA_{key.upper().replace('.', '_')}": v for key, v in broker.SETTINGS.items()}

    assert {key: given.get(key) for key in ours} == ours


def test_kafka_is_healthy_while_its_port_is_open_and_no_java_is_started_to_find_out() -> None:
    _, *command = compose()["services"]["kafka"]["healthcheck"]["test"]
    with socket.create_server(("127.0.0.1", 0)) as broker_like:
        port = str(broker_like.getsockname()[1])
        check = [word.replace("9092", port) for word in command]
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        while_open = subprocess.run(check, capture_output=True, check=False)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    when_closed = subprocess.run(check, capture_output=True, check=False)

    assert while_open.returncode == 0
    assert when_closed.returncode != 0
    assert ended.ru_utime - begun.ru_utime < 0.2


def test_postgres_has_the_options_of_the_local_server() -> None:
    service = compose()["services"]["postgres"]

    given = [word for word in service["command"] if "=" in word]

    assert given == [f"{key}={value}" for key, value in postgres.OPTIONS.items()]
    assert service["environment"]["POSTGRES_INITDB_ARGS"].split() == list(postgres.LOCALE)


def test_valkey_has_the_options_of_the_local_server() -> None:
    _, *words = compose()["services"]["valkey"]["command"]

    given = dict(zip(words[::2], words[1::2], strict=True))

    assert given == {f"--{key}": value for key, value in valkey.OPTIONS.items()}


def test_what_containers_say_does_not_fill_the_disk() -> None:
    kept = {name: service.get("logging") for name, service in compose()["services"].items()}

    assert kept == dict.fromkeys(kept, compose()["x-logging"])


def run_by_us() -> dict[str, Any]:
    """The services whose image is built from this checkout."""
    return {name: one for name, one in compose()["services"].items() if one["image"] == "my500"}


def awaited(service: str) -> set[str]:
    """What Compose starts before it, directly or not."""
    direct = set(compose()["services"][service].get("depends_on", ()))
    return direct.union(*map(awaited, direct))


def test_one_service_builds_the_image_and_all_others_that_run_it_wait_for_that_one() -> None:
    """Several builds of one name at once collide: "already exists", at the first `up`."""
    (builder,) = (name for name, one in compose()["services"].items() if "build" in one)

    assert [name for name in run_by_us() if builder not in {name, *awaited(name)}] == []
    assert {one["pull_policy"] for one in run_by_us().values()} == {"never"}


def test_a_program_gets_signals_before_it_handles_any() -> None:
    """Process 1 ignores those that it has no handler for."""
    assert {name: one.get("init") for name, one in run_by_us().items()} == dict.fromkeys(
        run_by_us(), True
    )


def test_all_that_run_until_stopped_come_back_with_the_engine() -> None:
    once = {"secrets", "connect"}
    policies = {name: one.get("restart") for name, one in compose()["services"].items()}

    assert {name for name, policy in policies.items() if policy != "unless-stopped"} == once


def test_no_service_is_in_the_way_of_a_second_instance_of_itself() -> None:
    for service in SERVICES:
        definition = compose()["services"][service]
        assert "ports" not in definition
        assert "container_name" not in definition


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_passes_on_to_the_port_that_a_service_listens_on(service: str) -> None:
    port = documents.settings_classes()[service].model_fields["port"].default
    gateway = (ROOT / "deploy" / "nginx.conf").read_text()

    assert compose()["services"][service]["environment"]["PORT"] == str(port)
    assert f"http://127.0.0.1:{port}/readyz" in str(compose()["services"][service]["healthcheck"])
    assert re.search(rf"listen {port};\s+set \$upstream {service};", gateway)
    assert (
        f"${{{service.upper()}_PORT:-{port}}}:{port}" in compose()["services"]["gateway"]["ports"]
    )


def entrypoint(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """What a module that the image's entrypoint starts finds in its environment."""
    (folder / "shown.py").write_text(
        "import os; print(*map('='.join, os.environ.items()), sep='\\n')"
    )
    shown = subprocess.run(
        [ROOT / "deploy" / "entrypoint", "shown"],
        cwd=folder,
        env={"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    seen = entrypoint(tmp_path, {"LOG_LEVEL": "", "PORT": "1", "JWT_SECRET": "given"})

    assert "LOG_LEVEL" not in seen
    assert (seen["PORT"], seen["JWT_SECRET"]) == ("1", "given")


def test_a_secret_that_nobody_set_is_the_one_that_was_made(tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "env").write_text("JWT_SECRET='a made one'\nTENANTS_FILE=elsewhere\n")

    assert entrypoint(tmp_path, {"JWT_SECRET": ""})["JWT_SECRET"] == "a made one"
    assert entrypoint(tmp_path, {"JWT_SECRET": "given"})["JWT_SECRET"] == "given"
    assert "JWT_SECRET" not in entrypoint(tmp_path, {"JWT_JWKS_FILE": "keys.json"})
    assert "TENANTS_FILE" not in entrypoint(tmp_path, {})


def test_a_token_is_signed_with_the_secret_that_the_services_are_given() -> None:
    """By `docker compose run --rm secrets devstack token`."""
    given = {
        name: compose()["services"][name]["environment"]["JWT_SECRET"]
        for name in ("secrets", *SERVICES)
    }

    assert len(set(given.values())) == 1
