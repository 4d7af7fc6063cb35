"""The Kalman filter, its smoother and its gradient beside a plain torch loop and three libraries.

64 series of 1000 steps, 4 states, 2 observations, float64, on the CPU; peers that are not installed are
skipped by name. All ways take turns within each round. Complete data, and data of which three entries in ten
are missing.

The floor, complete data. The covariances are shared: 40 steps until they are steady (counted). A mean costs
2 (4·4 + 2·2·4) = 64 operations a step, 4 million in all, and moves 64 000 vectors of 4 and of 2, 3 MB in each
pass: some milliseconds, by estimate. The means' loop over time makes 1000 calls of 3 to 4 µs.

With arbitrary missing entries every series has its own covariances. In 16 blocks of time side by side they
take 126 steps in place of 1000, each of 18 tensor operations and as many views; the log-likelihood takes
5 500, where the plain loop takes 61 000 (counted, without views). What is left is arithmetic on arrays of up
to 28 × 1024 numbers, more than half of the time, and 1000 calls for the means. Compiled, means and
covariances go together: 189 calls, of some 60 µs each, and 760 operations on 1024 sets (counted).

    python benchmarks/kalman.py
"""

import importlib
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.statespace import Filtered, LinearGaussian, kalman_filter, log_likelihood, rts_smoother

BATCH, STEPS, STATE, OUTPUT = 64, 1000, 4, 2
MISSING = 0.3
ROUNDS = 7
PYKALMAN_SERIES = 1
"""How many of the 64 series pykalman gets; its time is scaled up."""

Case = tuple[LinearGaussian, Tensor, Tensor]
Way = Callable[[], object]


def make_case() -> Case:
    """A stable random model, data drawn from it, and a mask."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    eye = torch.eye(STATE, dtype=torch.float64)
    A, C = 0.95 * torch.linalg.qr(normal(STATE, STATE)).Q, normal(OUTPUT, STATE)
    model = LinearGaussian(A, C, 0.1 * eye, 0.5 * eye[:OUTPUT, :OUTPUT], torch.zeros_like(eye[0]), eye)
    states = [normal(BATCH, STATE)]
    for _ in range(STEPS - 1):
        states.append(states[-1] @ A.T + math.sqrt(0.1) * normal(BATCH, STATE))
    y = torch.stack(states, 1) @ C.T + math.sqrt(0.5) * normal(BATCH, STEPS, OUTPUT)
    return model, y, torch.rand(y.shape, generator=generator) >= MISSING


def plain_smoother(model: LinearGaussian, filtered: Filtered) -> list[tuple[Tensor, Tensor]]:
    """A textbook's Rauch-Tung-Striebel smoother."""
    mean, covariance = filtered.mean[:, -1], filtered.covariance[:, -1]
    smoothed = [(mean, covariance)]
    for t in range(filtered.mean.shape[1] - 2, -1, -1):
        predicted_mean, predicted = filtered.predicted_mean[:, t + 1], filtered.predicted_covariance[:, t + 1]
        gain = torch.linalg.solve(predicted, model.transition @ filtered.covariance[:, t]).mT
        mean = filtered.mean[:, t] + (gain @ (mean - predicted_mean).unsqueeze(-1)).squeeze(-1)
        covariance = filtered.covariance[:, t] + gain @ (covariance - predicted) @ gain.mT
        smoothed.append((mean, covariance))
    return smoothed[::-1]


def parameters_of(model: LinearGaussian) -> list[Tensor]:
    """A, C, Q, R, m_0 and P_0."""
    noises = model.transition_covariance, model.observation_covariance
    return [model.transition, model.observation, *noises, model.initial_mean, model.initial_covariance]


def leaves(model: LinearGaussian) -> list[Tensor]:
    """Copies of the parameters that a gradient is wanted for."""
    return [parameter.clone().requires_grad_() for parameter in parameters_of(model)]


def gradient(value: Callable[[LinearGaussian], Tensor], model: LinearGaussian) -> tuple[Tensor, ...]:
    """Of the batch's log-likelihood with respect to all parameters."""
    parameters = leaves(model)
    return torch.autograd.grad(value(LinearGaussian(*parameters)).sum(), parameters)


def ours(case: Case) -> dict[str, Way]:
    """The book's functions."""
    model, y, mask = case

    def smooth() -> object:
        return rts_smoother(model, kalman_filter(model, y, mask))

    return {
        "log-likelihood": lambda: log_likelihood(model, y, mask),
        "log-likelihood, one series": lambda: log_likelihood(model, y[:1], mask[:1]),
        "filter and smoother": smooth,
        "gradient": lambda: gradient(lambda leaf: log_likelihood(leaf, y, mask), model),
    }


