"""What it means to the caller that Pipedrive accepts no calls for a while: why, and when to retry.

Rule: one wording and one set of codes, whichever part of the API made the call.
"""

from datetime import UTC, datetime

from shared.errors import Unavailable
from shared.pipedrive.errors import Blocked, BurstSpent, DaySpent
from shared.web import Refused


def told(outage: Unavailable) -> Refused | None:
    """Null for an outage about which there is nothing more to say."""
    match outage:
        case BurstSpent():
            sentence = "Pipedrive's rate limit is reached. Try again soon."
            return Refused(
                503, "pipedrive_busy", sentence, Retry_After=_seconds(outage.retry_after_s)
            )
        case DaySpent():
            sentence = "Pipedrive accepts no more requests from this company today."
            return Refused(503, "pipedrive_day_spent", sentence, Retry_After=_until(outage.until))
        case Blocked():
            sentence = "Pipedrive is blocking our requests for some minutes. Try again later."
            return Refused(503, "pipedrive_blocked", sentence, Retry_After=_until(outage.until))
        case _:
            return None


def _until(at: datetime) -> str:
    return _seconds((at - datetime.now(UTC)).total_seconds())


def _seconds(seconds: float) -> str:
    return str(max(1, round(seconds + 0.5)))
