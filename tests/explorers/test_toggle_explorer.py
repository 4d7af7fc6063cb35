import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from helpers.dynamics import MARGINAL, SADDLE, STABLE
from helpers.explorers import extreme_settings, toggle
from helpers.explorers.engine import BlittedFigure
from helpers.systems import ToggleSwitch, critical_alpha

DEFAULTS = {control.name: control.value for control in toggle.CONTROLS}
SETTINGS = [DEFAULTS, *extreme_settings(toggle.CONTROLS)]
synthesis_stops = st.integers(5, 60).map(lambda stop: stop / 10)
cooperativity_stops = st.integers(10, 40).map(lambda stop: stop / 10)


@pytest.fixture(scope="module")
def drawing():
    picture = toggle.Picture()
    return picture, BlittedFigure(picture.figure, picture.moving)


def field(t, y, alpha, n):
    u, v = y
    return [alpha / (1 + v**n) - u, alpha / (1 + u**n) - v]


def course(start, alpha, n, times):
    """u and v at some times, by another method."""
    span = (times[0], times[-1])
    return solve_ivp(field, span, start, t_eval=times, args=(alpha, n), rtol=1e-10, atol=1e-12).y.T


def steady_levels(alpha, n):
    """The u of every steady state: where going round both nullclines returns to u."""

    def defect(u):
        return alpha / (1 + (alpha / (1 + u**n)) ** n) - u

    u = np.concatenate([np.geomspace(1e-5, 0.1, 400), np.linspace(0.1, alpha, 4001)[1:]])
    return [brentq(defect, a, b, xtol=1e-14) for a, b in pairwise(u) if defect(a) * defect(b) < 0]


@settings(max_examples=40, deadline=None)
@given(synthesis_stops, cooperativity_stops)
def test_fixed_points_are_those_of_a_search_along_u(alpha, n):
    if n > 1 and abs(alpha - critical_alpha(n)) < 0.01:
        return  # almost a triple root: tested below
    found = toggle.model(alpha, n, noise=0.0)
    expected = np.array(steady_levels(alpha, n))
    np.testing.assert_allclose(found.fixed[:, 0], expected, atol=1e-8)
    np.testing.assert_allclose(found.fixed[:, 1], alpha / (1 + expected**n), atol=1e-8)
    assert found.stability == ((STABLE, SADDLE, STABLE) if len(expected) == 3 else (STABLE,))


@pytest.mark.parametrize("cooperativity", [1.5, 2.0, 2.7, 4.0])
def test_one_state_becomes_two_at_the_pitchfork(cooperativity):
    pitchfork = critical_alpha(cooperativity)
    assert toggle.model(0.99 * pitchfork, cooperativity, 0.0).stability == (STABLE,)
    assert toggle.model(1.01 * pitchfork, cooperativity, 0.0).stability == (STABLE, SADDLE, STABLE)


def test_the_pitchfork_of_two_bound_molecules_is_at_two_and_marginal():
    assert critical_alpha(2.0) == 2.0
    found = toggle.model(2.0, 2.0, 0.0)
    assert found.stability == (MARGINAL,)
    np.testing.assert_allclose(found.fixed, [[1.0, 1.0]], atol=1e-3)
    assert not found.is_bistable


@pytest.mark.parametrize("alpha", [0.5, 3.0, 6.0])
def test_without_cooperativity_there_is_one_state(alpha):
    found = toggle.model(alpha, 1.0, 0.0)
    level = (math.sqrt(1 + 4 * alpha) - 1) / 2  # u (1 + u) = α
    np.testing.assert_allclose(found.fixed, [[level, level]], atol=1e-10)


@pytest.mark.parametrize("alpha", [2.5, 3.0, 6.0])
def test_with_n_2_states_and_eigenvalues_are_those_of_the_closed_form(alpha):
    """There u v = 1 and u + v = α, and the eigenvalues are -1 ± 2/α."""
    found = toggle.model(alpha, 2.0, 0.0)
    low, high = (alpha - math.sqrt(alpha**2 - 4)) / 2, (alpha + math.sqrt(alpha**2 - 4)) / 2
    np.testing.assert_allclose(found.fixed_points(STABLE), [[low, high], [high, low]], atol=1e-9)
    ((s, _),) = found.fixed_points(SADDLE)
    np.testing.assert_allclose(
        found.growth, [2 / alpha - 1, -1 + 2 * s**2 / (1 + s**2), 2 / alpha - 1], atol=1e-8
    )
    assert found.distance_to_saddle == pytest.approx(math.hypot(high - s, low - s))


