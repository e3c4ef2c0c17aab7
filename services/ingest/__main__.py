"""`python -m services.ingest [api]`."""

import sys

from services.ingest.main import main
from shared.lifecycle import start

start(main(sys.argv[1:]))
