"""The envelope around a fact's body, as an import would write it to the log."""

from datetime import datetime
from typing import Any

from shared.events import Action, Source

COMPANY = 1


def envelope(entity: str, number: int, version: int, *, at: datetime) -> dict[str, Any]:
    return {
        "event_id": f"{entity}-{number}-{version}",
        "company_id": COMPANY,
        "entity": entity,
        "entity_id": str(number),
        "action": Action.CHANGE,
        "version": version,
        "occurred_at": at,
        "received_at": at,
        "source": Source.IMPORT,
    }
