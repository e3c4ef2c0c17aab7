# ruff: noqa: RUF001 - letters of real names
"""Names of people and firms with a realistic distribution: few common ones, many rare ones.

Rule: the same seed gives the same people.
"""

import unicodedata
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate, product
from random import Random


def names(text: str) -> list[str]:
    return text.split()


FIRST = names("""
Anna Maria Michael Thomas Peter Andreas Christian Martin Daniel Stefan Julia Laura Sarah
Alexander Sebastian Katharina Elisabeth Johannes Jürgen Günther Björn Søren Åsa Jonas
Lukas Emma Olivia James John Robert William David Richard Joseph Charles Patricia Jennifer
Linda Margaret Susan Dorothy Nancy Karen Betty Helen Sandra Donna Carol Ruth Sharon
Michelle François Jean Pierre Jacques Hélène Chloé Léa Zoë Noëlle René José María Ángel
Jesús Inés Sofía Lucía Íñigo João António Conceição Tiago Gonçalo Giovanni Giuseppe
Francesca Chiara Łukasz Małgorzata Zbigniew Stanisław Agnieszka Miloš Jiří Tomáš Kateřina
Gábor László Zsófia Ștefan Ioana Đorđe Nikola Ayşe İbrahim Özlem Mehmet Niamh Siobhán
Ciarán Aoife Eirik Ingrid Sigríður Þóra Matti Päivi Ülle Jaak Kristīne Jānis Rūta Ольга
Дмитрий Екатерина Александр Наталья Сергей Олександр Юлія Ελένη Γιώργος Δημήτρης Κατερίνα
明 花子 健太 伟 静 秀英 민준 서연 지훈 محمد فاطمة علي דוד נועה प्रिया राहुल Nguyễn Thảo
Minh Wei Xin Yuki Haruto Kwame Ama
Chidi Ngozi Fatoumata Mamadou Maximilian Alexandra Bartholomew Wilhelmina
Konstantin Seraphina
""")
ROOTS = names("""
Berg Stein Wald Feld Bach Linde Eich Birk Rosen Gold Silber Eisen Stahl Kupfer Holz Korn
Mühl Schön Groß Klein Lang Kurz Alt Neu Hoch Nieder Ober Unter Hinter Sonnen Stern Mond
Winter Sommer Herbst Fried Sieg Hart Wolf Bär Fuchs Adler Falken Löwen Hirsch Ander Peter
Erik Karl Johan Nils Sven Gustav Lund Ström Holm Ås Ek Björk Sjö Häll Gran Martin Roth
Hamil Living Washing Jeffer Robin Thomp Richard William John David Rober Wat Har Nel Car
Bur Mor Pal Wood Fern Rodrig Gonzal Ramir Mart Lop Sanch Per Dominguez Álvar Núñ Ibáñ
Kowal Wiśniew Zieliń Kamiń Lewandow Szymań Woźnia Dąbrow Novot Dvořá Svobod Procház Horvát
Kovač Popes Iones Dumitres Yıldı Kaya Demir Çeli Öztür Arslan Šimon Krá Beneš Ivan Petr
Sidor Smirn Kuznets Pop Vasil Sokol Mikhail Novik Fedor Morozo Volk Alexe Lebed Papadopo
Nikola Georgi Dimitri Konstanti Tana Suzu Yama Waka Naka Koba Mats Ino Haya Shimi Oka Fuji
Ada Oko Nko Mba Eze Diop Traoré Keita Ndiay Silv Sant Oliv Per Rib Carv Gom Mend Teix Far
Mon Bel Ross Bianc Ferr Romano Colomb Ricc Marin Grec Brun Gall Cont Esposit Lef Dub
Durand Mor Laur Simon Michel Garn
""")
ENDINGS = names("""
er mann berg bach feld hof haus meier müller schmidt stein dorf wald sson sen ström qvist
lund dahl son ton ley field worth ford man ski ska wicz czyk ová ek ić escu oğlu türk ov
ova enko dze poulos idis akis ez es eira inho i ini etti ard eau aux ier et ot lin mura
moto yama kawa saki guchi da oka
""")
COMMON = names("""
Smith Jones Müller Schmidt García Rossi Nowak Иванов Papadopoulos 王 李 田中 Kim Nguyễn
O'Brien McDonald van-den-Berg de-Vries Johnson Williams Brown Martin Hansen Silva 김 佐藤
Петренко كريم
""")
DOMAINS = names("mail.example post.example web.example inbox.example")
FIRM_WORDS = names("""
Nord Süd West Ost Alpha Delta Omega Terra Aqua Sol Luna Vita Nova Prime Global Inter Trans
Euro Asia Pan Uni Multi Micro Macro Mega Opti Maxi Digi Cyber Data Info Tele Robo Bio Geo
Eco Agro Petro Electro Thermo Hydro Aero Auto Moto Turbo Super Ultra Meta Para Zürich Łódź
Malmö Genève Köln Århus Москва Київ 東京 Αθήνα São-Paulo Montréal
""")
FIRM_STEMS = names("""
Tech Soft Systems Works Logistics Foods Energy Steel Textil Pharma Consult Media Robotics
Bau Plast Chem Glass Paper Print Trade Invest Finance Travel Design Studio Labs Networks
Motors Marine Mining Agrar Solar Wind Power Light Optik Medical Dental Care Sport Moda
Café Brau
""")
FORMS = names("GmbH AG Ltd Inc LLC S.A. S.r.l. AB Oy AS B.V. ООО Kft OÜ Sp.-z-o.o.")
PREFIXES = {
    "49": ["30", "40", "89", "69", "221", "711", "151", "160", "172"],
    "1": ["212", "415", "512", "617", "305", "206", "312"],
    "44": ["20", "161", "121", "7700", "7911"],
    "33": ["1", "4", "6", "7"],
    "372": ["5", "6", "7"],
    "380": ["44", "50", "67"],
    "81": ["3", "6", "90"],
}


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str | None
    phone: str | None


