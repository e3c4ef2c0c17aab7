import pytest

from services.query.searching import asking, essentials


@pytest.mark.parametrize(
    "text",
    [
        *("Dr. Anna Kurz", "Herr Prof. Dr.-Ing. Anna Kurz", "Mme Anna Kurz", "Dr.Anna Kurz"),
        *("Anna Kurz, Ph.D.", "Anna Kurz MBA", "Señora Anna Kurz", "mag. anna kurz"),
        *("Anna Kurz GmbH & Co. KG", "Anna Kurz, Inc.", "Anna Kurz S.p.A.", "Anna Kurz S. A."),
        *("Anna Kurz and Co.", "Anna Kurz GmbH und Co. KG", "Herr und Frau Anna Kurz"),
        *("Anna Kurz A/S", "anna kurz sp. z o.o.", "Anna Kurz s.r.o.", "ANNA KURZ LTD."),
    ],
)
def test_titles_and_legal_forms_are_left_out(text: str) -> None:
    rest = essentials.of(text)

    assert rest is not None
    assert asking.parse(rest) == asking.parse("Anna Kurz")


@pytest.mark.parametrize(
    "text",
    [
        *("Anna Kurz", "li@kurz.co", "kurz.co", "co-founder", "Drexler", "Ingrid", "Frauke"),
        *("Maggie", "dr.kurz@kurz.com", "kurz-ag.de", "li@kurz-gmbh.de"),
    ],
)
def test_there_is_nothing_to_leave_out(text: str) -> None:
    assert essentials.of(text) is None


@pytest.mark.parametrize("text", ["Dr.", "GmbH", "Herr Dr. Co."])
def test_nothing_may_be_left(text: str) -> None:
    rest = essentials.of(text)

    assert rest is not None
    assert not asking.parse(rest).needs
