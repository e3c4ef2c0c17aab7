"""`python -m services.ingest [api] [sync]`, or `python -m services.ingest connect --company C`.

`python -m services.ingest redeliver --help` says how webhooks are read again.
"""

import sys

from services.ingest import redelivery
from services.ingest.main import main
from services.ingest.sync import command
from shared import lifecycle

if sys.argv[1:2] == [command.COMMAND]:
    lifecycle.start(command.main(sys.argv[2:]))
elif sys.argv[1:2] == [redelivery.COMMAND]:
    lifecycle.start(redelivery.main(sys.argv[2:]))
else:
    lifecycle.start(main(sys.argv[1:]))
