"""The names of countries: `python -m devstack.country_names` writes the table that orgs reads.

They come from the CLDR, through Babel. Loading them from there would block the service for two
thirds of a second, and keep 60 MB of memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from babel.core import Locale, get_global

from services.orgs.matching import country_table, words

LANGUAGES = (
    "en", "de", "fr", "es", "pt", "it", "nl", "pl", "cs", "sk", "sl", "hr", "sr", "bg", "ro", "hu",
    "el", "tr", "sv", "da", "nb", "fi", "is", "et", "lv", "lt", "ru", "uk", "he", "ar", "fa", "hi",
    "bn", "ta", "zh", "ja", "ko", "th", "vi", "id", "ms", "ca", "eu", "gl", "ga", "sq", "mk", "ka",
)  # fmt: skip
GROUPS = frozenset({"EU", "EZ", "UN", "XA", "XB", "ZZ", "QO"})
TABLE = Path(country_table.__file__)
HEAD = '''"""Countries by their codes, and what each is called. Data only, written by a program:
`python -m devstack.country_names`.

Names are in the words that `words.split` makes of them, separated by semicolons: those of many
languages, of which each means one country alone, and codes of three letters or digits.
"""

# ruff: noqa: E501  a row is a line

NAMES = {
'''


def names() -> Mapping[str, list[str]]:
    """By code, in order."""
    known = {code for code, _ in _territories("en") if _is_country(code)}
    meanings: dict[str, set[str]] = defaultdict(set)
    for language in LANGUAGES:
        for code, name in _territories(language):
            if code in known:
                meanings[" ".join(words.split(name))].add(code)
    for code, meant in get_global("territory_aliases").items():
        if len(meant) == 1 and meant[0] in known:
            meanings[str(code).lower()] = {meant[0]}
    found: dict[str, list[str]] = {code: [] for code in sorted(known)}
    for name, codes in sorted(meanings.items()):
        if len(codes) == 1:
            found[codes.pop()].append(name)
    return found


def _territories(language: str) -> Iterable[tuple[str, str]]:
    return [(str(code), str(name)) for code, name in Locale.parse(language).territories.items()]


def _is_country(code: str) -> bool:
    return len(code) == len("DE") and code.isalpha() and code not in GROUPS


def written(found: Mapping[str, list[str]]) -> str:
    """The module."""
    lines = [f'    "{code}": "{";".join(called)}",\n' for code, called in found.items()]
    return "".join([HEAD, *lines, "}\n"])


if __name__ == "__main__":
    TABLE.write_text(written(names()))
