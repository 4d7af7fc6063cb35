"""A hidden Markov model's log-likelihood and its gradient: the book beside hmmlearn, dynamax, a plain loop.

Ten states, two Gaussian features, 64 series of 1000 steps, float64, on the CPU; peers take turns in each
round. A peer that is not installed is skipped, by name.

    python benchmarks/hmm.py [rounds]

The floor. The forward recursion takes B T K² = 6.4 million multiply-adds, a few milliseconds on one core; the
64 000 whitened residuals and their densities are 2.6 million multiply-adds and 0.6 million exponentials.
What costs is calling: T steps of a matrix product and a multiplication are 2 T = 2000 tensor operations of
about 4 µs. The two recursions meet in the middle, which halves that to 1000 calls, and normalising every
eighth step adds 125. The gradient runs both recursions to their ends, side by side in one loop of 2250 calls.
A plain loop makes about 6 T = 6000 calls on K times as much data, and autograd as many again.
An array of B T K numbers is 5 MB, and each that is freshly asked of the system costs some milliseconds:
densities are computed in blocks, which a cache holds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from helpers.statespace import HMM, GaussianEmission, hmm_log_likelihood, simulate_hmm

STATES, FEATURES, STEPS, SERIES = 10, 2, 1000, 64
ROUNDS = 7
LIKELIHOOD, GRADIENT = "log-likelihood", "gradient"
Parameters = tuple[Tensor, Tensor, Tensor]
"""Log initial (K,), log transition (K, K) and mean (K, D); the covariances are the identity."""


def parameters_and_data() -> tuple[Parameters, Tensor]:
    """A model whose states stay for about three steps and overlap, and series drawn from it."""
    generator = torch.Generator().manual_seed(0)
    transition = torch.rand(STATES, STATES, dtype=torch.float64, generator=generator) + 2.5 * torch.eye(
        STATES
    )
    mean = 3.0 * torch.randn(STATES, FEATURES, dtype=torch.float64, generator=generator)
    parameters = (torch.zeros(STATES, dtype=torch.float64), transition.log(), mean)
    return parameters, simulate_hmm(model(parameters), STEPS, SERIES, generator).observations


def model(parameters: Parameters) -> HMM:
    """The model of these parameters."""
    initial, transition, mean = parameters
    covariance = torch.eye(FEATURES, dtype=mean.dtype).expand(STATES, FEATURES, FEATURES)
    return HMM(initial.softmax(-1), transition.softmax(-1), GaussianEmission(mean, covariance))


def gradient(log_likelihood: Callable[[Parameters], Tensor], parameters: Parameters) -> Tensor:
    """The derivative by the mean, of all derivatives that are computed."""
    leaves = tuple(parameter.clone().requires_grad_() for parameter in parameters)
    return torch.autograd.grad(log_likelihood(leaves).sum(), leaves)[-1]


def book(parameters: Parameters, y: Tensor) -> dict[str, Callable[[], Tensor]]:
    """`hmm_log_likelihood`."""
    return {
        LIKELIHOOD: lambda: hmm_log_likelihood(model(parameters), y).sum(),
        GRADIENT: lambda: gradient(lambda p: hmm_log_likelihood(model(p), y), parameters),
    }


def plain_loop(parameters: Parameters, y: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The forward recursion in log space, a step at a time, as one would first write it."""

    def log_likelihood(parameters: Parameters) -> Tensor:
        initial, transition, mean = parameters
        noise = torch.distributions.Independent(torch.distributions.Normal(mean, torch.ones_like(mean)), 1)
        evidence = noise.log_prob(y.unsqueeze(2))  # (B, T, K)
        log_transition = transition.log_softmax(-1)
        alpha = initial.log_softmax(-1) + evidence[:, 0]
        for step in range(1, STEPS):
            alpha = torch.logsumexp(alpha.unsqueeze(-1) + log_transition, 1) + evidence[:, step]
        return alpha.logsumexp(-1)

    return {
        LIKELIHOOD: lambda: log_likelihood(parameters).sum(),
        GRADIENT: lambda: gradient(log_likelihood, parameters),
    }


