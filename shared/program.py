"""What `python -m services.…` does: it imports the program that is asked for, and runs it.

Before anything else is imported. All of that stays, so the collector need not look through it:
that takes a sixth of the time in which a service starts.
"""

import gc
import sys
from importlib import import_module


def run(usual: str, **commands: str) -> None:
    """`main` of the module that the first word names, or else of the usual one, with the words.

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
