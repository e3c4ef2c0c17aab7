"""Issues JWTs for users of the API."""

from datetime import datetime, timedelta

import jwt

ALGORITHM = "HS256"


def issue(
    secret: str,
    *,
    company: int,
    user: str,
    now: datetime,
    lasts: timedelta,
    role: str | None = None,
) -> str:
    claims: dict[str, object] = {
        "sub": user,
        "company_id": company,
        "iat": now,
        "exp": now + lasts,
    }
    if role is not None:
        claims["role"] = role
    return jwt.encode(claims, secret, algorithm=ALGORITHM)
