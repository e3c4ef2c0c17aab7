"""`python -m services.scoring [api] [worker] [ticker]`: all roles unless some are named.

`python -m services.scoring backtest --help` says how weights are tried on the past.
"""

import sys

from services.scoring.backtest import command
from services.scoring.main import main
from shared import lifecycle

if sys.argv[1:2] == ["backtest"]:
    lifecycle.start(command.main(sys.argv[2:]))
else:
    lifecycle.start(main(sys.argv[1:]))
