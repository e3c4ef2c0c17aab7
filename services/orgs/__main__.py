"""`python -m services.orgs [api] [worker]`: all roles when none is named.

`python -m services.orgs rebuild --help` says how the store is built anew.
"""

import sys

from services.orgs import rebuild
from services.orgs.main import main
from shared import lifecycle

if __name__ == "__main__":
    if sys.argv[1:2] == ["rebuild"]:
        lifecycle.start(rebuild.main(sys.argv[2:]))
    else:
        lifecycle.start(main(sys.argv[1:]))
