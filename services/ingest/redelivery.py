"""`python -m services.ingest redeliver`: webhooks that could not be read are read again.

What can be read by now goes where it belongs; what still cannot is put aside once more, with one
more try to its name. Versions are the senders', so what comes late undoes nothing.

Rule: a webhook was received when it first came, however often it is read again. A body that tells
      no time has that for its version; any later one would beat what has been heard since.
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
    # A letter that does not tell its time must beat nothing, and no version is below zero.
    received = max(dead.time, values.EPOCH)
    # Who sent it is in the key, from when it was let in.
    found = intake.read(dead.value, company_id=int(dead.company), now=received).record
    if found is not None:
        return found
    reason = "the credentials are not those of the body's company"
    return letter(Origin(WEBHOOKS), key=dead.key, value=dead.value, reason=reason, now=received)
