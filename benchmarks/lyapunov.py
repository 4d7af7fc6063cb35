"""Lyapunov exponents of a driven 64-unit RNN over 10,000 steps, beside a loop of autograd Jacobians.

The peer is the obvious loop: `torch.autograd.functional.jacobian` at each step, a matrix product
and a QR decomposition. It is timed over fewer steps and scaled up, which its cost per step allows.

    python benchmarks/lyapunov.py
"""

import statistics
import time

import torch
from torch import Tensor

from helpers.dynamics import Map, lyapunov_spectrum

UNITS, STEPS, PEER_STEPS, ROUNDS = 64, 10_000, 200, 5


def network(gain: float = 1.2) -> tuple[Tensor, Tensor]:
    """A random recurrent matrix and inputs of every step, in float64."""
    generator = torch.Generator().manual_seed(0)
    weight = gain * torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64) / UNITS**0.5
    inputs = 0.3 * torch.randn(1, STEPS, UNITS, generator=generator, dtype=torch.float64)
    return weight, inputs


def peer(step, inputs: Tensor, steps: int) -> Tensor:
    """The exponents, one Jacobian at a time."""
    state = torch.zeros(UNITS, dtype=torch.float64)
    tangents = torch.eye(UNITS, dtype=torch.float64)
    growth = torch.zeros(UNITS, dtype=torch.float64)
    for x in inputs[0, :steps]:
        jacobian = torch.autograd.functional.jacobian(lambda h, x=x: step(h, x), state)
        state = step(state, x)
        tangents, triangle = torch.linalg.qr(jacobian @ tangents)
        growth += triangle.diagonal().abs().log()
    return growth / steps


def ways() -> dict[str, tuple[int, object]]:
    """Each way, the number of steps it is timed over, and how to run it over a number of steps."""
    weight, inputs = network()
    start = torch.zeros(1, UNITS, dtype=torch.float64)

    def step(h: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(h @ weight.T + x)

    def derivative(h: Tensor, x: Tensor) -> Tensor:
        return (1 - step(h, x).square())[..., None] * weight

    def ours(system: Map, count: int | None = None) -> object:
        return lambda steps: lyapunov_spectrum(system, start, steps, inputs=inputs[:, :steps], count=count)

    return {
        "closed-form Jacobian": (STEPS, ours(Map(step, derivative))),
        "Jacobian by torch.func": (STEPS, ours(Map(step))),
        "closed form, first 8 exponents": (STEPS, ours(Map(step, derivative), count=8)),
        "loop of autograd.functional.jacobian": (PEER_STEPS, lambda steps: peer(step, inputs, steps)),
    }


def measure() -> dict[str, list[float]]:
    """Seconds per 10,000 steps of each way, in alternating rounds, after one to warm up."""
    seconds = {name: [] for name in ways()}
    for _ in range(ROUNDS + 1):
        for name, (steps, run) in ways().items():
            begin = time.perf_counter()
            run(steps)
            seconds[name].append((time.perf_counter() - begin) * STEPS / steps)
    return {name: times[1:] for name, times in seconds.items()}


def main() -> None:
    """Print one row for each way."""
    seconds = measure()
    *_, slowest = seconds
    slow = statistics.median(seconds[slowest])
    print(
        f"| {UNITS} units, {STEPS} steps | seconds, median (quartiles) | faster than the loop |\n"
        "| --- | --- | --- |"
    )
    for name, times in seconds.items():
        lower, median, upper = statistics.quantiles(times, n=4)
        print(f"| {name} | {median:.2f} ({lower:.2f}-{upper:.2f}) | {slow / median:.1f} × |")
    print(
        f"\nThe loop was timed over {PEER_STEPS} steps and scaled; {ROUNDS} rounds; "
        f"{torch.get_num_threads()} thread(s)."
    )


if __name__ == "__main__":
    main()
