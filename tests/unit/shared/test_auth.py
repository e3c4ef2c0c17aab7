"""Only tokens signed by us, unexpired and complete, speak for a user."""

import json
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from shared.auth import Authenticator, Identity, Unauthenticated, token_id
from tests.support.cost import cost_s

SECRET = "a-secret-of-at-least-thirty-two-bytes!"


def claims(**changes: object) -> dict[str, Any]:
    whole = {"sub": "11", "company_id": 7001, "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def bearer(key: Any = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    return "Bearer " + jwt.encode(claims(**changes), key, algorithm=algorithm)


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(SecretStr(SECRET), None)


@pytest.mark.parametrize("company_id", [7001, "7001"])
def test_a_token_names_company_and_user(
    authenticator: Authenticator, company_id: int | str
) -> None:
    assert authenticator.identify(bearer(company_id=company_id)) == Identity(7001, 11, False)


def test_an_admin_is_one_only_by_role(authenticator: Authenticator) -> None:
    assert authenticator.identify(bearer(role="admin")).is_admin
    assert not authenticator.identify(bearer(role="Admin")).is_admin


@pytest.mark.parametrize("name", ["exp", "sub", "company_id"])
def test_a_token_without_a_claim_is_refused(authenticator: Authenticator, name: str) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(**{name: None}))


@pytest.mark.parametrize(
    "changes",
    [{"sub": "ann"}, {"company_id": "x"}, {"company_id": True}, {"company_id": -1}, {"sub": ""}],
)
def test_a_token_that_names_no_number_is_refused(
    authenticator: Authenticator, changes: dict[str, object]
) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(**changes))


def test_an_expired_token_is_refused(authenticator: Authenticator) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        authenticator.identify(bearer(exp=int(time.time()) - 1))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_an_issuers_clock_may_be_a_little_ahead_of_ours(
    authenticator: Authenticator, claim: str
) -> None:
    ahead, far_ahead = (int(time.time()) + seconds for seconds in (10, 3_600))

    assert authenticator.identify(bearer(**{claim: ahead})) == Identity(7001, 11, False)
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(**{claim: far_ahead}))


def test_a_token_verified_once_is_refused_once_it_has_expired(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bearer()
    authenticator.identify(token)

    later = time.time() + 61
    monkeypatch.setattr("shared.auth.time.time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", _clock_at(later))
    with pytest.raises(Unauthenticated, match="expired"):
        authenticator.identify(token)


def _clock_at(instant: float) -> Any:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(instant, tz)

    return Clock


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x.y.z", "Basic abc", "é"])
def test_no_token_is_refused(authenticator: Authenticator, authorization: str | None) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.identify(authorization)


def test_an_unsigned_token_is_refused(authenticator: Authenticator) -> None:
    token = jwt.encode(claims(), None, algorithm="none")

    with pytest.raises(Unauthenticated):
        authenticator.identify(f"Bearer {token}")


@pytest.fixture
def jwks(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    private = {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
    }
    keys = []
    for name, key in private.items():
        kind = jwt.get_algorithm_by_name(name)
        keys.append({**json.loads(kind.to_jwk(key.public_key())), "kid": name})
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    return file, private


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_of_the_jwks_file_verifies(
    jwks: tuple[Path, dict[str, Any]], algorithm: str
) -> None:
    file, private = jwks
    token = jwt.encode(
        claims(), private[algorithm], algorithm=algorithm, headers={"kid": algorithm}
    )

    assert Authenticator(None, file).identify(f"Bearer {token}") == Identity(7001, 11, False)


def test_a_token_that_does_not_name_its_key_may_be_by_any_of_its_kind(tmp_path: Path) -> None:
    private = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
    kind = jwt.get_algorithm_by_name("RS256")
    keys = [json.loads(kind.to_jwk(key.public_key())) for key in private[:2]]
    file = tmp_path / "jwks.json"
    for listed in (keys, [key | {"kid": str(n)} for n, key in enumerate(keys)]):
        file.write_text(json.dumps({"keys": listed}))
        authenticator = Authenticator(None, file)
        for key in private[:2]:
            found = authenticator.identify(bearer(key, "RS256"))
            assert found == Identity(7001, 11, False)
        with pytest.raises(Unauthenticated, match="not valid"):
            authenticator.identify(bearer(private[2], "RS256"))


@pytest.mark.parametrize(
    "odd",
    [
        {"jti": "\ud800"},
        {"iat": -(10**18)},
        {"iat": -1e300},
        {"iat": "-99999999999999999999"},
        {"jti": "\ud800" * 5, "iat": -0.5},
    ],
)
def test_odd_claims_of_a_token_signed_by_us_are_read(
    authenticator: Authenticator, odd: dict[str, Any]
) -> None:
    session = authenticator.session(bearer(**odd))

    assert session.identity == Identity(7001, 11, False)
    assert session.issued_at == 0
    assert len(session.token_id) == 32


def test_a_public_key_never_verifies_as_a_secret(jwks: tuple[Path, dict[str, Any]]) -> None:
    file, private = jwks
    public = private["RS256"].public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "RS256"}).encode())
    body = jwt.utils.base64url_encode(json.dumps(claims()).encode())
    mac = jwt.get_algorithm_by_name("HS256")
    signature = mac.sign(head + b"." + body, pem)
    token = b".".join([head, body, jwt.utils.base64url_encode(signature)]).decode()

    with pytest.raises(Unauthenticated):
        Authenticator(None, file).identify(f"Bearer {token}")


@pytest.mark.parametrize("secret", [None, SecretStr("")])
def test_a_service_without_any_key_does_not_start(secret: SecretStr | None) -> None:
    with pytest.raises(ValueError, match="JWT_SECRET"):
        Authenticator(secret, None)


def test_a_token_is_named_by_its_id_or_else_by_what_is_signed() -> None:
    authenticator = Authenticator(SecretStr(SECRET), None)
    named = authenticator.session(bearer(jti="one"))
    again = authenticator.session(bearer(jti="one", role="admin"))
    unnamed = authenticator.session(bearer())
    other = authenticator.session(bearer(role="admin"))

    assert named.token_id == again.token_id == token_id("one")
    assert len({named.token_id, unnamed.token_id, other.token_id}) == 3


def test_a_verified_token_is_refused_as_soon_as_someone_denies_it() -> None:
    refused: list[str] = []
    authenticator = Authenticator(
        SecretStr(SECRET),
        None,
        lambda session: "Revoked." if session.token_id in refused else None,
    )
    token = bearer(jti="one")
    session = authenticator.session(token)

    refused.append(session.token_id)

    with pytest.raises(Unauthenticated, match="Revoked"):
        authenticator.identify(token)


def test_a_verified_token_costs_little() -> None:
    authenticator = Authenticator(SecretStr(SECRET), None, lambda _: None)
    token = bearer()
    authenticator.identify(token)

    assert cost_s(lambda: authenticator.identify(token)) < 10e-6
