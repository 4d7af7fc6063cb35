import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm

from helpers.observation import CensoredGaussian, fit_censored_gaussian

LIMIT = 0.7


def measured(share_below, count=400):
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(count, generator=generator, dtype=torch.float64)
    return values - values.quantile(share_below) + LIMIT


@pytest.mark.parametrize("share_below", [0.01, 0.3, 0.9, 0.99])
def test_no_other_mean_and_spread_are_more_likely(share_below):
    values = measured(share_below)
    detected = values[values > LIMIT]
    below = len(values) - len(detected)

    def negative_log_likelihood(parameters):
        mean, spread = parameters[0], math.exp(parameters[1])
        return -norm.logpdf(detected, mean, spread).sum() - below * norm.logcdf(LIMIT, mean, spread)

    search = minimize(
        negative_log_likelihood, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    assert fit_censored_gaussian(detected, below, LIMIT).mean == pytest.approx(search.x[0], abs=1e-5)


def test_standard_error_is_the_curvature_of_the_books_own_likelihood():
    values = measured(0.4)
    detected = values[values > LIMIT]
    recorded = values.clamp(min=LIMIT)
    limit = torch.tensor(LIMIT, dtype=torch.float64)
    found = fit_censored_gaussian(detected, len(values) - len(detected), LIMIT)

    def log_likelihood(mean, spread):
        return CensoredGaussian(mean, spread, limit).log_prob(recorded).sum()

    spreads = torch.linspace(0.5, 2.0, 3001, dtype=torch.float64)
    at_mean = torch.tensor(found.mean, dtype=torch.float64)
    best = spreads[torch.stack([log_likelihood(at_mean, spread) for spread in spreads]).argmax()]
    hessian = torch.autograd.functional.hessian(log_likelihood, (at_mean, best))
    information = -np.array([[float(entry) for entry in row] for row in hessian])
    assert found.standard_error == pytest.approx(math.sqrt(np.linalg.inv(information)[0, 0]), rel=1e-3)


def test_without_censoring_it_is_the_ordinary_mean():
    values = measured(0.5)
    found = fit_censored_gaussian(values, 0, LIMIT)
    assert found.mean == pytest.approx(float(values.mean()))
    assert found.standard_error == pytest.approx(float(values.std(correction=0)) / math.sqrt(len(values)))


@pytest.mark.parametrize("unit", [1e-310, 1e-150, 1e-9, 1e9, 1e150, 1e300])
@pytest.mark.parametrize("below", [0, 7])
def test_no_unit_of_the_values_changes_the_fit(unit, below):
    values = torch.tensor([0.9, 1.4, 2.2, 3.0], dtype=torch.float64)
    one, other = (fit_censored_gaussian(values * u, below, LIMIT * u) for u in (1.0, unit))
    assert other.mean / unit == pytest.approx(one.mean, rel=1e-9)
    assert other.standard_error / unit == pytest.approx(one.standard_error, rel=1e-9)


def test_a_limit_far_above_all_values_says_nothing():
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    alone = fit_censored_gaussian(values, 0, LIMIT)
    beside = fit_censored_gaussian(values, 3, 1e300)
    assert (beside.mean, beside.standard_error) == pytest.approx((alone.mean, alone.standard_error))


def test_a_limit_far_below_all_values_sees_them_as_one():
    """Two values at x and two at or below L: σ = c (x - L) and μ follow from the distance alone."""
    near, far = (
        fit_censored_gaussian(torch.tensor([1.0, 1.0 + 1e-9], dtype=torch.float64), 2, limit)
        for limit in (-1e3, -1e250)
    )
    assert near.mean / -1e3 == pytest.approx(far.mean / -1e250, rel=1e-2)
    assert near.standard_error / 1e3 == pytest.approx(far.standard_error / 1e250, rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ([1.0, 2.0], 0, LIMIT), r"detected must be a floating-point tensor: got list", id="list"
        ),
        pytest.param((torch.ones(1), 0, LIMIT), r"shape \(n,\), n at least 2: got \(1,\)", id="one value"),
        pytest.param((torch.ones(2, 2), 0, LIMIT), r"n at least 2: got \(2, 2\)", id="matrix"),
        pytest.param(
            (torch.ones(3), 0, LIMIT), r"must hold different values.* from 1\.0 to 1\.0", id="equal"
        ),
        pytest.param(
            (torch.tensor([1.4e308, 1.5e308], dtype=torch.float64), 1, -1.5e308),
            "detected must hold different values, that part by less than overflows",
            id="too far apart",
        ),
        pytest.param((torch.tensor([1, torch.nan]), 0, LIMIT), r"finite: detected\[1\] = nan", id="nan"),
        pytest.param((torch.arange(3.0), -1, LIMIT), "below must be a whole number", id="negative count"),
        pytest.param((torch.arange(3.0), 1, math.inf), "limit must be a finite number: got inf", id="limit"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_censored_gaussian(*arguments)
