"""What may be asked, and what is refused."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from services.query import cursor
from services.query.cursor import Key
from services.query.request import Filters, ListQuery, ListRequest, OrganizationsQuery
from services.query.searching.request import SearchQuery

ORGANIZATION = UUID("00000000-0000-5000-8000-000000000001")
KEY = Key(True, 3, 4, 5, ORGANIZATION)


def test_nothing_asked_is_the_first_twenty_of_all() -> None:
    assert ListQuery.model_validate({}).request() == ListRequest(
        Filters(None, (0, 10), None), page=1, limit=20, after=None
    )


def test_everything_asked_is_understood() -> None:
    asked = ListQuery.model_validate(
        {
            "page": "3",
            "limit": "500",
            "organizationId": str(ORGANIZATION),
            "warmness": "7-10",
            "inCampaign": "false",
            "cursor": cursor.encode(KEY),
        }
    )

    assert asked.request() == ListRequest(
        Filters(ORGANIZATION, (7, 10), False), page=3, limit=500, after=KEY
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"page": "0"},
        {"page": "-1"},
        {"page": "x"},
        {"page": "99999999999999999999"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "1.5"},
        {"limit": ""},
        {"warmness": "0-10"},
        {"warmness": "hot"},
        {"organizationId": "1"},
        {"inCampaign": "perhaps"},
        {"cursor": "AAAA"},
        {"cursor": cursor.encode(KEY) + "="},
        {"sort": "name"},
    ],
    ids=str,
)
def test_what_is_out_of_bounds_or_not_known_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ListQuery.model_validate(asked)


@pytest.mark.parametrize("query", [ListQuery, SearchQuery, OrganizationsQuery])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_filter_or_cursor_is_not_given(query: type[BaseModel], blank: str) -> None:
    text = {"q": "anna"} if query is SearchQuery else {}
    optional = {"organizationId", "warmness", "inCampaign", "cursor"}
    known = {field.alias for field in query.model_fields.values()}

    asked = query.model_validate(text | dict.fromkeys(optional & known, blank))

    assert optional & known
    assert asked == query.model_validate(text)


@pytest.mark.parametrize(("page", "limit", "end"), [(1, 500, 500), (4, 300, 1000), (50, 20, 1000)])
def test_the_last_page_of_a_search_ends_where_pages_reach(page: int, limit: int, end: int) -> None:
    asked = SearchQuery.model_validate({"q": "anna", "page": page, "limit": limit}).request()

    assert (asked.start, asked.end) == ((page - 1) * limit, end)


@pytest.mark.parametrize(("page", "limit"), [(3, 500), (5, 300), (51, 20)])
def test_a_page_beyond_what_pages_reach_is_refused(page: int, limit: int) -> None:
    with pytest.raises(ValidationError):
        SearchQuery.model_validate({"q": "anna", "page": page, "limit": limit})


requests = st.builds(
    ListRequest,
    st.builds(
        Filters,
        st.none() | st.just(ORGANIZATION),
        st.sampled_from([(0, 10), (0, 3)]),
        st.sampled_from([None, True, False]),
    ),
    page=st.integers(1, 3),
    limit=st.integers(1, 3),
    after=st.none() | st.just(KEY),
)


@given(requests, requests)
def test_two_requests_have_the_same_name_only_if_they_ask_the_same(
    one: ListRequest, other: ListRequest
) -> None:
    assert (one.name == other.name) == (one == other)


def test_a_search_is_bounded_text() -> None:
    assert OrganizationsQuery.model_validate({"search": "  Acme "}).request().search == "Acme"
    with pytest.raises(ValidationError):
        OrganizationsQuery.model_validate({"search": "x" * 101})
    with pytest.raises(ValidationError):
        OrganizationsQuery.model_validate({"search": "a\0b"})
