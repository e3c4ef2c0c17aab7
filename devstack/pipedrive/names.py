"""The words of the invented company: people, firms, places, subjects of activities.

Rule 1: two firms never share a name under the basic rule, whatever their numbers.
Rule 2: a firm has one country, and one web domain for each name that its records have, so records
        of one name never contradict each other.
Rule 3: every domain ends in `.example`: no mail or request can reach a real party.
"""

import re
import unicodedata
import zlib
from dataclasses import dataclass
from random import Random


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = words(
    "Anna Liam Noah Emma Olivia Mia Lucas Hugo Inês João Łukasz Zoë Björn Søren Åsa Þóra "
    "Renée François Jürgen Günther Dvořák Nguyễn Thảo Ayşe İbrahim Chloë Mateo Sofía Iñaki "
    "Siobhán Niamh Tiago Giulia Matteo Katarína Miloš Đorđe Ștefan Ioana Gábor Kert Maarja "
    "Ольга Дмитрий Екатерина Олександр Ελένη Γιώργος "
    "明 花子 伟 静 민준 서연 محمد فاطمة דוד נועה प्रिया राहुल"
)
LAST = words(
    "Smith Jones Taylor Müller Schmidt Groß Weiß Lefèvre Dubois García Muñoz Ibáñez Silva "
    "Gonçalves Rossi Bianchi Nowak Wiśniewski Svensson Lindström Ødegaard Hansen Virtanen "
    "Mäkinen Tamm Kask Novák Horváth Popescu Yılmaz Öztürk O'Brien McDonald van-den-Berg "  # noqa: RUF001 - the letters of real names
    "de-Vries Nguyen Trần Иванова Петренко Παπαδόπουλος 田中 鈴木 王 李 김 박 الحسن כהן शर्मा"
)
JOB_TITLES = (
    "CEO",
    "Head of Purchasing",
    "Geschäftsführerin",
    "Directeur commercial",
    "Sales Manager",
    "CTO",
    "Operations Lead",
    "Office Manager",
    "Инженер",
    "VP Marketing",
)
# One word each, with the Latin spelling that its web domain uses.
STEMS = {
    "Acme": "acme",
    "Globex": "globex",
    "Nordwind": "nordwind",
    "Café Lumière": "cafe-lumiere",
    "Zürich Präzision": "zuerich-praezision",
    "Ångström": "angstrom",
    "Østfold": "ostfold",
    "Łódź": "lodz",
    "Señorío": "senorio",
    "Tõnisson": "tonisson",
    "Květen": "kveten",
    "Hatfield & Sons": "hatfield",
    "Rolls-Rowe": "rolls-rowe",
    "L'Avenir": "lavenir",
    "7 Seas": "7seas",
    "Blue_Ocean": "blue-ocean",
    "Восток": "vostok",
    "Дніпро": "dnipro",
    "Αιγαίο": "aigaio",
    "東京": "tokyo",
    "长城": "changcheng",
    "한빛": "hanbit",
    "النور": "alnoor",
    "כרמל": "karmel",
    "Initech": "initech",
    "Umbrella": "umbrella",
    "Soylent": "soylent",
    "Hooli": "hooli",
    "Vandelay": "vandelay",
    "Wonka": "wonka",
}
SECTORS = {
    "Energy": "Utilities",
    "Logistics": "Transportation",
    "Foods": "Food",
    "Software": "Computer Software",
    "Steel": "Manufacturing",
    "Textiles": "Apparel",
    "Pharma": "Healthcare",
    "Consulting": "Professional Services",
    "Robotics": "Manufacturing",
    "Media": "Media",
    "Bau": "Construction",
    "Systèmes": "Electronics",
}
LEGAL_FORMS = ("Inc", "GmbH", "Ltd", "S.A.", "AB", "OÜ", "LLC", "B.V.", "ООО", "")  # noqa: RUF001 - Cyrillic on purpose
LONG_FORMS = {"Inc": "Incorporated", "Ltd": "Limited", "LLC": "Limited Liability Company"}
PLACES = (
    ("Tallinn", "Estonia"),
    ("München", "Germany"),
    ("Lyon", "France"),
    ("São Paulo", "Brazil"),
    ("Malmö", "Sweden"),
    ("Kraków", "Poland"),
    ("Austin", "United States"),
    ("Αθήνα", "Greece"),
    ("大阪市", "Japan"),
    ("Київ", "Ukraine"),
)
STREETS = ("Main Street", "Hauptstraße", "Rue de la Paix", "Gran Vía", "Pärnu mnt", "Storgatan")
SUBJECTS = {
    "call": ("Call about the offer", "Follow-up call", "Anruf wegen Angebot"),
    "meeting": ("Kick-off meeting", "Demo", "Réunion de lancement"),
    "email": ("Send the contract", "Re: prices", "E-mail with references"),
    "task": ("Prepare the proposal", "Check the budget"),
    "lunch": ("Lunch", "Обед с клиентом"),  # noqa: RUF001 - Cyrillic on purpose
}
LEAST_WORDS = re.compile(r"[^\w\s]")


