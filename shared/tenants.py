"""The companies we serve, from the tenants file, read again whenever it changes.

Rule 1: a credential is valid for one company only; it is compared in constant time.
Rule 2: an unreadable or invalid file changes nothing: the last good one stays in force.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from shared import lifecycle

log = logging.getLogger(__name__)

RELOAD_S = 1.0


_OPTIONAL = BeforeValidator(lambda given: {} if given is None else given)
"""Null counts as missing."""


class CustomFields(BaseModel):
    """Hashes of custom fields, for facts that Pipedrive has no field of its own for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_title: str | None = None
    lead_status: str | None = None
    response_rate: str | None = None

    def told_title(self, custom: Mapping[str, Any] | None) -> dict[str, str | None]:
        """The job title in a body's custom fields, under our name for it; empty if they do not
        have the field. An option is given by its id, several as comma-separated text, like in
        webhooks of version 1.
        """
        if self.job_title is None or custom is None or self.job_title not in custom:
            return {}
        value = custom[self.job_title]
        each = value if isinstance(value, list | tuple) else [value]
        return {"custom_job_title": ",".join(filter(None, map(_plain, each))) or None}


def _plain(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


class Tenant(BaseModel):
    """One Pipedrive company. `currency_rates`: what one unit of each is worth in `currency`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    company_id: int = Field(ge=0)
    webhook_user: str
    webhook_password: SecretStr
    api_token: SecretStr | None = None
    api_domain: str | None = None
    lead_labels: Annotated[Mapping[str, Literal["qualified", "contacted"]], _OPTIONAL] = {}
    custom_fields: Annotated[CustomFields, _OPTIONAL] = CustomFields()
    currency: str | None = None
    currency_rates: Annotated[Mapping[str, float], _OPTIONAL] = {}


UNKNOWN = Tenant(company_id=0, webhook_user="", webhook_password=SecretStr(""))
"""Settings of a company that is not (or no longer) in the file: none."""

_FILE = TypeAdapter(list[Tenant])


class Tenants:
    """The file's content. Loaded on creation; `watch` keeps it up to date."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int] | None = None
        self._refused = ""
        self._by_company: Mapping[int, Tenant] = {}
        self._by_digest: Mapping[bytes, Tenant] = {}
        self._by_header: Mapping[str, Tenant] = {}
        self.reload()

    def __len__(self) -> int:
        return len(self._by_company)

    def all(self) -> Mapping[int, Tenant]:
        """By company; a new object after each change of the file."""
        return self._by_company

    def get(self, company_id: int) -> Tenant:
        """Reads the file again for an unknown company, which another process may know already: its
        first events must not be read without its settings.
        """
        if company_id not in self._by_company:
            self.reload()
        return self._by_company.get(company_id, UNKNOWN)

    def authenticate(self, authorization: str | None) -> Tenant | None:
        """The tenant whose webhook credentials are in a Basic `Authorization` header."""
        # The usual spelling. A dict compares keys only after their hashes, which are keyed by a
        # secret of the process: the time that a miss takes reveals nothing.
        known = self._by_header.get(authorization or "")
        return known or self._decoded(authorization or "")

    def _decoded(self, authorization: str) -> Tenant | None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        # A look-up by a keyed digest takes the same time wherever the first wrong byte is.
        found = self._by_digest.get(_digest(given))
        if found is None:
            return None
        expected = _credentials(found)
        return found if hmac.compare_digest(given, expected) else None

    def reload(self) -> None:
        """Read the file if it has changed since the last check."""
        try:
            stat = self._file.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            if version == self._version:
                return
            content = self._file.read_bytes()
            self._version = version  # not before: fixing permissions changes no version
            tenants = _FILE.validate_json(content)
            _refuse_doubles(tenants)
        except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            self._tell(error)
            return
        self._by_company = {t.company_id: t for t in tenants}
        self._by_digest = {_digest(_credentials(t)): t for t in tenants}
        self._by_header = {_header(t): t for t in tenants}
        self._refused = ""
        log.info("tenants_loaded", extra={"tenants": len(tenants)})

    async def watch(self, stop: asyncio.Event) -> None:
        while not await lifecycle.wait_or_stop(RELOAD_S, stop):
            self.reload()

    def _tell(self, error: OSError | ValueError) -> None:
        if isinstance(error, ValidationError):  # its text would reveal the file's passwords
            reason = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}"
                for e in error.errors(include_input=False, include_url=False)
            )
        elif isinstance(error, OSError):
            reason = f"{type(error).__name__}: {error.strerror}"
        else:
            reason = str(error)
        if reason == self._refused:  # logged once, however often it is checked
            return
        self._refused = reason
        log.error("tenants_file_refused", extra={"file": str(self._file), "reason": reason})


_KEY = hashlib.sha256(b"my500 credentials").digest()


def _digest(credentials: bytes) -> bytes:
    return hashlib.blake2b(credentials, key=_KEY, digest_size=16).digest()


def _credentials(tenant: Tenant) -> bytes:
    return f"{tenant.webhook_user}:{tenant.webhook_password.get_secret_value()}".encode()


def _header(tenant: Tenant) -> str:
    return "Basic " + base64.b64encode(_credentials(tenant)).decode()


def _refuse_doubles(tenants: Sequence[Tenant]) -> None:
    """Raises:
    ValueError: two companies share an id or credentials.
    """
    for name, values in (
        ("company_id", [t.company_id for t in tenants]),
        ("webhook credentials", [_credentials(t) for t in tenants]),
    ):
        if len(set(values)) != len(values):
            raise ValueError(f"two tenants have the same {name}")
