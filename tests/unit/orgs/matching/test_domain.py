import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import domain, profile
from services.orgs.matching.profile import Stated


@pytest.mark.parametrize(
    ("website", "registrable"),
    [
        ("http://www.acme.co.uk/about?x=1", "acme.co.uk"),
        ("acme.com", "acme.com"),
        ("SHOP.ACME.COM:8080", "acme.com"),
        ("sales@acme.de", "acme.de"),
        ("mailto:sales@acme.de", "acme.de"),
        ("https://müller.de", "xn--mller-kva.de"),
        ("//acme.fr/", "acme.fr"),
        ("acme.com.", "acme.com"),
        ("acme.com, acme.de", "acme.com"),
        ("acme.com;acme.de", "acme.com"),
        ("info@acme.de, sales@acme.com", "acme.de"),
        ("facebook.com/acme, acme.de", "acme.de"),
        ("<info@acme.de>", "acme.de"),
        ("www.acme.de (shop)", "acme.de"),
        ("https:// acme.de/a, b", "acme.de"),
        ("my_shop.acme.de", "acme.de"),
    ],
)
def test_the_registrable_domain_counts(website: str, registrable: str) -> None:
    assert domain.of(website) == registrable


@pytest.mark.parametrize(
    "website",
    [
        "someone@gmail.com",
        "https://www.linkedin.com/company/acme",
        "https://facebook.com/acme",
        "someone@yahoo.co.uk",
        "someone@hotmail.de",
        "outlook.de",
        "live.co.uk",
        "gmx.fr",
        "aol.de",
        "facebook.de/acme",
        "google.de",
        "amazon.de",
        "https://g.page/acme",
        "https://www.threads.net/@acme",
        "https://acme.blogspot.de",
        "someone@gmail.com, https://linkedin.com/in/someone",
    ],
)
def test_mail_providers_networks_and_hosts_speak_for_nobody(website: str) -> None:
    assert domain.of(website) is None


@pytest.mark.parametrize(
    "website",
    [
        *(None, "", " ", "n/a", "localhost", "10.0.0.1", "co.uk", "http://"),
        *("none, see acme.com", "Web: acme.com", "keine, siehe facebook.com", "ac_me.com"),
    ],
)
def test_what_is_no_public_domain_is_none(website: str | None) -> None:
    assert domain.of(website) is None


@pytest.mark.parametrize(
    ("name", "registrable"),
    [
        ("www.acme.com", "acme.com"),
        ("https://acme.de/about", "acme.de"),
        ("sales@acme.de", "acme.de"),
        ("someone@gmail.com", None),
        ("Acme", None),
        ("Acme.com Inc", None),
        ("Co.KG", None),
        ("Acme.Ltd", None),
    ],
)
def test_a_name_that_is_an_address_names_its_domain(name: str, registrable: str | None) -> None:
    assert domain.named(name) == registrable


def test_a_website_that_is_stated_counts_more_than_one_that_is_the_name() -> None:
    assert profile.of(Stated("acme.com")).domain == "acme.com"
    assert profile.of(Stated("acme.com", website="acme.de")).domain == "acme.de"


@given(st.text())
def test_any_text_is_read_and_a_domain_is_its_own_domain(website: str) -> None:
    found = domain.of(website)

    assert found is None or domain.of(found) == found
