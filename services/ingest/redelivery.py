"""`python -m services.ingest redeliver`: retries webhooks that could not be read.

What can be read by now goes where it belongs; what still cannot becomes a dead letter once more,
with its number of tries raised. Versions are the senders', so a late replay undoes nothing.

Rule: a webhook's time of receipt is when it first came, however often it is retried. A body that
      names no time has that for its version; any later one would beat what has been heard since.
"""

from collections.abc import Sequence

from services.ingest import intake, values
from shared.dlq import command
from shared.dlq.letters import Letter
from shared.kafka.dead_letters import Origin, letter
from shared.kafka.rounds import Record
from shared.topics import WEBHOOKS


async def main(words: Sequence[str]) -> int:
    """The exit status."""
    return await command.redeliver(words, record)


def record(dead: Letter) -> Record:
    # A letter without a time must beat nothing, and no version is below zero.
    received = max(dead.time, values.EPOCH)
    # The company is in the key, set when the webhook was accepted.
    found = intake.read(dead.value, company_id=int(dead.company), now=received).record
    if found is not None:
        return found
    reason = "the credentials are not those of the body's company"
    return letter(Origin(WEBHOOKS), key=dead.key, value=dead.value, reason=reason, now=received)
