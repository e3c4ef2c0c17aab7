"""What a failed command means to the caller: a status, a code, a sentence.

Rule: a refusal by Pipedrive reaches the user in its own words; for what is temporary the answer
says when to retry.
"""

from typing import Final

from services.ingest import outages
from services.ingest.commands.making import SETTLED
from shared.errors import Unavailable
from shared.pipedrive.errors import NotConnected, PipedriveRefused, Unsettled
from shared.web import Refused

BUSY_S: Final = 1
OUT_OF_ORDER: Final = frozenset({401, 402})
FORBIDDEN: Final = 403


def in_progress() -> Refused:
    sentence = "This request is already in progress. Retry soon with the same key."
    return Refused(409, "in_progress", sentence, Retry_After=str(BUSY_S))


def another() -> Refused:
    sentence = "This Idempotency-Key was used for another request."
    return Refused(422, "idempotency_key_reused", sentence)


def of_pipedrive(refused: PipedriveRefused) -> Refused:
    if isinstance(refused, NotConnected) or refused.status in OUT_OF_ORDER:
        return Refused(409, "not_connected", refused.sentence)
    if refused.status == FORBIDDEN:
        return Refused(403, "pipedrive_forbidden", refused.sentence)
    return Refused(422, "pipedrive_refused", refused.sentence)


def of_outage(outage: Unavailable) -> Refused | None:
    """Null for an outage about which there is nothing more to say."""
    if isinstance(outage, Unsettled):
        sentence = (
            "Pipedrive did not answer, and may have carried the request out. Send the same "
            "request again: nothing is done twice."
        )
        return Refused(503, "unsettled", sentence, Retry_After=str(round(SETTLED.total_seconds())))
    return outages.told(outage)
