"""The repressilator: its steady state, where that gives way, and the oscillation beyond."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from helpers.dynamics import Flow, fixed_points
from helpers.systems import Repressilator


def test_field_is_the_papers_six_equations():
    alpha, n, alpha0, beta = 216.2, 2.0, 0.2164, 0.2
    m_lacI, m_tetR, m_cI, p_lacI, p_tetR, p_cI = 1.0, 2.0, 3.0, 0.5, 0.7, 1.1
    expected = [
        -m_lacI + alpha / (1 + p_cI**n) + alpha0,
        -m_tetR + alpha / (1 + p_lacI**n) + alpha0,
        -m_cI + alpha / (1 + p_tetR**n) + alpha0,
        -beta * (p_lacI - m_lacI),
        -beta * (p_tetR - m_tetR),
        -beta * (p_cI - m_cI),
    ]
    y = torch.tensor([m_lacI, m_tetR, m_cI, p_lacI, p_tetR, p_cI], dtype=torch.float64)
    assert Repressilator()(0.0, y).tolist() == pytest.approx(expected, rel=1e-14)


def test_default_values_follow_from_the_papers_cell():
    """Protein made per lifetime, 20 · rate · 10 min / ln 2, in units of 40 molecules."""
    per_rate = 20 * 60 * (10 / math.log(2)) / 40
    system = Repressilator()
    assert system.alpha == pytest.approx(per_rate * (0.5 - 5e-4), rel=1e-3)
    assert system.alpha0 == pytest.approx(per_rate * 5e-4, rel=1e-3)
    assert system.beta == 2 / 10


@settings(deadline=None, max_examples=30)
@given(p=st.floats(0.1, 5.0), n=st.floats(1.0, 4.0), leak=st.floats(0.0, 0.9))
def test_rests_where_all_genes_are_equal(p, n, leak):
    alpha = (1 - leak) * p * (1 + p**n)
    system = Repressilator(alpha=alpha, n=n, alpha0=leak * p, beta=0.7)
    state = torch.full((6,), p, dtype=torch.float64)
    torch.testing.assert_close(system(0.0, state), torch.zeros_like(state), rtol=0, atol=1e-14 * (p + alpha))


def at_onset(beta, n=3.0, distance=0.0):
    """A system without leak whose steady protein p lies a relative distance from the onset, and that p.

    With c = (β+1)²/β, 3 X² = c (4 + 2 X) gives X; without leak X = -n pⁿ / (1 + pⁿ).
    """
    c = (beta + 1) ** 2 / beta
    slope = (c - math.sqrt(c**2 + 12 * c)) / 3
    p = (-slope / (n + slope)) ** (1 / n) * (1 + distance)
    return Repressilator(alpha=p * (1 + p**n), n=n, alpha0=0.0, beta=beta), p, slope


@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("distance", [-1e-3, 1e-3])
def test_oscillation_sets_in_where_the_paper_says(beta, distance):
    system, p, _ = at_onset(beta, distance=distance)
    starts = 3 * torch.rand(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = fixed_points(Flow(system), starts)
    torch.testing.assert_close(found.states, torch.full((1, 6), p, dtype=torch.float64))  # the only one
    assert found.stability == ("saddle" if distance > 0 else "stable",)
    assert system.oscillates(found.states[:, 3]).tolist() == [distance > 0]


@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0, 3.0])
def test_at_the_onset_a_pair_of_eigenvalues_turns_without_growing(beta):
    """By the imaginary part of (λ + 1)(λ + β) = β |X| exp(±iπ/3) at λ = iΩ: (1 + β) Ω = β |X| √3/2."""
    system, p, slope = at_onset(beta)
    state = torch.full((6,), p, dtype=torch.float64)
    leading = max(torch.linalg.eigvals(system.jacobian(0.0, state)).tolist(), key=lambda value: value.real)
    assert leading.real == pytest.approx(0, abs=1e-13)
    assert abs(leading.imag) == pytest.approx(beta * -slope * math.sqrt(3) / 2 / (1 + beta), rel=1e-12)


def test_steep_repression_oscillates_whatever_the_lifetimes():
    p = torch.tensor(2.0, dtype=torch.float64)
    for beta in (1e-6, 1.0, 1e6):
        system = Repressilator(alpha=2.0 * 17, n=4.0, alpha0=0.0, beta=beta)
        assert system.repression_slope(p) < -2 and system.oscillates(p)


def test_each_gene_follows_the_others_by_a_third_of_a_period():
    system = Repressilator()
    start = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    def crossing(t, y):
        return y[3] - 6.0

    crossing.direction = 1.0
    solution = solve_ivp(
        lambda t, y: system(t, torch.from_numpy(y)).numpy(),
        (0, 400), start, method="DOP853", rtol=1e-9, atol=1e-9, events=crossing, dense_output=True,
    )  # fmt: skip
    *_, before, last = solution.t_events[0]
    period = last - before
    assert 120 < period * 2 / math.log(2) < 200  # minutes; measured in cells: 160 ± 40
    times = np.linspace(before, last, 50) - period
    p_lacI, p_tetR, p_cI = (solution.sol(times)[gene] for gene in (3, 4, 5))
    assert p_lacI.max() > 30 * p_lacI.min()
    later = solution.sol(times + period / 3)[3:]
    assert np.allclose(
        later, [p_tetR, p_cI, p_lacI], rtol=1e-4
    )  # lacI silences tetR, so that cI follows lacI
