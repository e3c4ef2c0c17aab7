"""What records often lack of what is typed: titles before a name, legal forms behind one. Pure.

Rule: it is left out only where nobody is found with it (`reading`). Herr is a name, too, and
      "Müller GmbH" means the company before everybody called Müller.
"""

import re
from typing import Final

LONGEST_DOTTED: Final = 4
"""Letters of forms that are also written with a dot behind each."""

_TITLES: Final = (
    "dr drs doctor doktor prof professor professorin mr mrs ms miss mister madam sir herr herrn hr"
    " frau fr fru mme mlle madame mademoiselle monsieur sig signor signora signore sigra dott"
    " dottssa avv sr sra srta señor señora señorita ing dipl mag lic dhr mevr mw pan pani"
    " mba msc bsc md jr esq"
)
_FORMS: Final = (
    "gmbh mbh ag kg kgaa ohg gbr ug haftungsbeschränkt se eg ek ev ltd limited inc incorporated"
    " corp corporation co company llc llp lp plc pty pte pvt sa sarl sas sasu eurl cie srl spa snc"
    " bv nv vof ab as asa aps oy oyj sl slu ltda cv sro doo dd kft zrt bt oü sia uab kk"
)

_ODD: Final = (r"ph\.?\s?d", r"sp\.?\s?z\.?\s?o\.?\s?o", "[ak]/s")


def _written(form: str) -> str:
    dotted = r"\.\s?".join(form)
    return rf"{form}|{dotted}" if len(form) <= LONGEST_DOTTED else form


_LONGEST_FIRST: Final = sorted(f"{_TITLES} {_FORMS}".split(), key=len, reverse=True)
_WORDS: Final = "|".join((*_ODD, *map(_written, _LONGEST_FIRST)))
_INESSENTIAL: Final = re.compile(
    rf"(?<![\w@.])(?<!\w-)(?:{_WORDS})\.?(?![\w-]|\S*@)", re.IGNORECASE
)
"""Nothing of an address or a word with hyphens: "kurz-ag.de" means nobody called Dennis Kurz."""


def of(text: str) -> str | None:
    """The rest of a text; null if it has nothing of that kind. A sign stands for what is left out:
    an "and" beside it would else be a word (`asking`, rule 5).
    """
    rest, times = _INESSENTIAL.subn(" & ", text)
    return rest if times else None
