"""`python -m services.query [api] [projector]`: both roles when none is named.

`python -m services.query rebuild --help` says how the store is built anew.
"""

import sys

from services.query import rebuild
from services.query.main import main
from shared import lifecycle

if sys.argv[1:2] == ["rebuild"]:
    lifecycle.start(rebuild.main(sys.argv[2:]))
else:
    lifecycle.start(main(sys.argv[1:]))
