"""The settings that all services share. Read once, in each service's main."""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured

BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]/]+)(:[0-9]{1,5})?")
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _readable(url: SecretStr) -> SecretStr:
    """Raises:
    ValueError: drivers would read part of the password as a port, and show it in errors.
    """
    text = url.get_secret_value()
    try:
        _ = urlsplit(text).port
    except ValueError:
        credentials = text.partition("://")[2].rpartition("@")[0]
        if set(credentials) & set("/?#"):
            raise ValueError(
                "the URL's password contains a character that must be percent-encoded, "
                "such as / as %2F"
            ) from None
    return url


Url = Annotated[SecretStr, AfterValidator(_readable)]
"""A server's URL, with its password."""


def _brokers(text: str) -> str:
    """Raises:
    ValueError: it is not host:port, or several separated by commas.
    """
    for each in text.split(","):
        if not BROKER.fullmatch(each.strip()):
            raise ValueError("it is not host:port, or several separated by commas")
    return text


def _of_schemes(*schemes: str) -> AfterValidator:
    def known(url: SecretStr) -> SecretStr:
        if urlsplit(url.get_secret_value()).scheme not in schemes:
            raise ValueError(f"the URL must begin with {' or '.join(schemes)}")
        return url

    return AfterValidator(known)


def _known_sslmode(url: SecretStr) -> SecretStr:
    for mode in parse_qs(urlsplit(url.get_secret_value()).query).get("sslmode", ()):
        if mode not in SSL_MODES:
            raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")
    return url


PostgresUrl = Annotated[Url, _of_schemes("postgresql", "postgres"), AfterValidator(_known_sslmode)]
RedisUrl = Annotated[Url, _of_schemes("redis", "rediss", "unix")]
SettingsT = TypeVar("SettingsT", bound="Settings")


def told(kind: type[SettingsT]) -> SettingsT:
    """The settings from the environment.

    Raises:
        Misconfigured: a variable is missing or has an invalid value.
    """
    try:
        return kind()
    except ValidationError as error:
        raise Misconfigured(
            "; ".join(
                f"{_variable(kind, '.'.join(map(str, each['loc'])))}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            )
        ) from None


def _variable(kind: type["Settings"], name: str) -> str:
    """The environment variable at fault: pydantic names the first that a field may have."""
    for field in kind.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices) and name in alias.choices:
            return next((one for one in map(str, alias.choices) if os.environ.get(one)), name)
    return name.upper()


class Settings(BaseSettings):
    """Settings of all four services; names are the environment's, in lower case. An empty variable
    counts as unset: as a path it would mean the current directory.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)] = Field(
        "localhost:9092", description="Kafka brokers: host:port, comma-separated"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="protocol of the brokers: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="SASL mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"
    )
    kafka_sasl_username: str = Field("", description="SASL user name")
    kafka_sasl_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ssl_cafile: Path | None = Field(
        None, description="PEM file of the brokers' CAs; unset: the system's CAs"
    )
    kafka_ssl_certfile: Path | None = Field(
        None, description="PEM file with our certificate and key, if the brokers require one"
    )
    kafka_partitions: int = Field(12, ge=1, description="partitions of a topic when it is created")
    kafka_replication_factor: int = Field(
        1, ge=1, description="replicas of a topic when it is created"
    )
    kafka_retention_ms: int = Field(
        -1,
        description="retention of the log of record when its topics are created; "
        "-1 keeps it forever",
    )
    kafka_topic_prefix: str = Field("", description="prefix of every topic name")
    kafka_group_prefix: str = Field(
        "my500", description="consumer groups are named PREFIX.SERVICE"
    )

    jwt_secret: SecretStr | None = Field(None, description="HS256 secret that signs user tokens")
    jwt_jwks_file: Path | None = Field(None, description="JWKS file with RS256/ES256 public keys")
    tenants_file: Path = Field(
        Path("tenants.json"), description="JSON file of the companies to serve"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest level that is logged"
    )
    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104  containers
    stop_seconds: float = Field(20.0, gt=0, description="longest graceful shutdown after SIGTERM")
    stuck_seconds: float = Field(
        60.0,
        ge=0,
        description="a process exits, to be restarted, once a loop has been stuck for this long; "
        "0: never, leave it to a probe of /healthz",
    )


class StoreSettings(Settings):
    """For services that keep a store and consume topics."""

    batch_records: int = Field(
        1000, ge=1, le=10_000, description="maximum records per transaction"
    )
    dead_letter_limit: int = Field(
        100, ge=1, description="dead letters within 5 minutes that stop consumption"
    )
    pool_size: int = Field(
        10,
        ge=2,
        description="maximum Postgres connections per pool; a process has two pools (orgs three) "
        "and a few more connections",
    )
