import pytest

from shared.pipedrive import costs
from shared.pipedrive.costs import Call


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2/persons", Call("GET /v2/persons", 10, False)),
        ("GET", "/v2/persons/12", Call("GET /v2/persons/{id}", 1, False)),
        ("POST", "/v2/persons", Call("POST /v2/persons", 5, False)),
        ("DELETE", "/v2/persons/12", Call("DELETE /v2/persons/{id}", 3, False)),
        ("GET", "/v2/deals/archived", Call("GET /v2/deals/archived", 20, False)),
        ("GET", "/v2/personFields", Call("GET /v2/personFields", 10, False)),
        ("GET", "/v2/organizations/search", Call("GET /v2/organizations/search", 20, True)),
        ("GET", "/v2/itemSearch/field", Call("GET /v2/itemSearch/field", 20, True)),
        ("GET", "/v1/leads", Call("GET /v1/leads", 20, False)),
        ("GET", "/v1/leads/archived", Call("GET /v1/leads/archived", 40, False)),
        (
            "GET",
            "/v1/leads/adf21080-0e10-11eb-879b-05d71fb426ec",
            Call("GET /v1/leads/{id}", 2, False),
        ),
        ("GET", "/v1/users", Call("GET /v1/users", 20, False)),
        ("GET", "/v1/users/me", Call("GET /v1/users/me", 2, False)),
        ("GET", "/v1/leadLabels", Call("GET /v1/leadLabels", 10, False)),
        ("GET", "/v1/webhooks", Call("GET /v1/webhooks", 10, False)),
        ("POST", "/v1/webhooks", Call("POST /v1/webhooks", 10, False)),
        ("DELETE", "/v1/webhooks/7", Call("DELETE /v1/webhooks/{id}", 6, False)),
    ],
)
def test_a_call_costs_what_pipedrive_says_and_its_name_holds_no_ids(
    method: str, path: str, expected: Call
) -> None:
    assert costs.call(method, path) == expected
