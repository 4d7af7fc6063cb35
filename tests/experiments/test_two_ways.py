"""One way and both ways: the pieces of the experiment against closed forms, and what it found."""

from functools import partial

import pytest
import torch

from helpers.experiments import load_results
from helpers.experiments.two_ways import (
    REACH,
    SIZES,
    Estimator,
    channel,
    channel_errors,
    channel_model,
    compare,
    expression,
    expression_model,
    fit_readout,
    forecast,
    mean_and_error,
    neighbours,
    next_reading,
    odds_density,
    run_seed,
    running_mean,
    shifted_loss,
    split,
    steady_errors,
    train,
)
from helpers.recurrent import LSTM, VanillaRNN
from helpers.statespace import (
    HMM,
    GaussianEmission,
    kalman_filter,
    rts_smoother,
    simulate_hmm,
    stationary_covariance,
)

LARGEST = max(SIZES)
TASKS = {"expression": expression, "channel": channel}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def within_standard_errors(values, expected, most=4.0):
    found = mean_and_error(values)
    return abs(found["mean"] - expected) < most * found["standard_error"]


# What theory says.


def test_gene_expression_starts_where_it_stays():
    model = expression_model()
    stationary = stationary_covariance(model.transition, model.transition_covariance)
    torch.testing.assert_close(model.initial_covariance, stationary)
    assert (model.observation @ stationary @ model.observation.mT).item() == pytest.approx(1)


def test_the_channel_starts_where_it_stays():
    hmm = channel_model()
    torch.testing.assert_close(hmm.initial @ hmm.transition, hmm.initial)


def test_steady_errors_are_those_in_the_middle_of_a_long_series():
    model, found = expression_model(), steady_errors(expression_model())
    filtered = kalman_filter(model, torch.zeros(1, 301, 1, dtype=torch.float64))
    smoothed = rts_smoother(model, filtered)
    assert found["filter"] == pytest.approx(filtered.covariance[0, 150, 0, 0].item(), rel=1e-10)
    assert found["smoother"] == pytest.approx(smoothed.covariance[0, 150, 0, 0].item(), rel=1e-10)
    assert found["innovation"] == pytest.approx(
        filtered.innovation_covariance[0, 150, 0, 0].item(), rel=1e-10
    )


def test_the_future_more_than_halves_the_error():
    found = steady_errors(expression_model())
    assert 2 < found["filter"] / found["smoother"] < 3  # worth a second direction


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_exact_answers_make_the_expected_errors(make):
    task = make()
    x, target = task.draw(400, 300, generator())
    for name, output in task.exact(x).items():
        error = task.error(output, target)[:, 40:-40].mean(1)
        assert within_standard_errors(error, task.expected[name]), name


def test_the_channels_errors_do_not_depend_on_the_grid():
    coarse, fine = (channel_errors(channel_model(), cells) for cells in (400, 800))
    for name in ("filter", "smoother"):
        assert coarse[name] == pytest.approx(fine[name], abs=2e-6)


def test_odds_keep_the_state_and_are_calibrated():
    """Where the past gives odds l to the open state, it is open with the probability σ(l)."""
    hmm = channel_model()
    density, odds = odds_density(hmm, 800)
    torch.testing.assert_close(density.sum(1), hmm.initial)
    likely = density.sum(0) > 1e-5
    torch.testing.assert_close(
        (density[1] / density.sum(0))[likely], odds.sigmoid()[likely], atol=1e-3, rtol=0
    )


def test_readings_of_noise_alone_leave_the_rarer_state():
    hmm = channel_model()
    noisy = HMM(
        hmm.initial, hmm.transition, GaussianEmission(hmm.emission.mean, 2500 * hmm.emission.covariance)
    )
    for error in channel_errors(noisy).values():
        assert error == pytest.approx(1 / 3, abs=1e-3)


def test_clear_readings_leave_no_error():
    hmm = channel_model()
    clear = HMM(
        hmm.initial, hmm.transition, GaussianEmission(hmm.emission.mean, hmm.emission.covariance / 64)
    )
    found = channel_errors(clear)
    assert found["smoother"] < found["filter"] < 1e-6


def test_a_channel_seen_without_noise_is_told():
    states = simulate_hmm(channel_model(), 50, 4, generator()).states.float()
    task = channel()
    assert task.error(2 * states - 1, states).sum() == 0
    assert (task.error(1 - 2 * states, states) == 1).all()


# Baselines and networks.


def test_neighbours_stand_in_order():
    x = torch.arange(1.0, 5.0).reshape(1, 4, 1)
    assert neighbours(x, 2, 1)[0].tolist() == [[0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 0]]


@pytest.mark.parametrize("both_ways", [False, True], ids=["one way", "both ways"])
def test_a_running_mean_keeps_what_is_constant(both_ways):
    mean = running_mean(torch.ones(1, 3 * REACH, 1), 5.0, both_ways)
    torch.testing.assert_close(mean[:, REACH : 2 * REACH], torch.ones(1, REACH, 1))


READERS = {
    "running mean": lambda both_ways: partial(running_mean, memory=3.0, both_ways=both_ways),
    "neighbours": lambda both_ways: partial(neighbours, before=5, after=5 * both_ways),
    "vanilla RNN": lambda both_ways: Estimator(VanillaRNN, both_ways, generator()),
    "LSTM": lambda both_ways: Estimator(LSTM, both_ways, generator()),
}


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_only_who_reads_both_ways_knows_the_future(make):
    x = torch.randn(2, 30, 1, generator=generator())
    changed = x.clone()
    changed[:, 20:] += 1
    for both_ways in (False, True):
        with torch.no_grad():
            moved = make(both_ways)(changed)[:, 19] != make(both_ways)(x)[:, 19]
        assert moved.any() == both_ways


