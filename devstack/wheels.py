"""Finds an installed wheel's files without importing it: both wheels do work at import."""

from importlib.util import find_spec
from pathlib import Path

from devstack.errors import StackError


def folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"the package {package} is not installed: `make install`")
    return Path(spec.submodule_search_locations[0]).resolve()