class Spread:
    """Zipf's law: the n-th is chosen about 1/n as often as the first."""

    def __init__(self, choices: list[str], *, flatness: float) -> None:
        self._choices = choices
        weights = (1 / (rank + flatness) for rank in range(len(choices)))
        self._sums = list(accumulate(weights))

    def choose(self, random: Random) -> str:
        return self._choices[bisect(self._sums, random.random() * self._sums[-1])]


def slug(text: str) -> str:
    """As in an e-mail or web address; empty if it has no Latin letters."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ø", "o"))
    return "".join(c for c in plain.lower() if c.isascii() and c.isalnum())


class People:
    def __init__(self, random: Random) -> None:
        self._random = random
        first = list(FIRST)
        last = [root + ending for root, ending in product(ROOTS, ENDINGS)]
        random.shuffle(first)
        random.shuffle(last)
        self._first = Spread(first, flatness=5)
        self._last = Spread([*COMMON, *last], flatness=40)

    def person(self, domain: str) -> Person:
        random = self._random
        first, last = self._first.choose(random), self._last.choose(random)
        if random.random() < 0.08:
            last = f"{last}-{self._last.choose(random)}"
        return Person(f"{first} {last}", self._email(first, last, domain), self._phone())

    def _email(self, first: str, last: str, domain: str) -> str | None:
        random = self._random
        if random.random() < 0.05:
            return None
        a, b = slug(first) or f"p{random.randrange(10**5)}", slug(last)
        kind = random.random()
        if kind < 0.55:
            local = f"{a}.{b}" if b else a
        elif kind < 0.8:
            local = f"{a[0]}{b}" if b else a
        else:
            local = f"{a}{random.randrange(1000)}"
        return f"{local}@{domain}"

    def _phone(self) -> str | None:
        random = self._random
        if random.random() < 0.15:
            return None
        country = random.choice(list(PREFIXES))
        area = random.choice(PREFIXES[country])
        number = f"{random.randrange(10**7):07d}"
        if random.random() < 0.2:
            return f"0{area} {number[:3]} {number[3:]}"
        return f"+{country} {area} {number[:3]} {number[3:]}"


def firms(random: Random, count: int) -> list[tuple[str, str]]:
    """Names and web domains."""
    found = []
    for number in range(count):
        first, second = random.choice(FIRM_WORDS), random.choice(FIRM_STEMS)
        third = random.choice(ROOTS)
        name = random.choice(
            (f"{first}{second.lower()} {third}", f"{third} {second}", f"{first} {third} {second}")
        )
        domain = f"{slug(third) or 'firm'}{slug(second)}{number % 9973 or ''}.example"
        found.append((f"{name} {random.choice(FORMS)}", domain))
    return found