@dataclass(frozen=True, slots=True)
class Firm:
    """A real-world firm; several organization records may stand for it."""

    name: str
    legal_form: str
    domain: str
    industry: str
    employees: int
    street: str
    city: str
    country: str


def basic(name: str) -> str:
    """Lower-case, letters, digits, underscore and spaces only, white space folded."""
    return " ".join(LEAST_WORDS.sub("", name.lower()).split())


def firm(number: int) -> Firm:
    """The number in mixed radix picks stem, sector and branch, so no two numbers give one name."""
    stems, sectors = tuple(STEMS), tuple(SECTORS)
    branch, rest = divmod(number, len(stems) * len(sectors))
    turn, stem_at = divmod(rest, len(stems))
    # Shifting by the stem mixes the sectors; it stays one sector per turn and stem.
    stem, sector = stems[stem_at], sectors[(turn + stem_at) % len(sectors)]
    rng = Random(number)
    city, country = rng.choice(PLACES)
    suffix = f" {branch + 1}" if branch else ""
    slug = f"{STEMS[stem]}-{ascii_slug(sector)}{branch + 1 if branch else ''}"
    return Firm(
        name=f"{stem} {sector}{suffix}",
        legal_form=rng.choice(LEGAL_FORMS),
        domain=f"{slug}.example",
        industry=SECTORS[sector],
        employees=rng.choice((3, 12, 40, 180, 900, 5400)),
        street=f"{rng.choice(STREETS)} {rng.randint(1, 140)}",
        city=city,
        country=country,
    )


def official(of: Firm) -> str:
    return f"{of.name} {of.legal_form}".strip()


def site(of: Firm, name: str) -> str:
    """The web domain that records of a name give: the firm's own for its official name.

    Another spelling gives another one, so no two names are one organization by their domain alone:
    who compares stores with a model has to know the basic rule only.
    """
    if basic(name) == basic(official(of)):
        return of.domain
    return f"{zlib.crc32(basic(name).encode()):08x}-{of.domain}"


def respelled(name: str, rng: Random) -> str:
    """Another spelling that the basic rule folds into the same name."""
    spellings = [
        name.upper(),
        name.lower(),
        f"{name}.",
        f' "{name}" ',
        name.replace(" ", "  "),
        ", ".join(name.rsplit(" ", 1)),
        f"{name}®",
        f"({name})",
    ]
    # ß in capitals is SS, which the rule does not fold back.
    alike = [one for one in spellings if basic(one) == basic(name)]
    return rng.choice(alike)


def fuzzy(of: Firm, rng: Random) -> str:
    """A spelling that means the firm but is another name under the basic rule."""
    long_form = LONG_FORMS.get(of.legal_form, "Group")
    folded = strip_accents(of.name)
    # The number keeps two fuzzy spellings of one firm apart.
    return rng.choice(
        (f"{of.name} {long_form}", f"The {official(of)}", f"{folded} Intl {rng.randint(2, 999)}")
    )


def strip_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def ascii_slug(text: str) -> str:
    """Letters and digits of ASCII only; empty where the text has none."""
    plain = strip_accents(text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
