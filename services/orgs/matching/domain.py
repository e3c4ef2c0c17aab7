"""Which web domain speaks for an organization. Pure.

Rule 1: the registrable domain counts (shop.acme.co.uk → acme.co.uk), by the public suffix list
        that comes with its package; the network is never asked.
Rule 2: mail providers, social networks and hosts of other people's pages speak for nobody.
Rule 3: what can't be a domain (an IP address, "localhost", free text) is none. Names reserved for
        trials and for networks of one's own (acme.example, acme.local) are domains like others.
"""

import re
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

# ruff: noqa: SIM905  a quote and a comma around each word would treble the page

_SHARED = frozenset(
    # mail
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com "
    "rocketmail.com icloud.com me.com mac.com aol.com gmx.com gmx.de gmx.net gmx.at gmx.ch web.de "
    "t-online.de freenet.de proton.me protonmail.com pm.me tutanota.com fastmail.com hey.com "
    "zoho.com mail.com mail.ru inbox.ru list.ru bk.ru yandex.ru yandex.com rambler.ru ukr.net "
    "qq.com foxmail.com 163.com 126.com sina.com sohu.com naver.com daum.net hanmail.net "
    "orange.fr wanadoo.fr free.fr laposte.net sfr.fr libero.it virgilio.it tiscali.it alice.it "
    "seznam.cz centrum.cz wp.pl o2.pl interia.pl onet.pl abv.bg bluewin.ch btinternet.com sky.com "
    "comcast.net verizon.net att.net sbcglobal.net cox.net rediffmail.com uol.com.br bol.com.br "
    "terra.com.br ziggo.nl kpnmail.nl telenet.be skynet.be telia.com online.no "
    # people and pages
    "facebook.com fb.com fb.me instagram.com twitter.com x.com linkedin.com lnkd.in xing.com "
    "youtube.com youtu.be tiktok.com pinterest.com vk.com ok.ru weibo.com t.me telegram.me "
    "whatsapp.com wa.me discord.com discord.gg reddit.com medium.com github.com gitlab.com "
    "linktr.ee crunchbase.com bloomberg.com wikipedia.org yelp.com tripadvisor.com angel.co "
    "booking.com etsy.com ebay.com amazon.com kickstarter.com google.com goo.gl bit.ly "
    "tinyurl.com yellowpages.com trustpilot.com glassdoor.com indeed.com pipedrive.com "
    # hosts
    "wix.com wixsite.com wordpress.com wordpress.org blogspot.com blogger.com weebly.com "
    "squarespace.com godaddysites.com webflow.io jimdo.com jimdosite.com jimdofree.com "
    "strikingly.com site123.me tumblr.com webnode.com business.site myshopify.com shopify.com "
    "notion.site carrd.co tilda.ws ueniweb.com hubspot.com microsoft.com sharepoint.com "
    "example.com example.org example.net test.com".split()
)
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|mailto:|//)?(?:[^/@?#]*@)?([^/:?#]+)", re.IGNORECASE)
_LONGEST_HOST = 253
_RESERVED = frozenset({"example", "test", "invalid", "local", "internal"})
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def of(website_or_mail: str | None) -> str | None:
    """The registrable domain of a website or of a mail address, if it can speak for somebody."""
    text = (website_or_mail or "").strip()
    found = _HOST.match(text) if text else None
    return _registrable(found.group(1).strip().rstrip(".").lower()) if found else None


@lru_cache(maxsize=16_384)
def _registrable(host: str) -> str | None:
    if not host or len(host) > _LONGEST_HOST or _is_address(host):
        return None
    try:
        plain = host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    domain = _suffixes().privatesuffix(plain) or _reserved(plain)
    return None if domain is None or domain in _SHARED else domain


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
