"""How long a lag each cell learns to bridge: delayed response, adding and copying at lags 50 to 400.

    OMP_NUM_THREADS=1 python -m helpers.experiments.long_lags [--tasks adding --lags 50 --seeds 5 --out DIR]

Budget, the same for every cell: updates, examples, units, gradient clipping, and a grid of step sizes. Each
cell takes, at each lag of each task, the step size that does best on two seeds that are not used again: the
first with which both solve the task, or else the one with the most solutions, then the least mean error; but
beyond a lag of 100 a cell none of whose runs solved the last lag keeps the step size that it had there. A
network has solved a task when it passes two checks in a row, 50 updates apart, on 200 new examples each:
at most 5 % of the responses wrong, or a loss of at most a tenth of that of guessing (adding: 1/6; copying:
10 ln 8 / (T + 20)). It is trained no further then. Success out of 5 seeds comes with the exact 95 % interval.

Expected, before the run. T is the lag; H = 32 units, weights from ±1/√H, noise 0.1 in the delayed response:

1. `vanilla`. W_hh starts with a spectral radius near 1/√3 = 0.58; 0.58⁵⁰ = 10⁻¹² of a gradient survives 50
   steps, less than float32 resolves beside the gradient of the latest steps. No delayed response at any lag.
2. `orthogonal`. W_hh loses nothing, tanh does: where each step adds a variance of s² = 0.011 (bias 1/3H =
   0.0104, noise 0.0005), the state settles where tanh takes as much, 2 E[h²]² = s², E[h²] = 0.07. A gradient
   shrinks by the factor 1 - 0.07 a step, to 0.03 after 50 steps, 10⁻³ after 100, 10⁻⁶ after 200. Delayed
   response at 50 and perhaps at 100, not at 200 and 400.
3. `LSTM` and `GRU`, as PyTorch starts them: the gates stand near ½, and 0.5⁵⁰ = 10⁻¹⁵ of a gradient survives
   on the highway. No delayed response from lag 50 on. But adding is learnt, at 50 at least: the second mark
   is often near the end, so that short memory pays at once, and each step of lag learnt shows the next.
4. `LSTM, chrono` and `GRU, chrono`: with u ~ U(1, T - 1) the part (u / (u + 1))^T ≈ e^(-T/u) survives, on
   average over the units ∫₀¹ e^(-1/x) dx = 0.15 whatever the lag. Delayed response and adding at every lag;
   slower at longer lags, because the input gate starts at 1 / (u + 1).
5. Copying asks for 30 bits over one fixed lag. Published runs of LSTMs stay at the loss of guessing for
   thousands of updates of larger batches (Arjovsky, Shah and Bengio 2016, figure 1): no cell solves it within
   this budget, and all come down to that loss.

Source: Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9:1735-1780; Tallec and
Ollivier (2018), Can recurrent neural networks warp time?, ICLR; Le, Jaitly and Hinton (2015), A simple way to
initialize recurrent networks of rectified linear units, arXiv:1504.00941.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch
from scipy.stats import binomtest
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from helpers.data import (
    ADDING_BASELINE,
    adding_problem,
    copying_baseline,
    copying_problem,
    delayed_response,
)
from helpers.experiments.many_networks import ManyNetworks
from helpers.experiments.results import FOLDER, write_results
from helpers.progress import ProgressBar
from helpers.recurrent import GRU, LSTM, Cell, VanillaRNN, chrono_, orthogonal_
from helpers.training import flush_denormals

NAME = "long_lags"
SETTINGS = {
    "hidden_size": 32,
    "batch": 20,
    "clip": 1.0,
    "step_sizes": [0.006, 0.02, 0.06],
    "tuning_seeds": [100, 101],
    "tuned_to_lag": 100,
    "check_every": 50,
    "check_examples": 200,
}
UPDATES = {"delayed_response": 1000, "adding": 1500, "copying": 1000}
PLACES = (
    *(("delayed_response", lag) for lag in (50, 100, 200, 400)),
    *(("adding", lag) for lag in (50, 100, 200)),
    *(("copying", lag) for lag in (50, 100)),
    ("adding", 400),
    ("copying", 200),
)
"""In the order in which they are run."""


# Tasks.


@dataclass(frozen=True)
class Task:
    """What is drawn, what is trained, and what counts as solved."""

    draw: Callable[[int, int, Generator], tuple[Tensor, Tensor]]
    features: int
    outputs: int
    at_every_step: bool
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    guessing: Callable[[int], float]
    most_error: Callable[[int], float]


def cross_entropies(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of each network (N,), from (N, B, ..., K) and (N, B, ...)."""
    losses = cross_entropy(outputs.flatten(0, -2), y.flatten(), reduction="none")
    return losses.view(len(y), -1).mean(1)


