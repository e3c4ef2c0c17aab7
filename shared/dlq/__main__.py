"""`python -m shared.dlq list|show|replay|drop`, see `--help`."""

import asyncio
import sys

from shared.dlq import command

sys.exit(asyncio.run(command.main(sys.argv[1:])))
