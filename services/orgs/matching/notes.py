"""Strips notes from a name: that a record is old, a duplicate or not to be used. Pure.

Rule 1: a note fills brackets or follows a dash ("Acme (old)"), or, if it can't be a name, precedes
        a dash or a colon ("DUPLICATE: Acme"). "Old Mill" is a name.
Rule 2: a name that is nothing but a note stays.
"""

import re
from functools import cache

_STATES = """
old; alt; obsolete; veraltet; inactive; inaktiv; inactif; inactivo; inattivo; closed; geschlossen;
fermé; cerrado; chiuso; archived; archiviert; merged; deleted; gelöscht; unused; copy; kopie
"""
_ORDERS = """
do not use; don't use; do not contact; not in use; nicht verwenden; nicht benutzen;
ne pas utiliser; no usar; non usare; niet gebruiken; to be deleted; duplicate; dup; dupe;
duplikat; dublette; doppelt; doublon; duplicado; duplicato
"""


_MARKS = re.compile(r"[(\[:–—]|-\s")  # noqa: RUF001  dashes as people type them


def taken_off(name: str) -> str:
    return (_note().sub(" ", name).strip() or name) if _MARKS.search(name) else name


@cache
def _note() -> re.Pattern[str]:
    order = "|".join(re.escape(each.strip()) for each in _ORDERS.split(";"))
    state = "|".join(re.escape(each.strip()) for each in _STATES.split(";"))
    around = r"[\s!*]*"
    within = rf"[(\[]{around}(?:{order}|{state}){around}[)\]]"
    before = rf"^{around}(?:{order}){around}(?::|[-–—]\s)"  # noqa: RUF001  dashes as people type them
    after = rf"\s[-–—]{around}(?:{order}|{state}){around}$"  # noqa: RUF001
    return re.compile(f"{within}|{before}|{after}", re.IGNORECASE)