def squared_errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each network (N,), from (N, B, 1) and (N, B)."""
    return (outputs.squeeze(-1) - y).square().mean(1)


def shares_wrong(outputs: Tensor, y: Tensor) -> Tensor:
    """How many of the answers of each network are wrong (N,), from (N, B, K) and (N, B)."""
    return (outputs.argmax(-1) != y).double().mean(1)


TASKS = {
    "delayed_response": Task(
        delayed_response, 5, 4, False, cross_entropies, shares_wrong, lambda T: 0.75, lambda T: 0.05
    ),
    "adding": Task(
        adding_problem,
        2,
        1,
        False,
        squared_errors,
        squared_errors,
        lambda T: ADDING_BASELINE,
        lambda T: ADDING_BASELINE / 10,
    ),
    "copying": Task(
        copying_problem,
        10,
        9,
        True,
        cross_entropies,
        cross_entropies,
        copying_baseline,
        lambda T: copying_baseline(T) / 10,
    ),
}


# Competitors.


def orthogonal_network(features: int, hidden_size: int, *, generator: Generator) -> VanillaRNN:
    """A vanilla network whose W_hh starts orthogonal."""
    cell = VanillaRNN(features, hidden_size, generator=generator)
    orthogonal_(cell.W_hh, generator=generator)
    return cell


CELLS = {
    "vanilla": {"vanilla": VanillaRNN, "orthogonal": orthogonal_network},
    "LSTM": {"LSTM": LSTM, "LSTM, chrono": LSTM},
    "GRU": {"GRU": GRU, "GRU, chrono": GRU},
}
"""By family: those whose equations are the same are trained side by side."""
ONE_BY_ONE = {"LSTM"}  # the fused kernel runs them in 8 ms an update at T = 400, side by side it takes 27 ms


class Network(nn.Module):
    """A cell, and a linear readout of its state after the last step or after every step."""

    def __init__(self, cell: Cell, outputs: int, at_every_step: bool, generator: Generator) -> None:
        super().__init__()
        self.cell, self.at_every_step = cell, at_every_step
        self.readout = nn.Linear(cell.output_size, outputs)
        bound = cell.output_size**-0.5
        for weight in self.readout.parameters():
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, K), or at every step to (B, T, K)."""
        h = self.cell(x)
        return self.readout(h if self.at_every_step else h[:, -1])


def build(task: Task, lag: int, family: str, name: str, seed: int, hidden_size: int) -> Network:
    """One competitor, as it starts with this seed."""
    generator = Generator().manual_seed(seed)
    cell = CELLS[family][name](task.features, hidden_size, generator=generator)
    if name.endswith("chrono"):
        chrono_(cell, lag, generator=generator)
    return Network(cell, task.outputs, task.at_every_step, generator)


# Training.


@dataclass
class Run:
    """One network's training: which, and what has come of it."""

    cell: str
    seed: int
    step_size: float
    passed: bool = False
    error: float = math.nan
    updates: int | None = None

    def check(self, error: float, most: float, updates: int) -> bool:
        """Note the error of a check; True if the network passes for the second time in a row."""
        again, self.passed, self.error = self.passed, error <= most, error
        self.updates = updates if again and self.passed else None
        return self.updates is not None


def draw(task: Task, count: int, lag: int, sources: list[Generator]) -> tuple[Tensor, Tensor]:
    """New examples for every network, from its own stream: (N, B, T, D) and (N, B, ...)."""
    x, y = zip(*(task.draw(count, lag, source) for source in sources), strict=True)
    return torch.stack(x), torch.stack(y)


def train(
    task: Task,
    lag: int,
    family: str,
    runs: list[Run],
    updates: int,
    settings: dict,
    decided: Callable[[Run], bool],
) -> None:
    """Train networks side by side, each until it solves the task or its case is decided."""
    networks = [build(task, lag, family, run.cell, run.seed, settings["hidden_size"]) for run in runs]
    step_sizes = [run.step_size for run in runs]
    group = ManyNetworks(networks, step_sizes, settings["clip"], one_by_one=family in ONE_BY_ONE)
    sources = [Generator().manual_seed(2**32 + run.seed) for run in runs]
    for update in range(1, updates + 1):
        group.update(*draw(task, settings["batch"], lag, sources), task.loss)
        if update % settings["check_every"]:
            continue
        with torch.no_grad():
            x, y = draw(task, settings["check_examples"], lag, sources)
            errors = task.error(group.outputs(x), y).tolist()
        for run, error in zip(runs, errors, strict=True):
            run.check(error, task.most_error(lag), update)
        going = [run.updates is None and not decided(run) for run in runs]
        group.keep(torch.tensor(going))
        runs = [run for run, goes in zip(runs, going, strict=True) if goes]
        sources = [source for source, goes in zip(sources, going, strict=True) if goes]
        if not runs:
            return


def hopeless(rows: list[dict], task_name: str, lag: int, settings: dict) -> dict[str, float]:
    """Step sizes of the cells that are not tuned again, for none of their runs solved the last lag."""
    if lag <= settings["tuned_to_lag"]:
        return {}
    before = [row for row in rows if row["task"] == task_name and row["lag"] < lag]
    last = {row["cell"]: row for row in sorted(before, key=lambda row: row["lag"])}
    return {
        cell: row["step_size"]
        for cell, row in last.items()
        if not row["solved"] and all(run["updates"] is None for run in row["tuning"])
    }


def tune(
    task: Task, lag: int, family: str, cells: Iterable[str], updates: int, settings: dict
) -> dict[str, list[Run]]:
    """Runs of the seeds for tuning by cell; a cell's end when both seeds of one step size have solved it."""
    runs = {
        cell: [Run(cell, seed, size) for size in settings["step_sizes"] for seed in settings["tuning_seeds"]]
        for cell in cells
    }

    def decided(run: Run) -> bool:
        return any(solved == len(settings["tuning_seeds"]) for solved in _solutions(runs[run.cell]).values())

    if runs:
        train(task, lag, family, sum(runs.values(), []), updates, settings, decided)
    return runs


def best_step_size(runs: list[Run]) -> float:
    """The most solutions, then the least mean error; one that is not a number is the last."""
    solved = _solutions(runs)
    errors = {size: mean(run.error for run in runs if run.step_size == size) for size in solved}
    return min(solved, key=lambda size: (-solved[size], math.isnan(errors[size]), errors[size]))


def _solutions(runs: list[Run]) -> dict[float, int]:
    solved: dict[float, int] = defaultdict(int)
    for run in runs:
        solved[run.step_size] += run.updates is not None
    return solved


# The table.


def compare(
    task_name: str, lag: int, family: str, seeds: Iterable[int], rows: list[dict], settings: dict
) -> list[dict]:
    """Rows of the table for all cells of a family; `rows` are those that there are."""
    task, updates, begin = TASKS[task_name], settings["updates"][task_name], time.process_time()
    kept = hopeless(rows, task_name, lag, settings)
    tuning = tune(task, lag, family, [cell for cell in CELLS[family] if cell not in kept], updates, settings)
    chosen = kept | {cell: best_step_size(runs) for cell, runs in tuning.items()}
    runs = {cell: [Run(cell, seed, chosen[cell]) for seed in seeds] for cell in CELLS[family]}
    train(task, lag, family, sum(runs.values(), []), updates, settings, lambda run: False)
    place = {"task": task_name, "lag": lag, "updates": updates, "guessing": task.guessing(lag)}
    seconds = round((time.process_time() - begin) / len(runs), 1)
    return [
        place | _row(task, lag, family, runs[cell], tuning.get(cell, []), settings) | {"cpu_seconds": seconds}
        for cell in runs
    ]


def _row(task: Task, lag: int, family: str, runs: list[Run], tuning: list[Run], settings: dict) -> dict:
    """What one cell has reached at one lag of one task."""
    network = build(task, lag, family, runs[0].cell, 0, settings["hidden_size"])
    updates = [run.updates for run in runs]
    solved = sum(each is not None for each in updates)
    interval = binomtest(solved, len(runs)).proportion_ci(0.95, method="exact")
    return {
        "cell": runs[0].cell,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "step_size": runs[0].step_size,
        "solved": solved,
        "of": len(runs),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "updates_to_success": updates,
        "errors": [run.error for run in runs],
        "median_error": median(run.error for run in runs),
        "tuning": [
            {"step_size": run.step_size, "seed": run.seed, "error": run.error, "updates": run.updates}
            for run in tuning
        ],
    }


def read_done(path: Path, settings: dict) -> list[dict]:
    """Rows of an earlier run with the same settings.

    Raises
    ------
    ValueError
        If the file holds a run with other settings.
    """
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["settings"] != settings:
        raise ValueError(f"out must hold no run with other settings: {path} has {found['settings']}")
    return found["results"]


def run(places: list[tuple[str, int]], seeds: int, updates: int | None, folder: Path) -> list[dict]:
    """All rows of the table; each family's are written as soon as they are known."""
    budget = UPDATES if updates is None else dict.fromkeys(UPDATES, updates)
    settings = SETTINGS | {"seeds": seeds, "updates": budget}
    rows = read_done(folder / f"{NAME}.json", settings)
    done = {(row["task"], row["lag"], row["cell"]) for row in rows}
    left = [
        (*place, family)
        for place in places
        for family, cells in CELLS.items()
        if any((*place, cell) not in done for cell in cells)
    ]
    with ProgressBar(len(left), "family") as bar, flush_denormals(True):
        for task, lag, family in left:
            rows += compare(task, lag, family, range(seeds), rows, settings)
            write_results(NAME, settings, rows, sum(row["cpu_seconds"] for row in rows), folder)
            bar.advance(f"{task} {lag}: " + ", ".join(f"{row['cell']} {row['solved']}" for row in rows[-2:]))
        bar.finish(f"{len(rows)} cells of the table in {folder / NAME}.json")
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--lags", nargs="+", type=int, help="left out: 50 to 400, copying to 200")
    parser.add_argument("--updates", type=int, help=f"left out: {UPDATES}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(str(FOLDER)), help="folder of the results")
    given = parser.parse_args(arguments)
    asked = [(task, lag) for task in given.tasks for lag in given.lags or ()]
    places = asked or [place for place in PLACES if place[0] in given.tasks]
    run(places, given.seeds, given.updates, given.out)


if __name__ == "__main__":
    main()