def compiled(case: Case) -> dict[str, Way]:
    """The same in compiled steps, where there are any."""
    model, y, mask = case
    if mask.all():
        return {}
    return {
        "log-likelihood": lambda: log_likelihood(model, y, mask, compile=True),
        "log-likelihood, one series": lambda: log_likelihood(model, y[:1], mask[:1], compile=True),
    }


def plain(case: Case) -> dict[str, Way]:
    """The loop that the book teaches, predict, update, predict, update, and a textbook's smoother."""
    model, y, mask = case

    def value(model: LinearGaussian, y: Tensor, mask: Tensor) -> Tensor:
        return kalman_filter(model, y, mask, plain=True).log_likelihood

    return {
        "log-likelihood": lambda: value(model, y, mask),
        "log-likelihood, one series": lambda: value(model, y[:1], mask[:1]),
        "filter and smoother": lambda: plain_smoother(model, kalman_filter(model, y, mask, plain=True)),
        "gradient": lambda: gradient(lambda leaf: value(leaf, y, mask), model),
    }


def with_statsmodels(case: Case) -> dict[str, Way]:
    """One compiled filter for each series, built beforehand: bound anew, it would keep its steady state."""
    from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

    model, y, mask = case
    A, C, Q, R, m0, P0 = (parameter.numpy() for parameter in parameters_of(model))

    def compiled(series: Tensor) -> KalmanSmoother:
        peer = KalmanSmoother(OUTPUT, STATE, transition=A, design=C, state_cov=Q, obs_cov=R)
        peer["selection"] = torch.eye(STATE, dtype=torch.float64).numpy()
        peer.initialize_known(m0, P0)
        peer.bind(series.numpy())
        return peer

    peers = [compiled(series) for series in y.masked_fill(~mask, math.nan)]
    return {
        "log-likelihood": lambda: torch.tensor([peer.loglike() for peer in peers]),
        "log-likelihood, one series": lambda: peers[0].loglike(),
        "filter and smoother": lambda: [peer.smooth() for peer in peers],
    }


def with_pykalman(case: Case) -> dict[str, Way]:
    """Its first series only: it takes half a second or more for each. It has no missing single entries."""
    from pykalman import KalmanFilter

    model, y, mask = case
    if not mask.all():
        return {}
    A, C, Q, R, m0, P0 = (parameter.numpy() for parameter in parameters_of(model))
    peer = KalmanFilter(A, C, Q, R, initial_state_mean=m0, initial_state_covariance=P0)
    series = y[:PYKALMAN_SERIES].numpy()
    return {
        "log-likelihood": lambda: torch.tensor([peer.loglikelihood(one) for one in series]),
        "log-likelihood, one series": lambda: peer.loglikelihood(series[0]),
        "filter and smoother": lambda: [peer.smooth(one) for one in series],
    }


