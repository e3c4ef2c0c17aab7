"""Ingest's settings."""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from shared.settings import PostgresUrl, RedisUrl, StoreSettings


class IngestSettings(StoreSettings):
    port: int = Field(8081, ge=0, le=65_535, description="port to listen on")
    max_body_bytes: int = Field(
        1024 * 1024,
        ge=1,
        le=3 * 1024 * 1024,  # Kafka's messages end at 4 MiB
        description="largest webhook body accepted, after decompression",
    )
    publish_deadline_seconds: float = Field(
        0.25, gt=0, description="longest wait for Kafka before an event goes to the spool"
    )
    spool_dir: Path = Field(
        Path(".local/spool"),
        description="where events wait while Kafka is away; must outlive the process",
    )
    spool_max_bytes: int = Field(
        4 * 1024**3, ge=4096, description="maximum size of one instance's spool"
    )
    database_url: PostgresUrl = Field(
        SecretStr("postgresql://localhost:5432/my500"),
        validation_alias=AliasChoices("INGEST_DATABASE_URL", "DATABASE_URL"),
        description="Postgres of ingest's commands and sync; webhooks do not need it",
    )
    redis_url: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey that counts Pipedrive tokens across processes",
    )
    orgs_url: str = Field(
        "http://localhost:8082", description="URL of the orgs service, for ingest"
    )
    query_url: str = Field(
        "http://localhost:8080", description="URL of the query service, for ingest"
    )
    pipedrive_deadline_seconds: float = Field(
        8.0, gt=0, description="longest wait for Pipedrive while a user is waiting"
    )
    sync_daily_share: float = Field(
        0.5, gt=0, le=1, description="share of the day's Pipedrive tokens that sync may use"
    )
    sync_interval_seconds: float = Field(
        900.0, gt=0, description="interval between incremental syncs of a company"
    )
    sync_full_hour: int = Field(2, ge=0, le=23, description="hour (UTC) of the nightly full sync")
    sync_complete_seconds: float = Field(
        60.0,
        ge=0,
        description="how often fields missing from webhooks are fetched; 0: left to sync",
    )
    hook_check_seconds: float = Field(
        900.0, gt=0, description="how often the webhook is checked at Pipedrive"
    )
    public_url: str | None = Field(
        None, description="URL at which Pipedrive reaches ingest, e.g. https://hooks.example.com"
    )
