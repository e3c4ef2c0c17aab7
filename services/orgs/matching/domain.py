"""Which web domain identifies an organization. Pure.

Rule 1: the registrable domain counts (shop.acme.co.uk → acme.co.uk), by the public suffix list
        that comes with its package; the network is never used.
Rule 2: mail providers, social networks and website hosts identify nobody, under any suffix that
        they use.
Rule 3: what can't be a domain (an IP address, "localhost") is none. Names reserved for tests and
        private networks (acme.example, acme.local) are domains like others.
Rule 4: of several hosts in a row the first that identifies somebody counts. A text that begins
        with another word ("none, see acme.com") may name anybody's: it is none.
Rule 5: in a name, what ends like a legal form ("Co.KG", "Acme.Inc") is not an address.
"""

import re
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from services.orgs.matching import legal_forms

# ruff: noqa: SIM905  quotes and commas around each word would triple the length
# ruff: noqa: RUF001  the commas of other scripts separate, too

_SHARED = frozenset(
    # mail
    "me.com mac.com web.de t-online.de freenet.de proton.me pm.me hey.com mail.com mail.ru "
    "mail.de mail.ee mail.bg inbox.ru inbox.lv inbox.lt list.ru bk.ru ukr.net i.ua meta.ua qq.com "
    "163.com 126.com sina.com sina.cn sohu.com naver.com daum.net hanmail.net orange.fr free.fr "
    "laposte.net sfr.fr neuf.fr libero.it alice.it tin.it seznam.cz centrum.cz email.cz azet.sk "
    "wp.pl o2.pl op.pl interia.pl onet.pl freemail.hu citromail.hu abv.bg bluewin.ch hispeed.ch "
    "aon.at btinternet.com sky.com ntlworld.com talktalk.net comcast.net verizon.net "
    "att.net sbcglobal.net bellsouth.net charter.net cox.net earthlink.net "
    "bigpond.com optusnet.com.au uol.com.br bol.com.br terra.com.br ig.com.br ziggo.nl "
    "kpnmail.nl xs4all.nl planet.nl telenet.be skynet.be telia.com online.no walla.co.il "
    # people and pages
    "fb.com fb.me x.com lnkd.in xing.com youtu.be vk.com ok.ru weibo.com t.me telegram.me wa.me "
    "discord.com discord.gg reddit.com medium.com github.com gitlab.com linktr.ee g.page "
    "threads.net threads.com bsky.app crunchbase.com bloomberg.com angel.co booking.com "
    "goo.gl bit.ly pipedrive.com "
    # hosts
    "godaddysites.com webflow.io jimdosite.com jimdofree.com site123.me business.site notion.site "
    "carrd.co tilda.ws ueniweb.com hubspot.com microsoft.com sharepoint.com "
    "example.com example.org example.net test.com".split()
)
_SHARED_EVERYWHERE = frozenset(
    # mail
    "gmail googlemail outlook hotmail live msn yahoo ymail rocketmail icloud aol gmx protonmail "
    "tutanota fastmail zoho yandex rambler foxmail rediffmail wanadoo tiscali virgilio "
    # people and pages
    "facebook instagram twitter linkedin youtube tiktok pinterest whatsapp wikipedia yelp "
    "tripadvisor etsy ebay amazon kickstarter google tinyurl yellowpages trustpilot glassdoor "
    "indeed "
    # hosts
    "wix wixsite wordpress blogspot blogger weebly squarespace jimdo strikingly tumblr webnode "
    "myshopify shopify".split()
)
"""Names that are theirs under any public suffix: yahoo.fr, hotmail.co.uk, facebook.de."""

_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|mailto:|//)?(?:[^/@?#]*@)?([^/:?#]+)", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?<![^\s(])(?:https?://)?(?:[\w.+-]+@)?(?:[^\W_][\w-]+\.)+(?:com|net|org|info|biz|[a-z]{2})"
    r"(?:/\S*)?(?![\w.])",
    re.IGNORECASE,
)
_LONGEST_HOST = 253
_RESERVED = frozenset({"example", "test", "invalid", "local", "internal"})
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_BETWEEN = re.compile(r"(?<!:)(?<!:/)(?<!://)[\s,;|<>()\[\]\"'、，；]+")
"""What separates hosts; a blank after "https://" or "mailto:" does not."""


def of(website_or_mail: str | None) -> str | None:
    """The registrable domain of a website or mail address, if it can identify somebody."""
    if not website_or_mail:
        return None
    for text in _BETWEEN.split(website_or_mail):
        found = _HOST.match(text)
        if found is None:
            continue
        domain = _registrable(found.group(1).strip().rstrip(".").lower())
        if domain is None or not _is_shared(domain):
            return domain
    return None


def named(name: str) -> str | None:
    """The registrable domain, if a name is nothing but an address ("www.acme.com")."""
    text = name.strip()
    return of(text) if "." in text and not _BETWEEN.search(text) and _label(text) else None


def without_suffixes(name: str) -> str:
    """The name with the addresses in it reduced to their own part: "acme" of "acme.com"."""
    own = None if _BETWEEN.search(name.strip()) else _label(name.strip())
    return own or _ADDRESS.sub(lambda found: _label(found.group()) or found.group(), name)


def _label(address: str) -> str | None:
    found = _HOST.match(address)
    host = found.group(1).strip().rstrip(".").lower() if found else ""
    if legal_forms.is_any(host.rpartition(".")[2]):
        return None
    domain = _registrable(host)
    if domain is None or ("@" in address and _is_shared(domain)):
        return None
    return _in_letters(domain.partition(".")[0])


def _in_letters(label: str) -> str:
    try:
        return label.encode().decode("idna")
    except UnicodeError:
        return label


@lru_cache(maxsize=16_384)
def _registrable(host: str) -> str | None:
    if not host or len(host) > _LONGEST_HOST or _is_address(host):
        return None
    try:
        plain = host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    domain: str | None = _suffixes().privatesuffix(plain)
    if domain is None:
        return _reserved(plain)
    return domain if _LABEL.fullmatch(domain.partition(".")[0]) else None


def _is_shared(domain: str) -> bool:
    return domain in _SHARED or domain.partition(".")[0] in _SHARED_EVERYWHERE


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()


def _reserved(host: str) -> str | None:
    labels = host.split(".")[-2:]
    if len(labels) < len(("acme", "example")) or labels[-1] not in _RESERVED:
        return None
    return ".".join(labels) if _LABEL.fullmatch(labels[0]) else None


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)
