"""The score's coefficients and thresholds. Data, written by `bench.fit_matching`.

Fitted 2026-11-26 on 58324 pairs, 7186 of them one organization,
of issuers.csv.gz and distinct-entities.csv.gz: the half for which no figure is reported.
A change of any number here is another matcher: raise MATCHER_VERSION.
"""

from collections.abc import Mapping

MATCHER_VERSION = 7

AUTOMATIC = 0.9
"""From here on a name links automatically, if another fact corroborates it and none forbids it."""
REVIEW = 0.25
"""From here on a person is asked."""
CLOSE = 0.05
"""Two organizations whose scores are this close can't be told apart."""

INTERCEPT = -9.517
COEFFICIENTS: Mapping[str, float] = {
    "same_words": 1.398,
    "shared": -0.148,
    "contained": 1.680,
    "evidence": 4.617,
    "rarest_shared": 8.496,
    "missing_from_one": -3.217,
    "missing_from_both": -5.062,
    "first_word": 1.266,
    "letters": 1.080,
    "same_form": 0.738,
    "form_contradicts": -2.769,
    "form_on_one_side": 0.860,
    "same_numbers": -0.157,
    "numbers_differ": -2.533,
    "number_on_one_side": 0.000,
    "word_on_one_side": -1.500,
    "former_name": 1.500,
    "same_domain": 1.500,
    "domain_differs": -1.500,
    "same_country": 0.300,
    "country_differs": -1.500,
    "same_postcode": 1.000,
    "postcode_differs": -0.300,
    "same_city": 0.500,
    "city_differs": -0.300,
    "same_phone": 2.000,
}
