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

from shared import jwks as jwks_file
from shared.auth import Authenticator, Identity, Unauthenticated, token_id
from shared.errors import Misconfigured
from tests.support.cost import cost_s

SECRET = "a-secret-of-at-least-thirty-two-bytes!"
ASKER = Identity(7001, 11, False)


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
    assert authenticator.session(bearer(company_id=company_id)).identity == ASKER


def test_an_admin_is_one_only_by_role(authenticator: Authenticator) -> None:
    assert authenticator.session(bearer(role="admin")).identity.is_admin
    assert not authenticator.session(bearer(role="Admin")).identity.is_admin


@pytest.mark.parametrize("name", ["exp", "sub", "company_id"])
def test_a_token_without_a_claim_is_refused(authenticator: Authenticator, name: str) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.session(bearer(**{name: None}))


@pytest.mark.parametrize(
    "changes",
    [{"sub": "ann"}, {"company_id": "x"}, {"company_id": True}, {"company_id": -1}, {"sub": ""}],
)
def test_a_token_that_names_no_number_is_refused(
    authenticator: Authenticator, changes: dict[str, object]
) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.session(bearer(**changes))


@pytest.mark.parametrize(
    "spelled", ["1_0", "+7", " 7", "7\n", "\u0667", "\uff17", "7.0", "1e3", "0x7"]
)
@pytest.mark.parametrize("claim", ["sub", "company_id"])
def test_a_number_that_is_not_written_in_digits_names_nobody(
    authenticator: Authenticator, claim: str, spelled: str
) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.session(bearer(**{claim: spelled}))


def test_a_token_is_remembered_once_in_however_many_ways_its_header_is_spelled(
    authenticator: Authenticator,
) -> None:
    token = bearer().removeprefix("Bearer ")
    spelled = [f"{scheme} {' ' * n}{token}" for scheme in ("Bearer", "bearer") for n in range(20)]

    sessions = {authenticator.session(each) for each in spelled}

    assert len(sessions) == 1
    assert len(authenticator._known) == 1


def test_an_expired_token_is_refused(authenticator: Authenticator) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        authenticator.session(bearer(exp=int(time.time()) - 1))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_an_issuers_clock_may_be_a_little_ahead_of_ours(
    authenticator: Authenticator, claim: str
) -> None:
    ahead, far_ahead = (int(time.time()) + seconds for seconds in (10, 3_600))

    assert authenticator.session(bearer(**{claim: ahead})).identity == ASKER
    with pytest.raises(Unauthenticated):
        authenticator.session(bearer(**{claim: far_ahead}))


def test_a_token_verified_once_is_refused_once_it_has_expired(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bearer()
    authenticator.session(token)

    later = time.time() + 61
    monkeypatch.setattr("shared.auth.time.time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", _clock_at(later))
    with pytest.raises(Unauthenticated, match="expired"):
        authenticator.session(token)


def _clock_at(instant: float) -> Any:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(instant, tz)

    return Clock


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x.y.z", "Basic abc", "é"])
def test_no_token_is_refused(authenticator: Authenticator, authorization: str | None) -> None:
    with pytest.raises(Unauthenticated):
        authenticator.session(authorization)


def test_an_unsigned_token_is_refused(authenticator: Authenticator) -> None:
    token = jwt.encode(claims(), None, algorithm="none")

    with pytest.raises(Unauthenticated):
        authenticator.session(f"Bearer {token}")


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

    assert Authenticator(None, file).session(f"Bearer {token}").identity == ASKER


def public(key: Any, algorithm: str, **more: object) -> dict[str, Any]:
    """As a set of keys has it."""
    written = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    return {**written, **more}


def test_keys_that_are_not_understood_are_passed_over(tmp_path: Path) -> None:
    ours, others = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)
    )
    curve = ec.generate_private_key(ec.SECP384R1())
    file = tmp_path / "jwks.json"
    strange = [
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        "a key",
        public(others, "RS256", use="enc"),
        public(others, "RS256", alg="RSA-OAEP"),
        json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(others)),
        public(curve, "ES384"),
    ]
    file.write_text(json.dumps({"keys": [*strange, public(ours, "RS256", use="sig")]}))

    authenticator = Authenticator(None, file)

    assert authenticator.session(bearer(ours, "RS256")).identity == Identity(7001, 11, False)
    with pytest.raises(Unauthenticated):
        authenticator.session(bearer(others, "RS256"))


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", '{"keys": {}}', '{"keys": []}', '{"keys": [{"kty": "oct"}]}']
)
def test_a_file_without_a_key_of_use_is_refused_in_a_sentence(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(Misconfigured, match=r"^JWT_JWKS_FILE, .*jwks\.json: "):
        Authenticator(None, file)


def test_a_jwks_file_that_changes_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jwks_file, "LOOK_S", 0.0)
    old, new = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public(old, "RS256")]}))
    authenticator = Authenticator(None, file)
    token = bearer(old, "RS256")
    assert authenticator.session(token).identity == Identity(7001, 11, False)

    file.write_text("half a fi")
    for _ in range(3):
        assert authenticator.session(token).identity == Identity(7001, 11, False)
    assert [record.message for record in caplog.records] == ["jwks_refused"]

    file.write_text(json.dumps({"keys": [public(new, "RS256")]}))
    assert authenticator.session(bearer(new, "RS256")).identity == Identity(7001, 11, False)
    with pytest.raises(Unauthenticated):
        authenticator.session(token)


def test_a_token_that_does_not_name_its_key_may_be_by_any_of_its_kind(tmp_path: Path) -> None:
    private = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
    kind = jwt.get_algorithm_by_name("RS256")
    keys = [json.loads(kind.to_jwk(key.public_key())) for key in private[:2]]
    file = tmp_path / "jwks.json"
    for listed in (keys, [key | {"kid": str(n)} for n, key in enumerate(keys)]):
        file.write_text(json.dumps({"keys": listed}))
        authenticator = Authenticator(None, file)
        for key in private[:2]:
            found = authenticator.session(bearer(key, "RS256"))
            assert found.identity == ASKER
        with pytest.raises(Unauthenticated, match="not valid"):
            authenticator.session(bearer(private[2], "RS256"))


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

    assert session.identity == ASKER
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
        Authenticator(None, file).session(f"Bearer {token}")


@pytest.mark.parametrize("secret", [None, SecretStr("")])
def test_a_service_without_any_key_does_not_start(secret: SecretStr | None) -> None:
    with pytest.raises(Misconfigured, match="JWT_SECRET"):
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
        authenticator.session(token)


def test_a_verified_token_costs_little() -> None:
    authenticator = Authenticator(SecretStr(SECRET), None, lambda _: None)
    token = bearer()
    authenticator.session(token)

    assert cost_s(lambda: authenticator.session(token)) < 10e-6
