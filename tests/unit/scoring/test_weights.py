"""A company's rates, as good as it has written them."""

import math
from typing import Any

import pytest
from pydantic import SecretStr

from services.scoring import weights
from services.scoring.weights import Rates
from shared.tenants import Tenant


def a_tenant(**settings: Any) -> Tenant:
    return Tenant(company_id=1, webhook_user="u", webhook_password=SecretStr("p"), **settings)


def test_without_a_currency_nothing_is_converted() -> None:
    assert weights.rates_of(a_tenant(currency_rates={"USD": 0.5})) == Rates()
    assert weights.DEFAULT.rates.of("USD") is None


def test_the_own_currency_needs_no_rate() -> None:
    rates = weights.rates_of(a_tenant(currency=" eur ", currency_rates={"usd": 0.5}))

    assert (rates.of("EUR"), rates.of("USD"), rates.of("XAU"), rates.of("")) == (
        1,
        0.5,
        None,
        None,
    )


@pytest.mark.parametrize("absurd", [math.nan, math.inf, -1.0, 0.0, 1e300])
def test_an_absurd_rate_is_none(absurd: float) -> None:
    rates = weights.rates_of(a_tenant(currency="EUR", currency_rates={"USD": absurd}))

    assert rates.of("USD") is None
