"""The gradient of a neural ODE, four ways: the book beside torchdiffeq, torchode and diffrax, dopri5 in all.

The field, the samples and the outputs of `odes.py`, in float64, at equal error of the gradient by the
weights: every way's tolerances are multiplied by the largest power of 2 with which, and with all
smaller ones, its relative error is within that of torchdiffeq's backpropagation at rtol 1e-6. The right
gradient is that of DOP853 at rtol 1e-12. Ways take turns in each round; one that is not installed is skipped,
by name.

    python benchmarks/ode_gradients.py [rounds]

One thread; processor time. Memory is how far the process grows beyond where it stood, at most, after what
was free had been given back to the system: to 0.5 MB or so. Then: time and memory against K, at a tolerance
that takes more steps; memory against the number of steps; and the floor, the field alone as often as `replay`
asks.
"""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor

from helpers.odes import solve

odes = import_module("odes")  # benchmarks/odes.py, which lies beside this file

ROUNDS = 9
FACTORS = [2.0**k for k in range(-3, 6)]
CHECKPOINTS = (2, 3, 4, 8, 16, 32, 64, 128)
FINE = 1e-3
"""The factor of the tolerances with which K is varied."""
STEPS = (1_000, 10_000, 100_000)
PEER = "torchdiffeq, backpropagation"


def gradient(p: odes.Problem, y: Tensor) -> Tensor:
    """Of the mean square, by all weights, as one vector."""
    found = torch.autograd.grad(y.square().mean(), tuple(p.field.parameters()))
    return torch.cat([each.flatten() for each in found])


def book(p: odes.Problem, factor: float, **how: object) -> Tensor:
    """`helpers.odes.solve`."""
    return gradient(p, odes.book(p, factor, **how))


def torchdiffeq(p: odes.Problem, factor: float, adjoint: bool) -> Tensor:
    """Backpropagation through the steps, or the adjoint solved back with the state."""
    from torchdiffeq import odeint, odeint_adjoint

    solver = odeint_adjoint if adjoint else odeint
    return gradient(p, solver(p.field, p.y0, p.t, method="dopri5", **odes.tolerances(p, factor)))


def torchode(p: odes.Problem, factor: float) -> Tensor:
    """Backpropagation, steps per sample."""
    return gradient(p, odes.torchode(p, factor))


def diffrax(p: odes.Problem) -> Callable[[odes.Problem, float], Tensor]:
    """Recursive checkpoints, steps per sample, compiled at the first call with each factor."""
    compiled = {}

    def answer(p: odes.Problem, factor: float) -> Tensor:
        import jax
        import numpy as np

        if factor not in compiled:
            compiled[factor] = odes.diffrax(p, factor)[odes.GRADIENT]
        leaves = [torch.from_numpy(np.array(each)) for each in jax.tree.leaves(compiled[factor]())]
        return torch.cat([each.flatten() for each in leaves])

    return answer


def ways(p: odes.Problem) -> dict[str, Callable[[odes.Problem, float], Tensor]]:
    """Every way that is installed."""
    peers = {
        PEER: ("torchdiffeq", partial(torchdiffeq, adjoint=False)),
        "torchdiffeq, odeint_adjoint": ("torchdiffeq", partial(torchdiffeq, adjoint=True)),
        "torchode": ("torchode", torchode),
        "diffrax, recursive, compiled": ("diffrax", diffrax(p)),
    }
    found = {name: way for name, (library, way) in peers.items() if find_spec(library)}
    for name in peers.keys() - found.keys():
        print(f"skipped: {name} is not installed")
    for mode in ("direct", "replay", "adjoint", "backsolve"):
        found[f"book, {mode}, joint step"] = partial(book, gradient=mode, per_sample=False)
    found["book, replay, steps per sample"] = partial(book, gradient="replay")
    return found


def peak_megabytes(task: Callable[[], object]) -> float:
    """How far the process grows beyond where it stood."""
    task()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    task()
    return (_status("VmHWM") - before) / 1e3


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) * 1.024


def processor_milliseconds(task: Callable[[], object]) -> float:
    """Of one call."""
    begin = time.process_time()
    task()
    return 1e3 * (time.process_time() - begin)


