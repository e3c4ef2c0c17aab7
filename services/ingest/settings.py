"""What ingest is told by its environment."""

from pydantic import Field

from shared.settings import Settings


class IngestSettings(Settings):
    port: int = Field(8081, ge=0, le=65_535, description="port to listen on")
    max_body_bytes: int = Field(
        1024 * 1024, ge=1024, description="largest webhook body taken, after decompression"
    )
    publish_deadline_s: float = Field(
        1.0, gt=0, description="longest wait for Kafka before a webhook is answered with 503"
    )
