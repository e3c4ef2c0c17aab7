"""A module that says that it is pure is held to it."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
(PURE,) = (each for each in SETTINGS["contracts"] if each["name"] == "pure modules do no I/O")


def says_pure() -> Iterator[str]:
    for package in ("shared", "services"):
        for file in sorted((ROOT / package).rglob("*.py")):
            said = ast.get_docstring(ast.parse(file.read_text())) or ""
            if re.search(r"\bPure\b", said):
                yield ".".join(file.relative_to(ROOT).with_suffix("").parts)


def is_held(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in PURE["source_modules"])


def test_who_says_pure_is_under_the_contract() -> None:
    said = [*says_pure()]

    assert said
    assert [module for module in said if not is_held(module)] == []


def test_the_contract_names_each_module_once_and_in_order() -> None:
    names = PURE["source_modules"]

    assert names == sorted(set(names), key=lambda name: (name.startswith("services."), name))
