"""`python -m services.scoring [api] [worker] [ticker]`: all roles unless some are named.

`python -m services.scoring backtest --help` says how weights are tried on the past,
`python -m services.scoring rebuild --help` how the store is built anew.
"""

import sys

from services.scoring import rebuild
from services.scoring.backtest import command
from services.scoring.main import main
from shared import lifecycle

if sys.argv[1:2] == ["backtest"]:
    lifecycle.start(command.main(sys.argv[2:]))
elif sys.argv[1:2] == ["rebuild"]:
    lifecycle.start(rebuild.main(sys.argv[2:]))
else:
    lifecycle.start(main(sys.argv[1:]))