@pytest.mark.parametrize(("alpha", "n"), [(3.0, 2.0), (2.5, 1.9), (6.0, 1.5), (6.0, 4.0)])
def test_basins_are_where_another_method_ends(alpha, n):
    found = toggle.model(alpha, n, 0.0)
    starts = np.random.default_rng(0).uniform(0, toggle.EDGE, (30, 2))
    ends = np.array([course(start, alpha, n, (0.0, 300.0))[-1] for start in starts])
    is_below = starts[:, 1] < np.interp(starts[:, 0], *found.separatrix.T)
    np.testing.assert_array_equal(is_below, ends[:, 0] > ends[:, 1])
    assert 5 < is_below.sum() < 25
    low, high = found.fixed_points(STABLE)
    np.testing.assert_allclose(ends, np.where(is_below[:, None], high, low), atol=1e-6)


@pytest.mark.parametrize(("alpha", "n"), [(2.1, 2.0), (3.0, 2.0), (6.0, 1.5), (6.0, 4.0)])
def test_separatrix_is_the_diagonal_and_spans_the_picture(alpha, n):
    border = toggle.model(alpha, n, 0.0).separatrix
    np.testing.assert_allclose(border[:, 0], border[:, 1], atol=1e-9)
    assert (np.diff(border, axis=0) > 0).all()
    assert border[0].max() < 0
    assert border[-1].min() > toggle.EDGE


@pytest.mark.parametrize(("alpha", "n"), [(0.5, 1.0), (3.0, 2.0), (6.0, 4.0)])
def test_without_noise_trajectories_are_those_of_another_method(alpha, n):
    found = toggle.model(alpha, n, 0.0)
    for start, trajectory in zip(toggle.STARTS, found.trajectories, strict=True):
        expected = course(start, alpha, n, toggle.TIMES)
        assert np.abs(trajectory - expected).max() < 0.4  # Euler's error of a step of 0.1
        np.testing.assert_allclose(trajectory[-1], expected[-1], atol=2e-3)
    assert found.switches == 0


def test_halving_the_step_halves_the_error(monkeypatch):
    system = ToggleSwitch(3.0, 2.0)
    expected = np.array([course(start, 3.0, 2.0, toggle.TIMES)[10] for start in toggle.STARTS])
    monkeypatch.setattr(toggle, "_shocks", lambda: torch.zeros(20, len(toggle.STARTS), 2))
    whole = toggle.simulate(system, 0.0)[:, 10].numpy()
    monkeypatch.setattr(toggle, "TIME_STEP", toggle.TIME_STEP / 2)
    half = toggle.simulate(system, 0.0)[:, 20].numpy()
    ratio = np.abs(whole - expected).max() / np.abs(half - expected).max()
    assert ratio == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_noise_far_from_zero_is_that_of_an_ornstein_uhlenbeck_process(noise):
    """y' = 50 - y + σ ξ has the variance σ²/2; in steps of Δt, σ² / (2 - Δt)."""
    states = toggle.simulate(lambda t, y: 50 - y, noise)[:, 50:].numpy()
    assert states.var() == pytest.approx(noise**2 / (2 - toggle.TIME_STEP), rel=0.1)
    assert states.mean() == pytest.approx(50, abs=0.2 * noise)


def test_every_setting_has_the_same_shocks_which_are_standard_normal():
    still = toggle.simulate(lambda t, y: 50 + 0 * y, 0.0)
    for noise in (0.1, 0.8):
        kicks = torch.diff(toggle.simulate(lambda t, y: 50 + 0 * y, noise) - still, dim=1)
        shocks = kicks / (noise * math.sqrt(toggle.TIME_STEP))
        torch.testing.assert_close(shocks.transpose(0, 1), toggle._shocks(), atol=1e-9, rtol=0)
    assert float(shocks.mean()) == pytest.approx(0, abs=3 / math.sqrt(shocks.numel()))
    assert float(shocks.std()) == pytest.approx(1, abs=0.05)
    u, v = shocks.reshape(-1, 2).T
    assert abs(float(torch.corrcoef(torch.stack([u, v]))[0, 1])) < 3 / math.sqrt(u.numel())


def test_what_noise_carries_below_zero_is_reflected():
    """Without a drift, each step adds its kick, and what that makes negative changes its sign."""
    states = toggle.simulate(lambda t, y: torch.zeros_like(y), 1.0)
    kicks = math.sqrt(toggle.TIME_STEP) * toggle._shocks().transpose(0, 1)  # (6, 300, 2)
    would_be = states[:, :-1] + kicks
    assert float(would_be.min()) < 0 <= float(states.min())
    torch.testing.assert_close(states[:, 1:], torch.where(would_be < 0, -would_be, would_be))


def test_a_quick_return_keeps_a_memory_better_than_a_long_way():
    far, quick = toggle.model(4.0, 2.0, 0.6), toggle.model(3.0, 4.0, 0.6)
    assert far.distance_to_saddle > quick.distance_to_saddle
    assert far.growth[0] > quick.growth[0]
    assert (far.switches, quick.switches) == (2, 0)


