"""The lock names everything that is installed, exactly, and nothing of where it came from."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
INSTALLERS = {"pip", "setuptools", "wheel"}
"""What makes an environment, and is in none of its lists."""


def locked() -> dict[str, Requirement]:
    found = [Requirement(line.split(" --hash")[0].rstrip(" \\")) for line in LINES if is_one(line)]
    return {canonicalize_name(each.name): each for each in found}


def is_one(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("#", "--hash"))


def installed() -> dict[str, str]:
    return {canonicalize_name(each.name): each.version for each in metadata.distributions()}


def wanted() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {text for each in lists for text in each}


def test_every_requirement_is_pinned_to_one_version() -> None:
    for requirement in locked().values():
        pins = list(requirement.specifier)
        assert [pin.operator for pin in pins] == ["=="], str(requirement)
        assert Version(pins[0].version)


def test_nothing_is_pinned_twice() -> None:
    assert len(locked()) == sum(map(is_one, LINES))


def test_the_lock_names_no_place_to_install_from() -> None:
    text = "\n".join(LINES)

    assert not re.search(r"https?://|git\+|file:|@ |--(extra-)?index|--find-links", text)


def test_all_that_the_project_asks_for_is_locked_in_a_version_that_it_allows() -> None:
    pins = locked()

    for text in wanted():
        requirement = Requirement(text)
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version_of(pin), prereleases=True), str(pin)


def version_of(pin: Requirement) -> str:
    return next(iter(pin.specifier)).version


def test_what_is_locked_asks_for_nothing_that_is_not() -> None:
    pins, there = locked(), installed()

    for name in set(pins) & set(there):
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            extras = pins[name].extras or {""}
            environments = [default_environment() | {"extra": extra} for extra in extras]
            if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
                continue
            asked = canonicalize_name(requirement.name)
            assert asked in pins, f"{name} asks for {asked}"
            assert requirement.specifier.contains(version_of(pins[asked]), prereleases=True)


def test_what_is_installed_is_what_is_locked() -> None:
    pins = locked()

    for name, version in installed().items():
        if name not in INSTALLERS and name != "my500":
            assert name in pins, f"{name} is installed and not locked"
            assert version_of(pins[name]) == version, name
