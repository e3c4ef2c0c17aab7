"""`python -m services.ingest [api] [sync]`, or `python -m services.ingest connect --company C`.

`python -m services.ingest redeliver --help` says how webhooks are read again.
"""

import asyncio
import sys

from services.ingest import redelivery
from services.ingest.main import main
from services.ingest.sync import command
from shared.lifecycle import start

if sys.argv[1:2] == [command.COMMAND]:
    sys.exit(asyncio.run(command.main(sys.argv[2:])))
if sys.argv[1:2] == [redelivery.COMMAND]:
    sys.exit(asyncio.run(redelivery.main(sys.argv[2:])))
start(main(sys.argv[1:]))
