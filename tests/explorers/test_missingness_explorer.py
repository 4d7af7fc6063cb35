import math

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm

from helpers.explorers import extreme_settings, missingness
from helpers.explorers.engine import BlittedFigure
from helpers.explorers.missingness import AT_RANDOM, BY_LIMIT, BY_SEVERITY, BY_VALUE

LIMITS = [0.5, 1.0, 3.0, 4.0, 10.0]
NOISES = [0.0, 0.2, 1.0]


def contains_zero(estimate):
    return estimate.low <= 0 <= estimate.high


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("noise", NOISES)
def test_mean_above_a_detection_limit_is_the_truncated_normal_mean(limit, noise):
    spread = math.hypot(1.0, noise)
    start = (math.log(limit) - missingness.TRUE_MEAN) / spread
    law = truncnorm(start, math.inf, loc=missingness.TRUE_MEAN, scale=spread)
    outcome = missingness.model(BY_LIMIT, limit, noise)
    standard_error = law.std() / math.sqrt(len(outcome.observed))
    observed_mean = outcome.estimates["complete cases"].bias + missingness.TRUE_MEAN
    assert abs(observed_mean - law.mean()) < 3 * standard_error
    assert outcome.observed.min() >= math.log(limit)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("mechanism", "analysis"),
    [
        (AT_RANDOM, "complete cases"),
        (AT_RANDOM, "adjusted for severity"),
        (BY_SEVERITY, "adjusted for severity"),
        (BY_LIMIT, "censored likelihood"),
    ],
)
def test_an_analysis_that_knows_the_mechanism_has_no_bias(mechanism, analysis, limit, noise):
    assert contains_zero(missingness.model(mechanism, limit, noise).estimates[analysis])


@pytest.mark.parametrize("mechanism", [BY_SEVERITY, BY_VALUE, BY_LIMIT])
def test_an_analysis_that_ignores_the_mechanism_is_biased_upwards(mechanism):
    estimates = missingness.model(mechanism, 3.0, 0.2).estimates
    assert estimates["complete cases"].low > 0.2
    assert estimates["mean imputed"].bias == estimates["complete cases"].bias


def test_a_censored_likelihood_errs_where_values_are_missing_by_chance():
    assert missingness.model(AT_RANDOM, 3.0, 0.2).estimates["censored likelihood"].high < 0


@pytest.mark.parametrize("mechanism", [AT_RANDOM, BY_SEVERITY, BY_VALUE, BY_LIMIT])
def test_every_mechanism_hides_about_as_much_as_the_limit_would(mechanism):
    shares = [missingness.model(mechanism, limit, 0.2).missing for limit in LIMITS]
    expected = [missingness.model(BY_LIMIT, limit, 0.2).missing for limit in LIMITS]
    np.testing.assert_allclose(shares, expected, atol=0.05)


def test_mean_imputation_is_what_filling_the_gaps_gives():
    observed = torch.tensor([1.0, 4.0, 2.5], dtype=torch.float64)
    filled = torch.cat([observed, observed.mean().repeat(5)])
    mean, standard_error, spread = missingness.impute_mean(observed, patients=8)
    assert mean == pytest.approx(float(filled.mean()))
    assert spread == pytest.approx(float(filled.std()))
    assert standard_error == pytest.approx(float(filled.std()) / math.sqrt(8))


@pytest.mark.parametrize("mechanism", [AT_RANDOM, BY_SEVERITY, BY_VALUE, BY_LIMIT])
def test_a_limit_is_drawn_only_where_the_mechanism_has_one(mechanism):
    picture = missingness.Picture()
    picture.draw(missingness.model(mechanism, 2.0, 0.2))
    (line,) = (line for line in picture.figure.axes[0].get_lines() if line.get_label() == "limit L")
    assert np.isfinite(line.get_xdata()).all() == (mechanism == BY_LIMIT)


def test_same_settings_give_the_same_outcome():
    first, second = (missingness.model(BY_VALUE, 3.0, 0.2) for _ in range(2))
    np.testing.assert_array_equal(first.observed, second.observed)
    assert first.estimates == second.estimates


@pytest.mark.parametrize("settings", extreme_settings(missingness.CONTROLS), ids=str)
def test_every_corner_is_finite_and_stays_on_the_figure(settings):
    outcome = missingness.model(**settings)
    picture = missingness.Picture()
    picture.draw(outcome)
    assert BlittedFigure(picture.figure, picture.moving).png()
    for estimate in outcome.estimates.values():
        assert missingness.BIAS_RANGE[0] < estimate.low < estimate.high < missingness.BIAS_RANGE[1]
    assert "nan" not in picture.describe(outcome)
