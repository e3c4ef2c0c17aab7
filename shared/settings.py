"""What every service is told by its environment. Read once, in each service's main."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings that all four services know; names are the environment's, in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field("localhost:9092", description="host:port, or several")
    kafka_partitions: int = Field(12, ge=1, description="partitions of a topic when it is made")
    kafka_replication_factor: int = Field(1, ge=1, description="copies of a topic when it is made")
    kafka_retention_ms: int = Field(-1, description="of the log of record; -1 keeps it whole")
    kafka_topic_prefix: str = Field("", description="put before every topic's name")
    kafka_group_prefix: str = Field("my500", description="consumer group is PREFIX.SERVICE")

    jwt_secret: SecretStr | None = Field(None, description="HS256 secret of the user tokens")
    jwt_jwks_file: Path | None = Field(None, description="RS256/ES256 public keys, a JWKS file")
    tenants_file: Path = Field(Path("tenants.json"), description="the companies we serve")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level that is logged"
    )
    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104  containers
    stop_seconds: float = Field(20.0, gt=0, description="longest orderly stop after SIGTERM")


class StoreSettings(Settings):
    """Of the services that keep a store and consume topics."""

    batch_records: int = Field(1000, ge=1, le=10_000, description="records in one transaction")
    dead_letter_limit: int = Field(
        100, ge=1, description="dead letters within 5 minutes that stop the line"
    )
    pool_size: int = Field(10, ge=2, description="Postgres connections of one process")