def compare(p: odes.Problem, rounds: int) -> None:
    """A row for each way, and the field alone."""
    right = gradient(p, solve(p.field, p.y0, p.t, method="dopri8", rtol=1e-12, atol=1e-14).y)
    found, rows = ways(p), {}

    def error(way: Callable, factor: float) -> float:
        return ((way(p, factor) - right).norm() / right.norm()).item()

    allowed = error(found[PEER], 1.0)
    for name, way in found.items():
        good = [1.0] if name == PEER else takewhile(lambda k, way=way: error(way, k) <= allowed, FACTORS)
        factor = max(good, default=FACTORS[0])
        rows[name] = (factor, error(way, factor), partial(way, p, factor))
    calls = odes.evaluations(p, rows["book, replay, joint step"][2])
    floor = partial(field_alone, p, calls // 2)
    rows["field alone, as often as replay, joint step"] = (None, None, floor)
    spent = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (*_, task) in rows.items():
            spent[name].append(processor_milliseconds(task))
    print("\n| way | rtol | error of the gradient | time | × torchdiffeq's backpropagation | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (factor, off, task) in rows.items():
        lower, median, upper = statistics.quantiles(spent[name], n=4)
        ratio = statistics.median(a / b for a, b in zip(spent[name], spent[PEER], strict=True))
        accuracy = f"{factor * 1e-6:.1e} | {off:.1e}" if factor else "– | –"
        memory = "–" if "diffrax" in name else f"{peak_megabytes(task):.1f} MB"
        print(f"| {name} | {accuracy} | {median:.0f} ms ({lower:.0f}-{upper:.0f}) | {ratio:.2f} | {memory} |")


def field_alone(p: odes.Problem, evaluations: int) -> None:
    """So many evaluations without a graph, and as many with, each differentiated by state and weights."""
    with torch.no_grad():
        for _ in range(evaluations):
            p.field(p.t, p.y0)
    y = p.y0.clone().requires_grad_()
    for _ in range(evaluations):
        torch.autograd.grad(p.field(p.t, y).sum(), (y, *p.field.parameters()))


def checkpoint_curve(p: odes.Problem, rounds: int) -> None:
    """Time, memory and steps taken again for each K."""
    tasks = {
        k: partial(book, p, FINE, gradient="replay", per_sample=False, checkpoints=k) for k in CHECKPOINTS
    }
    tasks["direct"] = partial(book, p, FINE, per_sample=False)
    spent = {k: [] for k in tasks}
    for _ in range(rounds):
        for k, task in tasks.items():
            spent[k].append(processor_milliseconds(task))
    print("\n| K | time | memory | steps taken again, of accepted ones |")
    print("| --- | --- | --- | --- |")
    for k, task in tasks.items():
        again = "–" if k == "direct" else steps_again(p, k)
        print(f"| {k} | {statistics.median(spent[k]):.0f} ms | {peak_megabytes(task):.1f} MB | {again} |")


def steps_again(p: odes.Problem, k: int) -> str:
    """What the report says."""
    how = {"gradient": "replay", "per_sample": False, "checkpoints": k}
    solution = solve(p.field, p.y0, p.t, method="dopri5", **odes.tolerances(p, FINE), **how)
    gradient(p, solution.y)
    return f"{solution.adjoint_report.steps} of {solution.interpolant.dense.steps}"


def against_steps() -> None:
    """Memory for more and more steps: 128 states of 64 variables, heun, K = 64."""
    print("\n| steps | memory, replay |", "| --- | --- |", sep="\n")
    y0 = torch.linspace(0, 1, 128 * 64, dtype=torch.float64).reshape(128, 64).requires_grad_()
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def task(steps: int) -> None:
        how = {"method": "heun", "max_step": 1 / steps, "max_steps": 2 * steps, "per_sample": False}
        solve(lambda t, y: -y, y0, t, gradient="replay", **how).y.sum().backward()

    for steps in STEPS:
        print(f"| {steps} | {peak_megabytes(partial(task, steps)):.1f} MB |")


def main() -> None:
    """All tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    torch.set_num_threads(1)
    p = odes.problem(torch.float64)
    print(f"Median (quartiles) of {rounds} alternating rounds, processor time, one thread")
    compare(p, rounds)
    checkpoint_curve(p, max(rounds // 3, 1))
    against_steps()


if __name__ == "__main__":
    main()
