"""A token that we did not sign, or that names nobody, opens no route of any service."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from shared.auth import Authenticator, Unauthenticated
from tests.security.world import OURS, Route, World, bearer
from tests.support.cluster import SECRET

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NOBODY = "00000000-0000-4000-8000-000000000000"
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def claims(**changes: Any) -> dict[str, Any]:
    """Forged when the file is read, they are sent when its turn has come: were they expired by
    then, they would be refused for that.
    """
    whole = {"sub": "1", "company_id": OURS, "exp": int(time.time()) + 86_400, "role": "admin"}
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(key: bytes = SECRET.encode(), digest: str = "sha256", **changes: Any) -> str:
    return by_hand({"alg": f"HS{digest[3:]}", "typ": "JWT"}, claims(**changes), key, digest)


def by_hand(
    header: Mapping[str, Any],
    payload: Mapping[str, Any] | bytes,
    key: bytes = SECRET.encode(),
    digest: str = "sha256",
) -> str:
    """Signed without the library, which refuses to make most of these."""
    head = f"{part(header)}.{part(payload)}"
    return f"{head}.{part(hmac.digest(key, head.encode(), digest))}"


def public(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


HEAD, PAYLOAD, SIGNATURE = signed().split(".")
HS256 = {"alg": "HS256", "typ": "JWT"}
THEIR_KEY = b"x" * 32
NOW = int(time.time())

ALGORITHMS = {
    "no alg": f"{part({'typ': 'JWT'})}.{PAYLOAD}.{SIGNATURE}",
    "alg is a list": f"{part({'alg': ['HS256']})}.{PAYLOAD}.{SIGNATURE}",
    "alg is null": f"{part({'alg': None})}.{PAYLOAD}.{SIGNATURE}",
    "another secret": signed(THEIR_KEY),
    "an empty secret": signed(b""),
    "HS384": signed(digest="sha384"),
    "HS512": signed(digest="sha512"),
    "RS256 with a key of their own": jwt.encode(claims(), RSA, "RS256"),
    "ES256 with a key of their own": jwt.encode(claims(), EC, "ES256"),
    "kid names a file": by_hand({**HS256, "kid": "../../../dev/null"}, claims(), b""),
    "kid is SQL": by_hand({**HS256, "kid": "' UNION SELECT 'x' --"}, claims(), THEIR_KEY),
    "a key inside": by_hand(
        {**HS256, "jwk": {"kty": "oct", "k": part(THEIR_KEY)}}, claims(), THEIR_KEY
    ),
    "a key elsewhere": by_hand({**HS256, "jku": "http://127.0.0.1:9/"}, claims(), THEIR_KEY),
    "a critical extension": by_hand({**HS256, "crit": ["b64"], "b64": False}, claims()),
} | {
    f"alg {none!r}, {how}": f"{part({'alg': none, 'typ': 'JWT'})}.{PAYLOAD}.{signature}"
    for none in ("none", "None", "NONE", "nOnE", "")
    for how, signature in (("signed", SIGNATURE), ("unsigned", ""))
}
SHAPES = {
    "no signature": f"{HEAD}.{PAYLOAD}.",
    "two parts": f"{HEAD}.{PAYLOAD}",
    "four parts": f"{HEAD}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}",
    "five parts": f"{HEAD}.{PAYLOAD}.{SIGNATURE}.a.b",
    "another payload": f"{HEAD}.{part(claims(company_id=OURS + 1))}.{SIGNATURE}",
    "payload is a list": by_hand(HS256, b"[]"),
    "payload is no text": by_hand(HS256, b"\xff\xfe"),
    "deep payload": by_hand(HS256, b"[" * 2_000),
    "deep and whole payload": by_hand(HS256, b"[" * 2_000 + b"]" * 2_000),
    "not base64": "***.***.***",
    "spaces": f"{HEAD} . {PAYLOAD} . {SIGNATURE}",
    "dots": "...",
}
CLAIMS = {
    "expired": signed(exp=NOW - 1),
    "expired long ago": signed(exp=0),
    "expires never": signed(exp=...),
    "expires sometime": signed(exp="tomorrow"),
    "expires at null": signed(exp=None),
    "expires at infinity": by_hand(HS256, claims(exp=float("inf"))),
    "expires at no number": by_hand(HS256, claims(exp=float("nan"))),
    "expires beyond any clock": signed(exp=10**400),
    "not yet valid": signed(nbf=NOW + 3_600),
    "valid from a word": signed(nbf="now"),
    "issued tomorrow": signed(iat=NOW + 86_400),
    "issued at a word": signed(iat="now"),
} | {
    f"{name} is {str(value)[:12]!r}": signed(**{name: value})
    for name in ("sub", "company_id")
    for value in (..., None, "", "x", -1, 1.5, True, [], {}, "1 OR 1=1", 2**63, "9" * 5000)
}
FORGED = ALGORITHMS | SHAPES | CLAIMS


def address(route: Route) -> str:
    path = route.path
    for name in path.split("{")[1:]:
        path = path.replace("{" + name.split("}")[0] + "}", NOBODY)
    return path


async def statuses(world: World, headers: Mapping[str, str]) -> dict[str, int]:
    """What each route answers, with a body that none takes."""
    answered = {}
    for route in world.routes():
        if route.auth == "bearer":
            url = world.url(route.service, address(route))
            async with world.http.request(route.method, url, headers=headers) as response:
                answered[f"{route.method} {route.path}"] = response.status
                if response.content_type != "application/json":  # a stream has no end
                    continue
                body = await response.read()
                assert json.loads(body)["success"] is (response.status < 400), body
    return answered


async def test_every_route_asks_who_is_there_before_anything_else(running: World) -> None:
    answered = await statuses(running, {})

    assert len(answered) > 10
    assert set(answered.values()) == {401}, answered


async def test_a_route_that_asks_for_nobody_is_none_of_the_api(running: World) -> None:
    open_routes = {route.path for route in running.routes() if route.auth is None}

    assert not {path for path in open_routes if path.startswith(("/api", "/webhooks"))}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_opens_no_service(running: World, name: str) -> None:
    for service in running.services:
        route = next(r for r in running.routes() if r.service == service and r.auth == "bearer")
        headers = {"Authorization": f"Bearer {FORGED[name]}"}
        url = running.url(service, address(route))
        async with running.http.request(route.method, url, headers=headers) as response:
            assert response.status in (400, 401), (service, await response.text())


@pytest.mark.parametrize(
    "forged",
    [FORGED["alg 'none', unsigned"], FORGED["another payload"], FORGED["expired"], signed(sub="")],
)
async def test_a_forged_token_opens_no_route(running: World, forged: str) -> None:
    answered = await statuses(running, {"Authorization": f"Bearer {forged}"})

    assert set(answered.values()) == {401}, answered


async def test_the_token_that_the_forged_ones_are_made_from_opens_every_service(
    running: World,
) -> None:
    answered = await statuses(running, {"Authorization": f"Bearer {HEAD}.{PAYLOAD}.{SIGNATURE}"})

    assert 401 not in answered.values(), answered


async def test_a_true_token_opens_them(running: World) -> None:
    answered = await statuses(running, bearer(OURS, role="admin"))

    assert 401 not in answered.values(), answered


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic " + signed(), signed(), "Token " + signed(), "Bearer\t."],
)
async def test_a_token_stands_behind_its_scheme(running: World, value: str) -> None:
    answered = await statuses(running, {"Authorization": value})

    assert set(answered.values()) == {401}, answered


@pytest.mark.parametrize("size", [7_000, 50_000, 2_000_000])
async def test_a_huge_token_is_refused(running: World, size: int) -> None:
    forged = FORGED["another secret"] + "A" * size
    for service in running.services:
        route = next(r for r in running.routes() if r.service == service and r.auth == "bearer")
        url = running.url(service, address(route))
        headers = {"Authorization": f"Bearer {forged}"}
        try:
            async with running.http.request(route.method, url, headers=headers) as response:
                assert response.status in (400, 401, 431)
        except ConnectionError:
            pass  # it is cut off while it still sends


def jwks(**keys: Any) -> dict[str, Any]:
    of_kind = {"RSA": jwt.algorithms.RSAAlgorithm, "EC": jwt.algorithms.ECAlgorithm}
    found = []
    for kid, key in keys.items():
        kind = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "EC"
        entry = json.loads(of_kind[kind].to_jwk(key.public_key()))
        found.append({**entry, "kid": kid})
    return {"keys": found}


@pytest.mark.parametrize("kid", [None, "one", "two", "../one", ["one"], 7, {"a": 1}])
def test_a_public_key_is_no_secret(tmp_path: Any, kid: Any) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks(one=RSA, two=EC)))
    header = {"alg": "HS256"} if kid is None else {"alg": "HS256", "kid": kid}
    for authenticator in (
        Authenticator(None, file),
        Authenticator(SecretStr(SECRET), file),
    ):
        for key in (public(RSA), public(EC), public(RSA).strip(), file.read_bytes()):
            with pytest.raises(Unauthenticated):
                authenticator.session(f"Bearer {by_hand(header, claims(), key)}")


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "two"), (EC, "ES256", "one"), (RSA, "RS256", "three"), (RSA, "PS256", "one")],
)
def test_a_key_verifies_only_tokens_of_its_kind_and_name(
    tmp_path: Any, key: Any, algorithm: str, kid: str
) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks(one=RSA, two=EC)))
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})

    with pytest.raises(Unauthenticated):
        Authenticator(SecretStr(SECRET), file).session(f"Bearer {token}")