def hmmlearn(parameters: Parameters, y: Tensor) -> dict[str, Callable[[], Tensor]]:
    """hmmlearn's score in its faster way: by scaling, with diagonal covariances. It has no gradient."""
    from hmmlearn.hmm import GaussianHMM

    theirs, ours = GaussianHMM(STATES, "diag", implementation="scaling"), model(parameters)
    theirs.startprob_, theirs.transmat_ = ours.initial.numpy(), ours.transition.numpy()
    theirs.means_, theirs.covars_ = ours.emission.mean.numpy(), np.ones((STATES, FEATURES))
    stacked = y.flatten(0, 1).numpy()
    return {LIKELIHOOD: lambda: double(theirs.score(stacked, [STEPS] * SERIES))}


def dynamax(parameters: Parameters, y: Tensor) -> dict[str, Callable[[], Tensor]]:
    """dynamax's filter on evidence computed by JAX, compiled beforehand."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from dynamax.hidden_markov_model import hmm_filter

    def series_log_likelihood(initial, transition, evidence):
        return hmm_filter(initial, transition, evidence).marginal_loglik

    def log_likelihood(parameters):
        initial, transition, mean = parameters
        squares = jnp.square(data[:, :, None] - mean).sum(-1)
        evidence = -0.5 * squares - 0.5 * FEATURES * jnp.log(2 * jnp.pi)
        series = partial(series_log_likelihood, jax.nn.softmax(initial), jax.nn.softmax(transition))
        return jax.vmap(series)(evidence).sum()

    data, arguments = jnp.asarray(y.numpy()), tuple(jnp.asarray(p.numpy()) for p in parameters)
    value, derivative = jax.jit(log_likelihood), jax.jit(jax.grad(log_likelihood, argnums=0))
    return {
        LIKELIHOOD: lambda: double(float(value(arguments))),
        GRADIENT: lambda: double(jax.device_get(derivative(arguments)[-1])),
    }


WAYS = {"the book": book, "hmmlearn": hmmlearn, "dynamax (compiled)": dynamax, "plain loop": plain_loop}
NEEDED = {"hmmlearn": "hmmlearn", "dynamax (compiled)": "dynamax"}
"""The package without which a way is skipped."""


def double(numbers: object) -> Tensor:
    """A float64 tensor of another library's numbers."""
    return torch.from_numpy(np.array(numbers, dtype=np.float64))


def check_answers(way: str, functions: dict[str, Callable], ours: dict[str, Callable]) -> None:
    """Refuse to time a way that computes something else."""
    for task, function in functions.items():
        expected = ours[task]()
        assert torch.allclose(function(), expected, rtol=1e-9, atol=1e-6), f"{way}: another {task}"


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every way and task, in alternating rounds, after one round that checks the answers."""
    parameters, y = parameters_and_data()
    present = {way for way in WAYS if way not in NEEDED or find_spec(NEEDED[way])}
    for way in WAYS.keys() - present:
        print(f"skipped: {way} is not installed")
    tasks = {way: build(parameters, y) for way, build in WAYS.items() if way in present}
    for way, functions in tasks.items():
        check_answers(way, functions, tasks["the book"])
    milliseconds = {way: {task: [] for task in functions} for way, functions in tasks.items()}
    for _ in range(rounds):
        for way, functions in tasks.items():
            for task, function in functions.items():
                start = time.perf_counter()
                function()
                milliseconds[way][task].append(1000 * (time.perf_counter() - start))
    return milliseconds


def cell(measured: list[float] | None, ours: list[float]) -> str:
    """Median, quartiles, and how many times the book's median that is."""
    if measured is None:
        return "none"
    lower, median, upper = statistics.quantiles(measured, n=4)
    return f"{median:.0f} ms ({lower:.0f}-{upper:.0f}), {median / statistics.median(ours):.1f} ×"


def main() -> None:
    """Print one row for each way."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    milliseconds = measure(rounds)
    ours = milliseconds["the book"]
    print(f"\nMedian (quartiles) of {rounds} alternating rounds, and as a multiple of the book's;")
    print(f"{STATES} states, {STEPS} steps, {SERIES} series, float64, {torch.get_num_threads()} threads\n")
    print(f"| hidden Markov model | {LIKELIHOOD} | its {GRADIENT} |\n| --- | --- | --- |")
    for way, tasks in milliseconds.items():
        cells = " | ".join(cell(tasks.get(task), ours[task]) for task in (LIKELIHOOD, GRADIENT))
        print(f"| {way} | {cells} |")


if __name__ == "__main__":
    main()
