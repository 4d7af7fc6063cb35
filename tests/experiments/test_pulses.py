"""Pulses and their twin: filters against closed forms, the gain by finite differences, what was found."""

import math

import pytest
import torch

from helpers.experiments import load_results, pulses
from helpers.experiments.pulses import (
    DECAY,
    LEVEL,
    NOISE,
    PULSE,
    SEEDS,
    SETTINGS,
    UNITS,
    VARIANCE,
    Estimator,
    best_linear_filter,
    events,
    exact_filter,
    gain_of,
    kalman_gain,
    opening_of,
    pulses_on_grid,
    run_seed,
    simulate_pulses,
    summarise,
    train,
)
from helpers.statespace import hmm_filter, steady_state_covariance

INPUTS = {"pulses": True, "twin": False}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# What is simulated.


@pytest.mark.parametrize("pulsatile", INPUTS.values(), ids=INPUTS)
def test_pulses_and_twin_have_the_same_mean_and_variance(pulsatile):
    y, x, u = simulate_pulses(4000, pulsatile, generator())
    assert u.mean().item() == pytest.approx(PULSE, rel=0.02)
    assert u.var().item() == pytest.approx(VARIANCE, rel=0.02)
    assert x.mean().item() == pytest.approx(LEVEL, rel=0.02)
    assert x[:, -1].var().item() == pytest.approx(VARIANCE / (1 - DECAY**2), rel=0.15)
    assert (y - x).std().item() == pytest.approx(NOISE, rel=0.01)
    torch.testing.assert_close(x[:, 1:], DECAY * x[:, :-1] + u[:, 1:])


def test_a_third_of_the_pulses_is_an_event():
    u = simulate_pulses(4000, True, generator())[2]
    shares = {name: there.double().mean().item() for name, there in events(u, True).items()}
    assert shares == pytest.approx({"event": PULSE * math.exp(-1), "quiet": 1 - PULSE}, rel=0.02)


# What theory says.


def test_the_closed_gain_is_that_of_the_riccati_equation():
    a, C, Q, R = (torch.tensor([[value]], dtype=torch.double) for value in (DECAY, 1.0, VARIANCE, NOISE**2))
    P = steady_state_covariance(a, C, Q, R).item()
    assert kalman_gain() == pytest.approx(P / (P + NOISE**2), rel=1e-12)


def test_the_linear_filter_moves_by_its_gain():
    y = simulate_pulses(2, True, generator())[0].double()
    moved = y.clone()
    moved[:, 100] += 1.0
    step = best_linear_filter(moved) - best_linear_filter(y)
    torch.testing.assert_close(step[:, 100], torch.full((2,), kalman_gain(), dtype=torch.double))
    torch.testing.assert_close(step[:, 101], step[:, 100] * DECAY * (1 - kalman_gain()))


def test_the_grid_keeps_the_mean():
    hmm, x = pulses_on_grid(400)
    low = x < 4  # far from the top, which cuts pulses off
    width = x[1].item()
    expected = DECAY * x + PULSE * width / math.sinh(width)
    torch.testing.assert_close((hmm.transition @ x)[low], expected[low], atol=1e-5, rtol=0)
    assert (hmm.initial @ x).item() == pytest.approx(LEVEL, rel=1e-3)


def test_the_exact_filter_is_that_of_the_hidden_markov_model():
    y = simulate_pulses(2, True, generator())[0][:, :12]
    hmm, x = pulses_on_grid(80)
    p = hmm_filter(hmm, y.double().unsqueeze(-1)).probability
    mean, gain = exact_filter(y, 80)
    torch.testing.assert_close(mean, p @ x)
    torch.testing.assert_close(gain, (p @ x.square() - mean.square()) / NOISE**2)


def test_a_variance_is_a_gain():
    """d E[x_t | y] / d y_t = Var(x_t | y) / σ², here by central differences."""
    y, t, step = simulate_pulses(3, True, generator())[0].double()[:, :30], 29, 1e-4
    up, down = y.clone(), y.clone()
    up[:, t] += step
    down[:, t] -= step
    slope = (exact_filter(up, 200)[0] - exact_filter(down, 200)[0])[:, t] / (2 * step)
    torch.testing.assert_close(exact_filter(y, 200)[1][:, t], slope, atol=1e-6, rtol=1e-6)


def test_the_exact_filter_beats_the_linear_one_on_pulses():
    y, x, _ = simulate_pulses(64, True, generator(3))
    error = {
        "exact": (exact_filter(y, 400)[0] - x).square().mean(1),
        "linear": (best_linear_filter(y) - x).square().mean(1),
    }
    gained = error["linear"] - error["exact"]
    assert gained.mean() > 5 * gained.std() / 8