def test_sides_and_switches_of_a_case_worked_by_hand():
    trajectories = np.array([[(2, 1), (1, 2), (3, 1)], [(2, 1), (2, 1), (1, 2)], [(0, 5), (4, 3), (4, 2)]])
    diagonal = np.array([(-9.0, -9.0), (9.0, 9.0)])
    nothing = np.zeros((1, 2))
    switch = toggle.Switch(3.0, 2.0, nothing, nothing, nothing, nothing, (SADDLE,), diagonal, trajectories)
    np.testing.assert_array_equal(switch.u_wins, [[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    assert switch.switches == 2


@pytest.mark.parametrize("corner", SETTINGS, ids=str)
def test_every_corner_is_drawn_and_stays_on_the_figure(drawing, corner):
    picture, blitted = drawing
    switch = toggle.model(**corner)
    picture.draw(switch)
    assert blitted.png()
    u, v = switch.fixed.T
    np.testing.assert_allclose(field(0, (u, v), switch.synthesis, switch.cooperativity), 0, atol=1e-8)
    assert 0 <= switch.fixed.min() <= switch.fixed.max() < toggle.EDGE
    assert np.isfinite(switch.trajectories).all()
    assert switch.trajectories.min() >= 0
    on_the_figure = (switch.trajectories <= toggle.EDGE).all(-1).mean()
    assert on_the_figure > (0.97 if corner["noise"] else 0.999)
    np.testing.assert_allclose(np.linalg.norm(switch.directions, axis=-1), 1, atol=1e-12)
    assert "nan" not in picture.describe(switch)


def test_arrows_point_where_trajectories_go(drawing):
    switch = toggle.model(**DEFAULTS)
    for place, direction in list(zip(toggle._grid().numpy(), switch.directions, strict=True))[::17]:
        moved = course(place, 3.0, 2.0, (0.0, 1e-5))[-1] - place
        np.testing.assert_allclose(moved / np.linalg.norm(moved), direction, atol=1e-4)


def test_basins_nullclines_and_fixed_points_are_drawn_where_they_are(drawing):
    picture, _ = drawing
    switch = toggle.model(**DEFAULTS)
    picture.draw(switch)
    plane = picture.figure.axes[0]
    u_wins, v_wins = (patch.get_path() for patch in plane.patches)
    for winner, loser, place in ((u_wins, v_wins, (6.9, 0.1)), (v_wins, u_wins, (0.1, 6.9))):
        for point in (place, switch.fixed_points(STABLE)[0 if place[0] < 1 else 1]):
            assert winner.contains_point(point)
            assert not loser.contains_point(point)
    lines = {line.get_label(): line for line in plane.get_lines()}
    np.testing.assert_array_equal(lines[STABLE].get_xydata(), switch.fixed_points(STABLE))
    np.testing.assert_array_equal(lines[SADDLE].get_xydata(), switch.fixed_points(SADDLE))
    assert len(lines[MARGINAL].get_xydata()) == 0
    u, v = lines["u' = 0"].get_xydata().T
    np.testing.assert_allclose(field(0, (u, v), 3.0, 2.0)[0], 0, atol=1e-12)
    u, v = lines["v' = 0"].get_xydata().T
    np.testing.assert_allclose(field(0, (u, v), 3.0, 2.0)[1], 0, atol=1e-12)


def test_where_there_is_one_state_no_basin_is_shaded(drawing):
    picture, _ = drawing
    picture.draw(toggle.model(**DEFAULTS))
    picture.draw(toggle.model(1.0, 2.0, 0.0))
    plane = picture.figure.axes[0]
    assert not any(patch.get_path().contains_point((6.0, 1.0)) for patch in plane.patches)
    lines = {line.get_label(): line for line in plane.get_lines()}
    assert len(lines["separatrix"].get_xydata()) == 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ((3.0, 2.0, 0.0), "(0.38, 2.62) (stable, largest eigenvalue -0.33), (1.21, 1.21) (saddle"),
        ((3.0, 2.0, 0.0), "two stable states where α is above 2.00. From either stable state"),
        ((3.0, 2.0, 0.0), "Of 6 trajectories, 0 end in another basin than they began in after 30 lifetimes."),
        ((4.0, 2.0, 0.6), "Of 6 trajectories, 2 end in another basin"),
        ((2.0, 2.0, 0.0), "(1.00, 1.00) (marginal, largest eigenvalue +0.00)."),
        ((6.0, 1.0, 0.0), "For this n there is one stable state at every α. All trajectories"),
    ],
    ids=["rest states", "critical α", "no noise", "noise", "at the pitchfork", "no pitchfork"],
)
def test_words_say_what_the_picture_shows(drawing, setting, words):
    assert words in drawing[0].describe(toggle.model(*setting))
