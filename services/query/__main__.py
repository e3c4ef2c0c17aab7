"""`python -m services.query [api] [projector]`: both roles when none is named."""

import sys

from services.query.main import main
from shared import lifecycle

lifecycle.start(main(sys.argv[1:]))
