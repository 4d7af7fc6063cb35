"""The comparison of cells at long lags: its judgement, its competitors, its table."""

import json
import math

import pytest
import torch
from scipy.stats import beta
from torch.nn.functional import cross_entropy, mse_loss

from helpers.data import ADDING_BASELINE, copying_baseline
from helpers.experiments import load_results, long_lags
from helpers.experiments.long_lags import CELLS, SETTINGS, TASKS, Run, best_step_size, build, compare, tune

COMPETITORS = [(family, cell) for family, cells in CELLS.items() for cell in cells]
SMALL = SETTINGS | {"hidden_size": 6, "batch": 8, "check_every": 10, "check_examples": 40}
SMALL["updates"] = {"delayed_response": 300}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(4)


# Judgement.


def test_a_task_is_solved_by_two_checks_in_a_row():
    run = Run("GRU", 0, 0.01)
    solved = [run.check(error, 0.05, 50 * k) for k, error in enumerate([0.04, 0.06, 0.05, 0.02], start=1)]
    assert solved == [False, False, False, True]
    assert (run.updates, run.error) == (200, 0.02)


def test_a_network_without_an_answer_solves_nothing():
    run = Run("GRU", 0, 0.01)
    assert not run.check(math.nan, 0.05, 50) and not run.check(math.nan, 0.05, 100)


@pytest.mark.parametrize(
    ("errors", "updates", "expected"),
    [
        pytest.param([0.9, 0.0, 0.0, 0.0, 0.8, 0.8], [None, 50, 50, 50, None, None], 0.02, id="solutions"),
        pytest.param([0.7, 0.7, 0.7, 0.6, 0.8, 0.5], [None] * 6, 0.02, id="then the mean error"),
        pytest.param([math.nan, 0.1, 0.7, 0.8, 0.8, 0.8], [None] * 6, 0.02, id="never what broke down"),
    ],
)
def test_the_step_size_is_chosen_by(errors, updates, expected):
    sizes = [0.006, 0.006, 0.02, 0.02, 0.06, 0.06]
    runs = [
        Run("GRU", 0, size, error=error, updates=update)
        for size, error, update in zip(sizes, errors, updates, strict=True)
    ]
    assert best_step_size(runs) == expected
    assert best_step_size(runs[::-1]) == expected


def test_only_who_never_solved_the_last_lag_keeps_its_step_size():
    def row(cell, lag, size, solved, *tuning, task="adding"):
        runs = [{"updates": updates} for updates in tuning]
        return {"task": task, "lag": lag, "cell": cell, "step_size": size, "solved": solved, "tuning": runs}

    rows = [
        row("LSTM", 50, 0.006, 5, 100),
        row("LSTM", 200, 0.02, 0, None, None),
        row("GRU", 200, 0.02, 0, None, 150),
        row("vanilla", 200, 0.02, 1),
        row("orthogonal", 200, 0.06, 0, task="copying"),
        row("LSTM", 400, 0.06, 5, 100),
    ]
    assert long_lags.hopeless(rows, "adding", 400, SETTINGS) == {"LSTM": 0.02}
    assert long_lags.hopeless(rows[1:], "adding", 100, SETTINGS) == {}


def test_each_network_has_a_loss_of_its_own(generator):
    outputs = torch.randn(3, 5, 7, 9, generator=generator)
    y = torch.randint(9, (3, 5, 7), generator=generator)
    expected = torch.stack(
        [cross_entropy(o.flatten(0, 1), t.flatten()) for o, t in zip(outputs, y, strict=True)]
    )
    torch.testing.assert_close(long_lags.cross_entropies(outputs, y), expected)
    numbers, sums = torch.randn(3, 5, 1, generator=generator), torch.randn(3, 5, generator=generator)
    expected = torch.stack([mse_loss(o[:, 0], t) for o, t in zip(numbers, sums, strict=True)])
    torch.testing.assert_close(long_lags.squared_errors(numbers, sums), expected)
    wrong = long_lags.shares_wrong(torch.eye(4).expand(2, 4, 4), torch.tensor([[0, 1, 2, 3], [0, 1, 3, 2]]))
    assert wrong.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("name", TASKS)
def test_what_is_drawn_fits_what_is_asked(name, generator):
    task = TASKS[name]
    x, y = task.draw(3, 12, generator)
    for family, cell in COMPETITORS:
        outputs = build(task, 12, family, cell, 0, 6)(x).unsqueeze(0)
        assert x.shape[2] == task.features and outputs.shape[-1] == task.outputs
        assert task.loss(outputs, y.unsqueeze(0)).isfinite() and task.error(outputs, y.unsqueeze(0)) >= 0