def test_a_readout_is_linear_regression():
    x, target = expression().draw(20, 50, generator())
    features = partial(neighbours, before=3, after=3)
    design = torch.cat([features(x), torch.ones(20, 50, 1)], -1).flatten(0, 1).double()
    weights = torch.linalg.lstsq(design, target.flatten().unsqueeze(-1).double()).solution.squeeze(-1)
    model = fit_readout(expression().loss, features, (x, target))
    found = torch.cat([model.readout.weight[0], model.readout.bias]).double().detach()
    torch.testing.assert_close(found, weights, atol=1e-3, rtol=0)


def test_training_leaves_a_quarter_to_validate():
    learn, validate = split((torch.arange(8), torch.arange(8)))
    assert validate[0].tolist() == [0, 1]
    assert learn[1].tolist() == list(range(2, 8))


def test_training_repeats_itself_and_improves():
    task = expression()
    data = task.draw(16, 30, generator())
    losses = []
    for _ in range(2):
        stream = generator(1)
        model = Estimator(VanillaRNN, False, stream)
        before = task.loss(model(data[0]), data[1]).item()
        train(model, task.loss, data, stream, epochs=2)
        losses.append(task.loss(model(data[0]), data[1]).item())
    assert losses[0] == losses[1] < before


# What is measured.


def test_the_smoother_ties_with_itself():
    filtered, smoothed = torch.rand(10, 100, generator=generator()) + 1, torch.full((10, 100), 0.5)
    found = compare(smoothed, {"filter": filtered, "smoother": smoothed}, both_ways=True)
    assert set(found["ratio"].values()) == {1.0}
    gain = (0.5 - filtered.mean(1)).double()
    assert found["to_filter"]["mean"] == pytest.approx(gain.mean().item())
    assert found["to_filter"]["standard_error"] == pytest.approx(gain.std().item() / 10**0.5)


def test_a_seed_judges_every_model():
    records = list(run_seed(channel(), 1, sizes=(4, 8), epochs=1))
    assert [record["ratio"]["all"] for record in records[:2]] == [1.0, 1.0]
    names = [(r["series"], r["both_ways"], r["model"]) for r in records[2:]]
    one_way = ["reading", "running_mean", "regression", "VanillaRNN"]
    expected = [(4, both, name) for both in (False, True) for name in one_way]
    assert names == expected + [
        (8, both, name) for both in (False, True) for name in [*one_way, "LSTM", "GRU"]
    ]


def test_nobody_forecasts_better_than_the_filter():
    x = expression().draw(2000, 60, generator())[0]
    error = (next_reading(x[:, :-1])[:, -1] - x[:, -1, 0]).square()
    assert within_standard_errors(error, steady_errors(expression_model())["innovation"])


def test_the_shifted_loss_forgives_who_knows_the_next_reading():
    reading = torch.randn(3, 10, generator=generator())
    assert shifted_loss(reading.roll(-1, 1), reading) == 0
    assert shifted_loss(reading, reading) > 0


def test_a_forecast_reports_both_networks():
    found = forecast(1, epochs=1)
    assert list(found) == [
        "exact",
        "honest, validation",
        "honest, last",
        "leaking, validation",
        "leaking, last",
    ]


# What was found: tests of the committed file.


@pytest.fixture(scope="module")
def results():
    return load_results("two_ways")["results"]


def models_of(results, task, both_ways, series, name):
    chosen = (task, name, both_ways, series)
    keys = ("task", "model", "both_ways", "series")
    return next(each for each in results["models"] if tuple(each[key] for key in keys) == chosen)


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_expectations_are_those_of_the_theory(results, make):
    task = make()
    assert results["expected"][task.name] == pytest.approx(task.expected, rel=1e-6)


NETWORKS = ["VanillaRNN", "LSTM", "GRU"]


@pytest.mark.parametrize("region", ["all", "interior"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("both_ways", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("task", TASKS)
def test_networks_come_within_8_percent_of_the_optimum(results, task, both_ways, network, region):
    """In every seed but one: of five vanilla RNNs that read proteins both ways, one is still at 9.6 %."""
    ratio = models_of(results, task, both_ways, LARGEST, network)["ratio"][region]
    assert len(ratio["seeds"]) == 5
    assert min(ratio["seeds"]) > 0.98  # nothing beats the optimum but by chance
    assert ratio["mean"] + ratio["standard_error"] <= 1.08
    late = (task, both_ways, network) == ("expression", True, "VanillaRNN")
    assert sum(each > 1.08 for each in ratio["seeds"]) == late


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_both_ways_beat_the_filter_in_every_seed(results, task, network):
    found = models_of(results, task, True, LARGEST, network)
    assert max(found["sigmas"]) < -5
    assert found["to_filter"]["mean"] < -5 * found["to_filter"]["standard_error"]


def test_a_leak_looks_better_than_possible_and_fails_where_it_counts(results):
    noise, least = 0.25, results["expected"]["expression"]["innovation"]
    for seed in results["forecast"]:
        assert seed["leaking, validation"] < noise / 10 < least < 2 * seed["honest, last"]
        assert seed["honest, last"] < 1.08 * seed["exact"]
        assert seed["leaking, last"] > 1.5 * seed["honest, last"]