# The network.


def test_a_gain_is_how_far_one_reading_moves_its_own_estimate():
    model, y = Estimator(generator()).double(), simulate_pulses(3, True, generator())[0].double()
    gain, z = gain_of(model, y), opening_of(model, y)
    step = 1e-5
    for t in (0, 1, 70):
        up, down = y.clone(), y.clone()
        up[:, t] += step
        down[:, t] -= step
        with torch.no_grad():
            slope = (model(up) - model(down))[:, t] / (2 * step)
        torch.testing.assert_close(gain[:, t], slope, atol=1e-7, rtol=1e-6)
    assert z.shape == (3, 144, UNITS)
    first = torch.sigmoid(model.cell.project(y.unsqueeze(-1))[:, 0].chunk(3, -1)[1])
    torch.testing.assert_close(z[:, 0], first)


def test_training_repeats_itself_and_improves():
    y, x, _ = simulate_pulses(32, True, generator())
    models = [Estimator(generator(1)), *(train(y, x, generator(1), updates=20) for _ in range(2))]
    with torch.no_grad():
        before, *after = ((model(y) - x).square().mean() for model in models)
    assert after[0] == after[1] < 0.8 * before


@pytest.mark.parametrize("pulsatile", INPUTS.values(), ids=INPUTS)
def test_a_seed_reports_gain_gate_and_errors(pulsatile, monkeypatch):
    monkeypatch.setattr(pulses, "SERIES", 8)
    row = run_seed(1, pulsatile, updates=2)
    assert list(row) == ["seed", "seconds", "error", "event", "quiet"]
    assert sum(row["event"]["opening_by_unit"]) / UNITS == pytest.approx(row["event"]["opening"])
    assert row["error"]["exact"] < row["error"]["reading"]
    assert (row["quiet"]["optimal_gain"] == pytest.approx(kalman_gain())) == (not pulsatile)
    pair = summarise([row, row])["gain_difference"]
    assert pair["mean"] == pytest.approx(row["event"]["gain"] - row["quiet"]["gain"])


# What was found: tests of the committed file.


@pytest.fixture(scope="module")
def stored():
    return load_results("pulses")


def test_what_is_stored_was_run_by_these_settings(stored):
    as_lists = {name: list(value) if isinstance(value, tuple) else value for name, value in SETTINGS.items()}
    assert stored["settings"] == as_lists
    assert stored["results"]["kalman_gain"] == kalman_gain()
    for name in INPUTS:
        rows = stored["results"][name]["seeds"]
        assert [row["seed"] for row in rows] == list(SEEDS)
        assert stored["results"][name]["summary"] == summarise(rows)


def rows_of(stored, name):
    return stored["results"][name]["seeds"]


def test_the_gain_rises_at_pulses_with_every_seed(stored):
    for row in rows_of(stored, "pulses"):
        assert row["quiet"]["gain"] < kalman_gain() < row["event"]["gain"]
        assert row["quiet"]["optimal_gain"] < kalman_gain() < row["event"]["optimal_gain"]


def test_the_gain_does_not_rise_on_the_twin(stored):
    assert stored["results"]["twin"]["summary"]["gain_difference"]["mean"] <= 0


def test_the_gates_open_at_pulses_with_every_seed_and_hardly_on_the_twin(stored):
    for row in rows_of(stored, "pulses"):
        assert row["event"]["opening"] > row["quiet"]["opening"]
    assert abs(stored["results"]["twin"]["summary"]["opening_difference"]["mean"]) < 0.1


def test_only_on_pulses_the_best_linear_filter_is_beaten(stored):
    for row in rows_of(stored, "pulses"):
        error = row["error"]
        assert error["exact"] < error["GRU"] < error["Kalman"] < error["reading"]
    for row in rows_of(stored, "twin"):
        assert row["error"]["Kalman"] < row["error"]["GRU"] < row["error"]["reading"]


def test_a_network_without_gates_moves_its_gain_too_and_less_far():
    found = load_results("pulses")["results"]
    control, gated = found["without gates"], found["pulses"]["summary"]
    spread = [
        e - q for e, q in zip(control["gain_event"]["seeds"], control["gain_quiet"]["seeds"], strict=True)
    ]
    assert min(spread) > 0 and max(spread) < min(gated["gain_difference"]["seeds"])
    assert control["error_to_kalman"]["interval"][1] < 1
