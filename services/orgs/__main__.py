"""`python -m services.orgs [api] [worker]`: all roles when none is named."""

import sys

from services.orgs.main import main
from shared import lifecycle

if __name__ == "__main__":
    lifecycle.start(main(sys.argv[1:]))
