"""What `python -m services.…` does: it imports the requested program, and runs it.

This happens before anything else is imported. All imports stay, so the garbage collector need not
scan them: that takes a sixth of a service's start time.
"""

import gc
import sys
from importlib import import_module


def run(usual: str, **commands: str) -> None:
    """Run `main` of the module that the first word names, or else of the usual one.

    Raises:
        SystemExit: always; see `lifecycle.start`.
    """
    gc.disable()
    words = sys.argv[1:]
    module = usual
    if words and words[0] in commands:
        module = commands[words.pop(0)]
    lifecycle = import_module("shared.lifecycle")
    lifecycle.start(import_module(module).main(words))
