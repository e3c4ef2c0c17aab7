"""Owns `.local/env` and `.local/tenants.json`: the environment of services that run on the stack.

Rule 1: secrets are generated once and kept; addresses are written again at each start.
Rule 2: only the operator knows where Pipedrive reaches ingest: a value set by hand stays.
"""

import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from devstack.errors import StackError
from devstack.pipedrive import shapes
from devstack.stack import Urls

DEMO_COMPANY = 7001
DEMO_USER = "demo"
DOUBLE_PORT = 8090
PUBLIC_URL = "http://127.0.0.1:8081"
"""An ingest at its default port, for a Pipedrive double on this machine."""


@dataclass(frozen=True, slots=True)
class Tenant:
    company_id: int
    webhook_user: str
    webhook_password: str
    api_token: str = ""


def env_file(local: Path) -> Path:
    return local / "env"


def tenants_file(local: Path) -> Path:
    return local / "tenants.json"


def write(local: Path, urls: Urls) -> dict[str, str]:
    """Keys added by hand stay in the file."""
    return _write(
        local,
        {
            "KAFKA_BOOTSTRAP_SERVERS": urls.kafka,
            "DATABASE_URL": urls.database,
            "REDIS_URL": urls.redis,
        },
        {"PUBLIC_URL": PUBLIC_URL},
    )


def write_secrets(local: Path) -> dict[str, str]:
    """For containers, which get the addresses by other means."""
    return _write(local, {}, {})


def public_url(values: Mapping[str, str], ingest: str) -> str:
    """Where Pipedrive reaches the ingest at this URL."""
    said = os.environ.get("PUBLIC_URL") or values.get("PUBLIC_URL")
    return said if said and said != PUBLIC_URL else ingest


def _write(local: Path, addresses: dict[str, str], usual: dict[str, str]) -> dict[str, str]:
    values = {"JWT_SECRET": secrets.token_urlsafe(48)} | usual | read(local) | addresses
    values["TENANTS_FILE"] = str(tenants_file(local).resolve())
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    _replace(env_file(local), text.encode())
    if not tenants_file(local).exists():
        _replace(tenants_file(local), orjson.dumps([_demo()], option=orjson.OPT_INDENT_2))
    return values


def read(local: Path) -> dict[str, str]:
    try:
        text = env_file(local).read_text()
    except FileNotFoundError:
        return {}
    words = shlex.split(text, comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def secret(local: Path) -> str:
    found = os.environ.get("JWT_SECRET") or read(local).get("JWT_SECRET")
    if not found:
        raise StackError(f"no JWT_SECRET in the environment or in {env_file(local)}: `make stack`")
    return found


def demo_tenant(local: Path) -> Tenant:
    """The demo company, else the first one of the file."""
    try:
        rows = orjson.loads(tenants_file(local).read_bytes())
        tenants = [
            Tenant(
                int(row["company_id"]),
                row["webhook_user"],
                row["webhook_password"],
                row.get("api_token") or "",
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as unreadable:
        raise StackError(f"{tenants_file(local)} cannot be read: {unreadable!r}") from unreadable
    if not tenants:
        raise StackError(f"{tenants_file(local)} names no company")
    return next((one for one in tenants if one.company_id == DEMO_COMPANY), tenants[0])


def point_demo(local: Path, url: str) -> None:
    """Point the demo company at the double at this address; other companies keep theirs."""
    rows = orjson.loads(tenants_file(local).read_bytes())
    for row in rows:
        if row["company_id"] == DEMO_COMPANY and row.get("api_domain") != url:
            row["api_domain"] = url
            _replace(tenants_file(local), orjson.dumps(rows, option=orjson.OPT_INDENT_2))


def _demo() -> dict[str, Any]:
    return {
        **shapes.tenant(DEMO_COMPANY),
        "webhook_user": DEMO_USER,
        "webhook_password": secrets.token_urlsafe(18),
        "api_token": secrets.token_hex(20),
        "api_domain": f"http://127.0.0.1:{DOUBLE_PORT}",
    }


def _replace(path: Path, content: bytes) -> None:
    """Atomically, and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)
