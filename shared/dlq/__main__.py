"""`python -m shared.dlq list|show|replay|drop`, see `--help`."""

import sys

from shared import lifecycle
from shared.dlq import command

lifecycle.start(command.main(sys.argv[1:]))
