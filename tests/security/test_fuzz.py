"""Every service, asked all that its own document allows and what it forbids, never breaks.

`FUZZ_CASES` says how many cases there are in all. Examples follow from the code of the test alone,
so a failure comes again.
"""

import asyncio
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from shared.positions import Position, encode
from tests.security.world import EVENTS, OURS, SEED, SERVICES, USER, World, bearer, lived_in
from tests.support.pipe import authorization, life, truth

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CASES = int(os.environ.get("FUZZ_CASES", "2000"))
HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
TIMEOUT_S = 20
STREAMS = 5
STREAM_S = 2
SOME_HAVE_FEW = 1.2
"""Of some operations there are fewer different cases than asked for."""

PEOPLE = map(str, itertools.count(31_337))
AFTER = encode([Position("pipedrive.deals", 0, 0)])
CONTACT = truth(OURS, life(SEED, EVENTS, OURS))[USER][0]["id"]
"""As services hand them out: no document can say how to make one up."""

Answers = Counter[tuple[str, int]]


def operations(world: World) -> Iterator[tuple[str, Any]]:
    """All of them; a sync last: it finds that the double never had what the webhooks told of."""
    for service in sorted(SERVICES, key="ingest".__eq__):
        schema = schemathesis.openapi.from_dict(without_security(world.documents[service]))
        known = [found.ok() for found in schema.get_all_operations()]
        for operation in sorted(known, key=lambda each: each.path.startswith("/api/sync")):
            yield service, operation


def without_security(document: Mapping[str, Any]) -> dict[str, Any]:
    """Else credentials are made up, too; what becomes of wrong ones is another test's."""
    open_to_all: dict[str, Any] = json.loads(json.dumps(document))
    for path in open_to_all["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return open_to_all


@pytest.fixture
async def untouched(infra: Any, tmp_path: Path) -> AsyncIterator[World]:
    """Of this test alone: a sync that another one asked for would have removed the contacts."""
    async with lived_in(infra, tmp_path) as made:
        yield made


async def test_no_request_breaks_a_service(untouched: World) -> None:
    # In a thread, as what stands for Pipedrive is served by this event loop.
    answers, broken = await asyncio.to_thread(fuzz_all, untouched)

    assert not broken, "\n\n".join(broken)
    asked = sum(answers.values())
    assert asked >= CASES, answers
    strangers = {name: n for (name, status), n in answers.items() if status == 401}
    assert sum(strangers.values()) < asked / 100, strangers
    done = {name for name, status in answers if status < 300}
    assert len(done) > len({name for name, _ in answers}) * 2 / 3, answers


def fuzz_all(world: World) -> tuple[Answers, list[str]]:
    """How often each operation answered with each status, and what broke it."""
    known = list(operations(world))
    told = [operation for _, operation in known if takes_anything(operation)]
    each = math.ceil(SOME_HAVE_FEW * CASES / (2 * len(told)))
    answers: Answers = Counter()
    broken: list[str] = []
    with requests.Session() as session:
        for service, operation in known:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                most = STREAMS if operation.path.endswith("/stream") else each
                try:
                    fuzz(operation, mode, most, Asker(world, service, session, answers))
                except AssertionError as error:
                    broken.append(str(error))
    return answers, broken


def takes_anything(operation: Any) -> bool:
    """Of one without parameters and body there is but one case."""
    definition = operation.definition.raw
    return bool(definition.get("parameters") or definition.get("requestBody"))


@dataclass(frozen=True, slots=True)
class Asker:
    world: World
    service: str
    session: requests.Session
    answers: Answers

    def __call__(self, case: Case) -> None:
        response = case.call(
            base_url=self.world.url(self.service),
            headers=credentials(case.path),
            session=self.session,
            timeout=TIMEOUT_S,
        )
        self.answers[f"{case.method} {case.operation.path}", response.status_code] += 1
        assert response.status_code < 500, self.told(case, response)
        kind = response.headers.get("content-type", [""])[0]
        if kind.startswith("application/json") and not case.path.endswith("openapi.json"):
            assert response.json()["success"] is (response.status_code < 400), self.told(
                case, response
            )

    def told(self, case: Case, response: Any) -> str:
        log = self.world.services[self.service].log.read_text().splitlines()[-3:]
        answer = f"{response.status_code} {response.content[:500]!r}"
        return "\n".join([case.as_curl_command(), answer, *log])


def credentials(path: str) -> dict[str, str]:
    if path.startswith("/webhooks"):
        return {"Authorization": authorization(OURS)}
    # Who asks to be logged out is.
    user = next(PEOPLE) if path.endswith("/revoke") else USER
    # A stream ends with its token, and not before.
    life = {"exp": int(time.time()) + STREAM_S} if path.endswith("/stream") else {}
    return bearer(OURS, user, role="admin", **life)


def use_what_is_there(case: Case) -> None:
    if "after" in case.query:
        case.query["after"] = AFTER
    for name in case.path_parameters:
        if "/contacts/{id}" in case.path or name == "contactId":
            case.path_parameters[name] = CONTACT
    if isinstance(case.body, dict):
        case.body.update(
            (name, value)
            for name, value in (("contactId", CONTACT), ("contactIds", [CONTACT]))
            if name in case.body
        )


def fuzz(operation: Any, mode: GenerationMode, examples: int, ask: Asker) -> None:
    """An operation with nothing to get wrong has no wrong cases."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=HEALTH,
        phases=[Phase.generate, Phase.shrink],
    )
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        # Numbers are also drawn from those that stand in the tests: who fuzzes stays logged in.
        body = case.body if isinstance(case.body, dict) else {}
        assume(not (case.path.endswith("/revoke") and body.get("userId") == int(USER)))
        if mode is GenerationMode.POSITIVE:
            use_what_is_there(case)
        ask(case)

    try:
        run()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise
