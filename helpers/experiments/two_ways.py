"""One way against the filter, both ways against the smoother: how near trained networks come to theory.

`python -m helpers.experiments.two_ways` runs it. Two hidden states are to be told from noisy readings: the
mRNA of a gene, from its fluorescent protein, and whether an ion channel is open, from its current. A network
that reads forwards can at best tie with the filter that knows the true parameters, one that reads both ways
with the smoother. In steady state their errors are known before anything is simulated: from the Riccati
equation for the mRNA, from the density of the posterior odds for the channel.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, pad

from helpers.experiments.results import write_results
from helpers.recurrent import GRU, LSTM, Bidirectional, Cell, VanillaRNN
from helpers.statespace import (
    HMM,
    GaussianEmission,
    LinearGaussian,
    hmm_filter,
    hmm_smoother,
    kalman_filter,
    rts_smoother,
    simulate,
    simulate_hmm,
    stationary_covariance,
    steady_state_covariance,
)
from helpers.training import fit

SEEDS = (1, 2, 3, 4, 5)
SIZES = (4, 16, 64, 256)  # series to learn from, of which a quarter validates
STEPS, TEST_STEPS, TEST_SERIES = 50, 500, 200
EDGE = 20  # steps at either end of a test series that are judged by themselves
UNITS, BATCH, CLIP = 16, 32, 1.0
RATES = (1e-2, 3e-3)
EPOCHS, UPDATES, PATIENCE = 30, 10, 10  # epochs for each rate, updates in an epoch, epochs without gain
CELLS = {"VanillaRNN": VanillaRNN, "LSTM": LSTM, "GRU": GRU}  # the first at every size, all at the largest
WIDTHS = (0, 2, 5, 10, 20, 30)  # neighbours that a regression reads, on each side that it may
MEMORIES = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)  # time constants of a running mean
REACH = 40  # readings that a running mean takes in
MIXING_STEPS = 500  # after which a state and its odds have forgotten their start

MRNA_LIFETIME, PROTEIN_LIFETIME, READING_NOISE = 10.0, 5.0, 0.5  # readings, readings, deviations
OPEN_TIME, CLOSED_TIME, CURRENT_NOISE = 20.0, 40.0, 0.8  # readings, readings, open currents


# The two hidden states.


def expression_model() -> LinearGaussian:
    """mRNA, made at random, and the protein that follows it; only the protein glows.

    ::

        dm = -m/τ_m dt + √(2/τ_m) dβ,   dp = (m - p)/τ_p dt,   y_t = p_t/√ρ + v_t

    m and p are deviations from their means, m of variance 1 and p of variance ρ = τ_m/(τ_m + τ_p), which is
    their covariance, too. With a reading every 5 minutes the mRNA lives 50 minutes, the protein 25.
    """
    rho = MRNA_LIFETIME / (MRNA_LIFETIME + PROTEIN_LIFETIME)
    new = partial(torch.tensor, dtype=torch.float64)
    return LinearGaussian.from_sde(
        F=new([[-1 / MRNA_LIFETIME, 0.0], [1 / PROTEIN_LIFETIME, -1 / PROTEIN_LIFETIME]]),
        L=new([[1.0], [0.0]]),
        spectral_density=new([[2 / MRNA_LIFETIME]]),
        observation=new([[0.0, rho**-0.5]]),
        observation_covariance=new([[READING_NOISE**2]]),
        initial_mean=new([0.0, 0.0]),
        initial_covariance=new([[1.0, rho], [rho, rho]]),
        deltas=new(1.0),
    )


def channel_model() -> HMM:
    """An ion channel that is closed (0) or open (1), and the current through it, 1 where it is open."""
    new, opens, closes = partial(torch.tensor, dtype=torch.float64), 1 / CLOSED_TIME, 1 / OPEN_TIME
    return HMM(
        initial=new([closes, opens]) / (opens + closes),
        transition=new([[1 - opens, opens], [closes, 1 - closes]]),
        emission=GaussianEmission(new([[0.0], [1.0]]), new([[[CURRENT_NOISE**2]]]).expand(2, 1, 1)),
    )


@dataclass(frozen=True)
class Task:
    """A hidden state to be told from readings.

    Attributes
    ----------
    name : str
    draw : function (series, steps, generator) -> two Tensors (B, T, 1) and (B, T)
        Readings and the hidden state.
    loss : function (output, target) -> Tensor, scalar
        What training minimises.
    error : function (output, target) -> Tensor (B, T)
        What is judged: squared errors, or 1 where the state is told wrongly.
    exact : function (readings) -> dict of Tensor (B, T)
        What filter and smoother with the true parameters say, as an output.
    expected : dict of float
        Their errors in steady state.
    """

    name: str
    draw: Callable[[int, int, Generator], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    exact: Callable[[Tensor], dict[str, Tensor]]
    expected: dict[str, float]


def expression() -> Task:
    """The mRNA in its standard deviations, judged by squared errors."""
    model = expression_model()

    def draw(series: int, steps: int, generator: Generator) -> tuple[Tensor, Tensor]:
        drawn = simulate(model, steps, series, generator=generator)
        return drawn.observations.float(), drawn.states[..., 0].float()

    def exact(x: Tensor) -> dict[str, Tensor]:
        filtered = kalman_filter(model, x.double())
        beliefs = {"filter": filtered.mean, "smoother": rts_smoother(model, filtered).mean}
        return {name: mean[..., 0].float() for name, mean in beliefs.items()}

    squared = partial(mse_loss, reduction="none")
    return Task("expression", draw, mse_loss, squared, exact, steady_errors(model))


def channel() -> Task:
    """Whether the channel is open, as log odds; judged by how often it is told wrongly."""
    model = channel_model()

    def draw(series: int, steps: int, generator: Generator) -> tuple[Tensor, Tensor]:
        drawn = simulate_hmm(model, steps, series, generator)
        return drawn.observations.float(), drawn.states.float()

    def exact(x: Tensor) -> dict[str, Tensor]:
        beliefs = {"filter": hmm_filter(model, x.double()), "smoother": hmm_smoother(model, x.double())}
        return {name: belief.probability[..., 1].logit().float() for name, belief in beliefs.items()}

    return Task("channel", draw, binary_cross_entropy_with_logits, wrong, exact, channel_errors(model))


def wrong(log_odds: Tensor, state: Tensor) -> Tensor:
    """1 where the more probable state is not the true one."""
    return ((log_odds > 0) != (state > 0.5)).to(log_odds.dtype)


# What theory says.


def steady_errors(model: LinearGaussian) -> dict[str, float]:
    """Mean squared errors of filter and smoother for the first state, far from both ends.

    ::

        P⁻ = A P Aᵀ + Q,   P = P⁻ - K S Kᵀ,   S = C P⁻ Cᵀ + R            filter, Riccati
        P_s = P + G (P_s - P⁻) Gᵀ,   G = P Aᵀ (P⁻)⁻¹                      smoother, RTS

    `innovation` is S, the least error of a forecast of the next reading.
    """
    A, C = model.transition, model.observation
    Q, R = model.transition_covariance, model.observation_covariance
    predicted = steady_state_covariance(A, C, Q, R)  # P⁻
    S = C @ predicted @ C.mT + R
    filtered = predicted - predicted @ C.mT @ torch.linalg.solve(S, C @ predicted)
    G = torch.linalg.solve(predicted, A @ filtered).mT
    smoothed = stationary_covariance(G, filtered - G @ predicted @ G.mT)
    errors = {"filter": filtered, "smoother": smoothed, "innovation": S}
    return {name: covariance[0, 0].item() for name, covariance in errors.items()}


def channel_errors(hmm: HMM, cells: int = 800) -> dict[str, float]:
    """How often filter and smoother tell the wrong one of two states, far from both ends.

    The log odds l that the past gives to state 1 are, together with the state k, a Markov chain. With the
    evidence e_t ~ N(±½ s², s²), s = (μ_1 - μ_0)/σ, plus in state 1, and g what a jump makes of log odds::

        l_{t+1} = g(l_t + e_t),   filter: l_t + e_t,   smoother: l_t + e_t + l'_t - logit π_1

    l'_t is what the future says. Given the state it is independent of the past, and distributed as l_t is,
    for a chain of two states is reversible.
    """
    density, odds = odds_density(hmm, cells)
    s, sign = separation(hmm), (-1.0, 1.0)
    both = odds.unsqueeze(1) + odds - hmm.initial[1].logit()

    def missed(k: int, odds: Tensor) -> Tensor:
        """P(the evidence does not bring these odds to the side of state k | k)."""
        return torch.special.ndtr(-(sign[k] * odds + s**2 / 2) / s)

    filtered = sum(density[k] @ missed(k, odds) for k in (0, 1))
    smoothed = sum(density[k] @ missed(k, both) @ density[k] / density[k].sum() for k in (0, 1))
    return {"filter": filtered.item(), "smoother": smoothed.item()}


def odds_density(hmm: HMM, cells: int) -> tuple[Tensor, Tensor]:
    """Stationary probability (2, N) of the state and of the log odds (N,) that the past gives to state 1."""
    A, s = hmm.transition, separation(hmm)
    lowest, highest = A[:, 1].logit()  # where the present is certain
    edges = torch.linspace(lowest, highest, cells + 1, dtype=A.dtype)
    odds = (edges[1:] + edges[:-1]) / 2
    before = ((edges.sigmoid() - A[0, 1]) / (A[1, 1] - A[0, 1])).logit()  # g⁻¹
    before[0], before[-1] = -torch.inf, torch.inf  # but for rounding
    drift = torch.tensor([-1.0, 1.0], dtype=A.dtype)[:, None, None] * s**2 / 2
    step = torch.special.ndtr((before - odds.unsqueeze(1) - drift) / s).diff()  # (2, N, N)
    density = hmm.initial.unsqueeze(1).expand(2, cells) / cells
    for _ in range(MIXING_STEPS):
        density = A.T @ (density.unsqueeze(1) @ step).squeeze(1)
    return density, odds


def separation(hmm: HMM) -> float:
    """How many standard deviations lie between the readings of two states."""
    emission = hmm.emission
    return ((emission.mean[1, 0] - emission.mean[0, 0]) / emission.covariance[0, 0, 0].sqrt()).item()


# Networks, and the baselines that they must beat.


class Estimator(nn.Module):
    """A cell that reads one way or both, and a weighted sum of its states as the estimate."""

    def __init__(self, cell: type[Cell], both_ways: bool, generator: Generator) -> None:
        super().__init__()
        cell = cell(1, UNITS, generator=generator)
        self.recurrent = Bidirectional(cell, generator=generator) if both_ways else cell
        self.readout = nn.Linear(self.recurrent.output_size, 1)
        for weight in self.readout.parameters():
            nn.init.uniform_(weight, -(UNITS**-0.5), UNITS**-0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """From readings (B, T, 1) to estimates (B, T)."""
        return self.readout(self.recurrent(x)).squeeze(-1)


Pair = tuple[Tensor, Tensor]
"""Readings (B, T, 1) and targets (B, T)."""


def train(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: Pair,
    generator: Generator,
    *,
    rates: tuple[float, ...] = RATES,
    epochs: int = EPOCHS,
) -> None:
    """Adam at one rate after another, each from the weights that are best on the quarter that validates."""
    learn, validate = split(data)

    def draw_batches(generator: Generator) -> Iterator[Pair]:
        for _ in range(UPDATES):
            rows = torch.randint(len(learn[0]), (BATCH,), generator=generator)
            yield learn[0][rows], learn[1][rows]

    def loss_of(model: nn.Module, batch: Pair) -> Tensor:
        return loss(model(batch[0]), batch[1])

    for rate in rates:
        fit(
            model,
            loss_of,
            draw_batches,
            epochs=epochs,
            learning_rate=rate,
            validation=[validate],
            patience=PATIENCE,
            clip=CLIP,
            progress=False,
            generator=generator,
        )


def split(data: Pair) -> tuple[Pair, Pair]:
    """Three quarters to learn from, and one to validate by."""
    held_out = len(data[0]) // 4
    return tuple(part[held_out:] for part in data), tuple(part[:held_out] for part in data)


def neighbours(x: Tensor, before: int, after: int) -> Tensor:
    """Each reading of x (B, T, 1) between those before and after it, (B, T, before + 1 + after).

    Beyond the ends stand zeros.
    """
    return pad(x.squeeze(-1), (before, after)).unfold(1, before + 1 + after, 1)


def running_mean(x: Tensor, memory: float, both_ways: bool) -> Tensor:
    """Mean of the readings (B, T, 1), the weights falling with a time constant on the side or sides read."""
    after = REACH if both_ways else 0
    weights = torch.exp(-torch.arange(-REACH, after + 1).abs() / memory)
    return neighbours(x, REACH, after) @ (weights / weights.sum()).unsqueeze(-1)


def baselines(both_ways: bool) -> dict[str, list[Callable[[Tensor], Tensor]]]:
    """What a readout may read, from x (B, T, 1) to (B, T, F); of several the best in validation."""
    means = [partial(running_mean, memory=memory, both_ways=both_ways) for memory in MEMORIES]
    windows = [partial(neighbours, before=width, after=width * both_ways) for width in WIDTHS]
    return {"reading": windows[:1], "running_mean": means, "regression": windows}


def fit_baseline(task: Task, data: Pair, candidates: list[Callable[[Tensor], Tensor]]) -> nn.Module:
    """The best affine function of what each candidate reads, and of these the best in validation."""
    learn, validate = split(data)
    fitted = [fit_readout(task.loss, features, learn) for features in candidates]
    with torch.no_grad():
        return min(fitted, key=lambda model: task.loss(model(validate[0]), validate[1]).item())


class Readout(nn.Module):
    """An affine function of what is read off a series."""

    def __init__(self, features: Callable[[Tensor], Tensor], count: int) -> None:
        super().__init__()
        self.features, self.readout = features, nn.Linear(count, 1)
        for weight in self.readout.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """From readings (B, T, 1) to estimates (B, T)."""
        return self.readout(self.features(x)).squeeze(-1)


def fit_readout(
    loss: Callable[[Tensor, Tensor], Tensor], features: Callable[[Tensor], Tensor], data: Pair
) -> Readout:
    """Linear regression where the loss is squared, logistic regression where it is a cross-entropy."""
    model = Readout(features, features(data[0]).shape[-1])
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(model(data[0]), data[1])
        value.backward()
        return value

    optimiser.step(closure)
    return model


# What is measured.


def mean_and_error(values: Tensor) -> dict[str, float]:
    """Mean over series, seeds or whatever is independent (N,), and its standard error."""
    values = values.double()
    return {"mean": values.mean().item(), "standard_error": (values.std() / len(values) ** 0.5).item()}


REGIONS = {
    "all": lambda error: error.mean(1),
    "interior": lambda error: error[:, 2 * EDGE : -2 * EDGE].mean(1),
    "ends": lambda error: torch.cat([error[:, :EDGE], error[:, -EDGE:]], 1).mean(1),
}


def compare(error: Tensor, exact: dict[str, Tensor], both_ways: bool) -> dict:
    """Errors (B, T) of an estimate beside those of filter and smoother on the same readings.

    `ratio` is to the one of the two that reads what the estimate reads; `to_filter` is the difference from
    the filter, series by series.
    """
    best = exact["smoother" if both_ways else "filter"]
    return {
        "error": error.mean().item(),
        "ratio": {name: (part(error).mean() / part(best).mean()).item() for name, part in REGIONS.items()},
        "to_filter": mean_and_error(error.mean(1) - exact["filter"].mean(1)),
    }


@torch.no_grad()
def judge(task: Task, model: nn.Module, data: Pair, exact: dict[str, Tensor], both_ways: bool) -> dict:
    """A trained model on fresh series."""
    return compare(task.error(model(data[0]), data[1]), exact, both_ways)


def run_seed(task: Task, seed: int, sizes: tuple[int, ...] = SIZES, epochs: int = EPOCHS) -> Iterator[dict]:
    """Every network and baseline on one draw of series; a smaller set of them is part of every larger one."""
    generator = torch.Generator().manual_seed(seed)
    fresh = task.draw(TEST_SERIES, TEST_STEPS, generator)
    exact = {name: task.error(output, fresh[1]) for name, output in task.exact(fresh[0]).items()}
    whole = task.draw(max(sizes), STEPS, generator)
    place = {"task": task.name, "seed": seed}
    for name, both_ways in (("filter", False), ("smoother", True)):
        result = compare(exact[name], exact, both_ways)
        yield place | {"series": 0, "both_ways": both_ways, "model": name} | result
    for size in sizes:
        data = tuple(part[:size] for part in whole)
        for both_ways in (False, True):
            here = place | {"series": size, "both_ways": both_ways}
            for name, candidates in baselines(both_ways).items():
                model = fit_baseline(task, data, candidates)
                yield here | {"model": name} | judge(task, model, fresh, exact, both_ways)
            for name in CELLS if size == max(sizes) else ("VanillaRNN",):
                began, model = time.process_time(), Estimator(CELLS[name], both_ways, generator)
                train(model, task.loss, data, generator, epochs=epochs)
                seconds = round(time.process_time() - began, 2)
                result = judge(task, model, fresh, exact, both_ways)
                yield here | {"model": name, "seconds": seconds} | result


# Looking ahead is cheating.


def forecast(seed: int, epochs: int = EPOCHS) -> dict[str, float]:
    """Squared errors of forecasts of the next reading, by a network that reads forwards and one that leaks.

    Both are trained to output y_{t+1} at step t. The one that reads both ways has there read y_{t+1}: its
    error in validation is below the noise of a reading. `last` is the error where a forecast is wanted, at
    the last step, behind which there is nothing to read yet.
    """
    task, generator = expression(), torch.Generator().manual_seed(seed)
    readings = task.draw(max(SIZES), STEPS, generator)[0]
    fresh = task.draw(TEST_SERIES * 10, STEPS, generator)[0]
    found = {"exact": (next_reading(fresh[:, :-1])[:, -1] - fresh[:, -1, 0]).square().mean().item()}
    for name, both_ways in (("honest", False), ("leaking", True)):
        model = Estimator(VanillaRNN, both_ways, generator)
        train(model, shifted_loss, (readings, readings.squeeze(-1)), generator, epochs=epochs)
        with torch.no_grad():
            found[f"{name}, validation"] = shifted_loss(model(fresh), fresh.squeeze(-1)).item()
            found[f"{name}, last"] = mse_loss(model(fresh[:, :-1])[:, -1], fresh[:, -1, 0]).item()
    return found


def shifted_loss(output: Tensor, reading: Tensor) -> Tensor:
    """Mean squared error of outputs (B, T) at t as forecasts of the readings (B, T) at t + 1."""
    return mse_loss(output[:, :-1], reading[:, 1:])


def next_reading(x: Tensor) -> Tensor:
    """C A E[h_t | y_1 … y_t], the forecast of the filter with the true parameters, (B, T)."""
    model = expression_model()
    mean = kalman_filter(model, x.double()).mean
    return (mean @ (model.observation @ model.transition).mT).squeeze(-1)


# All of it.


def summarise(records: list[dict]) -> list[dict]:
    """Each model's ratios and gains on the filter over the seeds, with their means and standard errors."""
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault(tuple(record[name] for name in PLACE), []).append(record)
    return [dict(zip(PLACE, key, strict=True)) | over_seeds(group) for key, group in groups.items()]


PLACE = ("task", "model", "both_ways", "series")


def over_seeds(records: list[dict]) -> dict:
    """One model's results, all seeds together; `sigmas` is each seed's gain in its own standard errors."""
    gains = [record["to_filter"] for record in records]
    ratios = {name: [record["ratio"][name] for record in records] for name in REGIONS}
    return {
        "error": mean_and_error(torch.tensor([record["error"] for record in records])),
        "ratio": {
            name: mean_and_error(torch.tensor(each)) | {"seeds": each} for name, each in ratios.items()
        },
        "to_filter": mean_and_error(torch.tensor([gain["mean"] for gain in gains])),
        "sigmas": [
            gain["mean"] / gain["standard_error"] if gain["standard_error"] else 0.0 for gain in gains
        ],
        "seconds": sum(record.get("seconds", 0.0) for record in records) / len(records),
    }


SETTINGS = {
    "seeds": SEEDS,
    "series": SIZES,
    "steps": STEPS,
    "test_series_and_steps": (TEST_SERIES, TEST_STEPS),
    "units": UNITS,
    "batch": BATCH,
    "rates": RATES,
    "epochs_updates_patience": (EPOCHS, UPDATES, PATIENCE),
    "expression": (MRNA_LIFETIME, PROTEIN_LIFETIME, READING_NOISE),
    "channel": (OPEN_TIME, CLOSED_TIME, CURRENT_NOISE),
}


def main() -> None:
    """Run all seeds, show each result as it comes, and write them."""
    torch.set_num_threads(1)
    began, tasks, records = time.perf_counter(), (expression(), channel()), []
    for seed in SEEDS:
        for task in tasks:
            for record in run_seed(task, seed):
                records.append(record)
                print(json.dumps(record), flush=True)
    results = {
        "expected": {task.name: task.expected for task in tasks},
        "models": summarise(records),
        "forecast": [forecast(seed) for seed in SEEDS],
    }
    write_results("two_ways", SETTINGS, results, time.perf_counter() - began)


if __name__ == "__main__":
    main()
