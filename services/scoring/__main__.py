"""`python -m services.scoring [api] [worker] [ticker]`: all roles unless some are named."""

import sys

from services.scoring.main import main
from shared import lifecycle

lifecycle.start(main(sys.argv[1:]))
