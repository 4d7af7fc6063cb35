"""Theory of large random networks against matrices, runs and another quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from helpers.dynamics import Map, circular_law_exponents, lyapunov_spectrum, mean_field_exponent


def gaussian_mean(function):
    return quad(lambda z: function(z) * math.exp(-(z**2) / 2), -9, 9, epsabs=1e-10)[0] / math.sqrt(math.tau)


def test_circular_law_is_that_of_a_large_random_matrix():
    units = 1000
    matrix = np.random.default_rng(0).standard_normal((units, units)) / math.sqrt(units)
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(0.7 * matrix)))[::-1]
    expected = circular_law_exponents(0.7, units, count=900)
    np.testing.assert_allclose(expected, np.log(eigenvalues[:900]), atol=0.06)
    assert expected[0] == pytest.approx(math.log(0.7), abs=1e-3)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_mean_field_of_a_network_at_rest_is_the_logarithm_of_its_gain(strength):
    assert mean_field_exponent(strength, 0.0) == pytest.approx(math.log(strength), abs=1e-12)


def test_just_above_the_transition_chaos_grows_as_the_square_of_the_excess():
    """With g = 1 + ε, q = ε + O(ε²) and ⟨φ'²⟩ = 1 - 2 q + O(q²): to first order λ vanishes."""
    small, twice = (mean_field_exponent(1 + epsilon, 0.0) for epsilon in (0.005, 0.01))
    assert small > 0
    assert twice / small == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    ("strength", "amplitude"), [(0.5, 2.0), (1.8, 0.0), (1.8, 0.7), (2.5, 2.0), (8.0, 3.0)]
)
def test_mean_field_reproduces_its_own_variance_under_another_quadrature(strength, amplitude):
    variance = 1.0
    for _ in range(60):
        root = math.sqrt(variance)
        variance = strength**2 * gaussian_mean(lambda z, s=root: math.tanh(s * z) ** 2) + amplitude**2
    root = math.sqrt(variance)
    slopes = gaussian_mean(lambda z: (1 - math.tanh(root * z) ** 2) ** 2)
    expected = math.log(strength**2 * slopes) / 2
    assert mean_field_exponent(strength, amplitude) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("strength", "amplitude"), [(2.0, 3.4), (3.9, 1.0), (4.1, 0.9), (0.3, 30.0)])
def test_both_quadratures_agree_with_another_where_tanh_becomes_steep(strength, amplitude):
    test_mean_field_reproduces_its_own_variance_under_another_quadrature(strength, amplitude)


@pytest.mark.parametrize(
    ("strength", "amplitude"), [(1e4, 0.0), (1e9, 1e8), (1e300, 1e299), (1.7e308, 1.7e308)]
)
def test_a_very_steep_network_becomes_a_step(strength, amplitude):
    """tanh² is 1 but for |u| ~ 1: q = g² + a², and ⟨(1 - tanh²)²⟩ = (4/3) / √(2π q)."""
    q = math.log(strength) + math.log1p((amplitude / strength) ** 2) / 2  # ln √q
    expected = math.log(strength) + (math.log(4 / 3 / math.sqrt(math.tau)) - q) / 2
    assert mean_field_exponent(strength, amplitude) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("amplitude", [1e-300, 1e-5, 1e5, 1e200])
def test_a_weak_network_is_shut_by_its_input_alone(amplitude):
    """g → 0: q = a², and where tanh is steep ⟨(1 - tanh²)²⟩ = (4/3) / √(2π) / a."""
    slope = math.log(4 / 3 / math.sqrt(math.tau)) - math.log(amplitude) if amplitude > 1 else 0.0
    expected = math.log(1e-9) + slope / 2
    assert mean_field_exponent(1e-9, amplitude) == pytest.approx(expected, rel=1e-6)


def test_a_larger_network_agrees_with_mean_field_theory():
    generator = torch.Generator().manual_seed(0)
    units, steps, strength, amplitude = 300, 300, 2.0, 0.5
    weight = strength * torch.randn(units, units, generator=generator, dtype=torch.float64) / math.sqrt(units)
    x = amplitude * torch.randn(1, steps + 30, units, generator=generator, dtype=torch.float64)

    def step(h, x):
        return torch.tanh(h @ weight.T + x)

    def derivative(h, x):
        return (1 - step(h, x) ** 2).unsqueeze(-1) * weight

    start = torch.randn(1, units, generator=generator, dtype=torch.float64)
    found = lyapunov_spectrum(Map(step, derivative), start, steps, transient=30, inputs=x, count=1)
    assert float(found.exponents) == pytest.approx(mean_field_exponent(strength, amplitude), abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: mean_field_exponent(0.0, 1.0), "gain must be positive", id="gain"),
        pytest.param(
            lambda: mean_field_exponent(1.0, -1.0), "input_amplitude must be finite and not", id="input"
        ),
        pytest.param(lambda: circular_law_exponents(-1.0, 9, 3), "gain must be positive", id="gain at rest"),
        pytest.param(lambda: circular_law_exponents(1.0, 9, 10), "at most units = 9: got 10", id="count"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