def test_bars_and_guesses():
    assert TASKS["adding"].guessing(100) == ADDING_BASELINE
    assert TASKS["adding"].most_error(100) == pytest.approx(1 / 60)
    assert TASKS["copying"].guessing(100) == copying_baseline(100)
    assert TASKS["copying"].most_error(100) == pytest.approx(math.log(8) / 120)
    x, y = TASKS["delayed_response"].draw(4000, 2, torch.Generator().manual_seed(1))
    shares = TASKS["delayed_response"].error(torch.zeros(1, 4000, 4), y.unsqueeze(0))
    assert shares.item() == pytest.approx(TASKS["delayed_response"].guessing(2), abs=0.03)


# Competitors.


@pytest.mark.parametrize(("family", "cell"), COMPETITORS, ids=[cell for _, cell in COMPETITORS])
def test_a_seed_is_a_start(family, cell):
    task = TASKS["adding"]
    first, again, other = (build(task, 20, family, cell, seed, 6).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_they_start_as_they_are_called():
    task = TASKS["delayed_response"]
    W_hh = build(task, 50, "vanilla", "orthogonal", 0, 32).cell.W_hh.detach()
    torch.testing.assert_close(W_hh @ W_hh.T, torch.eye(32), atol=1e-5, rtol=0)
    i, f, _, _ = build(task, 50, "LSTM", "LSTM, chrono", 0, 32).cell.b.detach().chunk(4)
    assert torch.equal(i, -f) and f.min() >= 0 and f.max() <= math.log(49)
    z = build(task, 50, "GRU", "GRU, chrono", 0, 32).cell.b.detach().chunk(3)[1]
    assert z.max() <= 0 and z.min() >= -math.log(49)


# The table.


def test_a_cell_that_is_settled_is_trained_no_further():
    """A GRU that has solved the task with one step size on both seeds need not go on with the others."""
    runs = tune(TASKS["delayed_response"], 3, "GRU", ["GRU"], 300, SMALL)["GRU"]
    solved = {size: [run.updates for run in runs if run.step_size == size] for size in SMALL["step_sizes"]}
    both = [max(updates) for updates in solved.values() if None not in updates]
    assert both and max(both) == min(both) < 300


def test_a_row_says_what_was_reached():
    plain, chrono = compare("delayed_response", 3, "GRU", range(2), [], SMALL)
    assert (plain["cell"], chrono["cell"]) == ("GRU", "GRU, chrono")
    assert plain["solved"] == plain["of"] == 2
    assert all(0 < updates <= 300 and updates % 10 == 0 for updates in plain["updates_to_success"])
    assert max(plain["errors"]) <= 0.05
    assert plain["interval"] == [round(0.025**0.5, 4), 1.0]
    assert plain["parameters"] == 3 * 6 * (5 + 6 + 1) + 6 + 4 * (6 + 1)


def test_a_stopped_table_goes_on_where_it_stood(tmp_path, monkeypatch):
    monkeypatch.setattr(long_lags, "SETTINGS", SMALL)
    monkeypatch.setattr(long_lags, "compare", _instead)
    arguments = ["--tasks", "adding", "--seeds", "2", "--updates", "10", "--out", str(tmp_path)]
    long_lags.main([*arguments, "--lags", "5"])
    first = json.loads((tmp_path / "long_lags.json").read_text())
    assert [row["cell"] for row in first["results"]] == [cell for _, cell in COMPETITORS]
    long_lags.main([*arguments, "--lags", "5", "6"])
    second = json.loads((tmp_path / "long_lags.json").read_text())
    assert second["results"][:6] == first["results"]
    assert [row["lag"] for row in second["results"]] == [5] * 6 + [6] * 6
    arguments[3] = "3"
    with pytest.raises(ValueError, match="out must hold no run with other settings"):
        long_lags.main(arguments)


def _instead(task, lag, family, seeds, rows, settings):
    """Rows that took no training."""
    return [
        {"task": task, "lag": lag, "cell": cell, "solved": 0, "cpu_seconds": 1.0, "of": len(seeds)}
        for cell in CELLS[family]
    ]


def test_what_is_stored_was_run_by_these_settings():
    stored = load_results("long_lags")
    assert stored["settings"] == SETTINGS | {"seeds": 5, "updates": long_lags.UPDATES}
    rows = {(row["task"], row["lag"], row["cell"]): row for row in stored["results"]}
    assert len(rows) == len(stored["results"])
    assert {("delayed_response", lag, cell) for lag in (50, 100, 200, 400) for _, cell in COMPETITORS} <= set(
        rows
    )
    for (task, lag, _), row in rows.items():
        most = TASKS[task].most_error(lag)
        solved = [
            error <= most for error, k in zip(row["errors"], row["updates_to_success"], strict=True) if k
        ]
        assert row["solved"] == len(solved) == sum(solved)
        assert row["guessing"] == pytest.approx(TASKS[task].guessing(lag))
        assert row["interval"] == pytest.approx(_exact_interval(row["solved"], row["of"]), abs=1e-4)


def _exact_interval(k, n):
    """Clopper and Pearson by the beta distribution's quantiles."""
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    return [low, beta.ppf(0.975, k + 1, n - k) if k < n else 1.0]