def with_dynamax(case: Case, name: str = "inference") -> dict[str, Way]:
    """Compiled for these shapes, over all series at once; it has no missing entries."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if not case[2].all():
        return {}
    peer = importlib.import_module(f"dynamax.linear_gaussian_ssm.{name}")
    build = importlib.import_module("dynamax.linear_gaussian_ssm.inference").make_lgssm_params
    model, y, _ = case
    parameters = [jax.numpy.asarray(parameter.numpy()) for parameter in parameters_of(model)]
    data = jax.numpy.asarray(y.numpy())

    def total(parameters, data):
        A, C, Q, R, m0, P0 = parameters
        built = build(m0, P0, A, Q, C, R)
        return jax.vmap(lambda one: peer.lgssm_filter(built, one).marginal_loglik)(data)

    def smoothed(parameters, data):
        A, C, Q, R, m0, P0 = parameters
        built = build(m0, P0, A, Q, C, R)
        return jax.vmap(lambda one: peer.lgssm_smoother(built, one))(data)

    value, smoother = jax.jit(total), jax.jit(smoothed)
    slope = jax.jit(jax.grad(lambda parameters, data: total(parameters, data).sum()))
    ready = jax.block_until_ready
    return {
        "log-likelihood": lambda: ready(value(parameters, data)),
        "log-likelihood, one series": lambda: ready(value(parameters, data[:1])),
        "filter and smoother": lambda: ready(smoother(parameters, data)),
        "gradient": lambda: ready(slope(parameters, data)),
    }


WAYS = {
    "ours": ours,
    "ours, compiled": compiled,
    "plain loop": plain,
    "statsmodels": with_statsmodels,
    "pykalman": with_pykalman,
    "dynamax": with_dynamax,
}
ROWS = ["log-likelihood", "log-likelihood, one series", "filter and smoother", "gradient"]


def installed(case: Case) -> dict[str, dict[str, Way]]:
    """The ways whose library is here; the others are named."""
    ways = {}
    for name, build in WAYS.items():
        try:
            ways[name] = build(case)
        except ImportError as missing:
            print(f"{name} skipped: {missing}")
    return ways


def milliseconds(way: Way, clock: Callable[[], float] = time.process_time) -> float:
    """One call, by default in time of the processor, so that other work on the machine does not count."""
    start = clock()
    way()
    return 1e3 * (clock() - start)


def measure(ways: dict[str, dict[str, Way]], row: str) -> dict[str, list[float]]:
    """All ways in turn, after one call of each that is thrown away."""
    here = {name: way[row] for name, way in ways.items() if row in way}
    first = {name: milliseconds(way, time.perf_counter) for name, way in here.items()}
    measured = {name: [] for name in here}
    for turn in range(ROUNDS):
        for name, way in here.items():
            if first[name] < 1000 or turn < 2:
                measured[name].append(milliseconds(way))
    if "pykalman" in measured and row != "log-likelihood, one series":
        measured["pykalman"] = [each * BATCH / PYKALMAN_SERIES for each in measured["pykalman"]]
    for name in measured.keys() & {"dynamax", "ours, compiled"}:
        compilation = first[name] - statistics.median(measured[name])
        print(f"{name}, {row}: {compilation / 1000:.1f} s to compile, not counted")
    return measured


def cell(measured: list[float] | None) -> str:
    """The median and the range, in ms."""
    if not measured:
        return "–"
    return f"{statistics.median(measured):.3g} ({min(measured):.3g}-{max(measured):.3g})"


def print_times(label: str, ways: dict[str, dict[str, Way]]) -> None:
    """One row for each task."""
    for row in ROWS:
        measured = measure(ways, row)
        print(
            f"| {row}, {label} | " + " | ".join(cell(measured.get(name)) for name in ways) + " |", flush=True
        )


def largest(difference: Tensor) -> str:
    return f"{float(difference.detach().abs().max()):.0e}"


def relative(gradients: tuple[Tensor, ...], reference: tuple[Tensor, ...]) -> Tensor:
    """The largest error of a gradient's tensors, each relative to its largest entry."""
    return torch.stack(
        [
            (one - other).abs().max() / other.abs().max()
            for one, other in zip(gradients, reference, strict=True)
        ]
    )


def mirrored(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradient with those of Q, R and P_0 symmetrised: only that part has a meaning."""
    A, C, Q, R, m0, P0 = gradients
    return A, C, (Q + Q.mT) / 2, (R + R.mT) / 2, m0, (P0 + P0.mT) / 2


def print_accuracy(case: Case, ways: dict[str, dict[str, Way]]) -> None:
    """Errors of the log-likelihood, in nats, and of the gradient, against the plain loop."""
    model, y, mask = case
    exact, exact_slope = ways["plain loop"]["log-likelihood"](), mirrored(ways["plain loop"]["gradient"]())

    def scanned(leaf: LinearGaussian) -> Tensor:
        return kalman_filter(leaf, y, mask, parallel=True).log_likelihood

    ways = ways | {
        "ours, scan": {"log-likelihood": lambda: scanned(model), "gradient": lambda: gradient(scanned, model)}
    }
    if "dynamax" in ways:
        ways["dynamax, scan"] = with_dynamax(case, "parallel_inference")
    for name, way in ways.items():
        if name == "plain loop" or not way:
            continue
        value = torch.as_tensor([float(one) for one in way["log-likelihood"]()], dtype=torch.float64)
        errors = largest(value - exact[: len(value)]), "–", "–"
        if "gradient" in way:
            slope = tuple(torch.as_tensor(part.tolist(), dtype=torch.float64) for part in way["gradient"]())
            both = relative(slope, exact_slope), relative(mirrored(slope), exact_slope)
            errors = errors[0], *map(largest, both)
        print(f"| {name} | " + " | ".join(errors) + " |", flush=True)


def main() -> None:
    """Print the table of times and that of errors."""
    torch.set_num_threads(1)
    model, y, mask = make_case()
    complete, holes = (model, y, torch.ones_like(mask)), (model, y, mask)
    ways = installed(complete)
    print(f"\n| ms, median (range) of {ROUNDS} | " + " | ".join(ways) + " |")
    print("| --- " * (len(ways) + 1) + "|")
    print_times("complete", ways)
    print_times("missing entries", {name: WAYS[name](holes) for name in ways})
    print("\n| error | log-likelihood, nats | gradient | gradient, symmetrised |\n| --- | --- | --- | --- |")
    print_accuracy(complete, ways)


if __name__ == "__main__":
    main()
