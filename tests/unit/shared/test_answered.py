"""Answered requests are counted as the client library would count them."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.answered import Answered

BOUNDS_S = (0.001, 0.25, 1.0)
ROUTES = ("/a", "/b", "/never-asked")
REQUESTS = st.tuples(
    st.sampled_from(ROUTES[:2]),
    st.sampled_from(("GET", "POST")),
    st.sampled_from((200, 503)),
    st.sampled_from((0.0, *BOUNDS_S, 2.0)) | st.floats(0, 3),
)


@given(st.lists(REQUESTS))
def test_requests_are_shown_as_by_a_counter_and_a_histogram(
    requests: list[tuple[str, str, int, float]],
) -> None:
    theirs = CollectorRegistry()
    labels = ["method", "route", "status"]
    number = Counter("my500_http_requests_total", "Requests answered", labels, registry=theirs)
    seconds = Histogram(
        "my500_http_request_seconds",
        "Time to answer a request",
        ["route"],
        buckets=BOUNDS_S,
        registry=theirs,
    )
    ours = CollectorRegistry()
    answered = Answered(BOUNDS_S)
    ours.register(answered)
    for route in ROUTES:
        answered.route(route)
        seconds.labels(route)

    for route, method, status, took_s in requests:
        answered.route(route).add(method, status, took_s)
        number.labels(method, route, status).inc()
        seconds.labels(route).observe(took_s)

    assert shown(ours) == shown(theirs)


def shown(registry: CollectorRegistry) -> list[str]:
    """Without when each number was created, which is not of interest."""
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)
