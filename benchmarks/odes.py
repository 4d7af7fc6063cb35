"""A neural ODE solved and differentiated: the book beside torchdiffeq, torchode and diffrax, dopri5 in all.

A perceptron 2-64-64-2 with tanh, 256 samples, 100 outputs on [0, 10], on the CPU, at equal achieved error:
every way's tolerances are multiplied by the largest power of 2^(1/4) with which, and with all smaller ones,
its error is within torchdiffeq's at rtol 1e-6 (float64) and 1e-4 (float32), atol a hundredth of that. The
error is the RMS of the difference from DOP853 at rtol 1e-12. The field's weights are drawn from the first
seed whose trajectories stay within |y| < 10 and still move at the end. Peers take turns in each round; one
that is not installed is skipped, by name.

    python benchmarks/odes.py [rounds [threads]]

The floor: each row "field alone" evaluates the field as often as joint steps, or steps per sample, need, and
differentiates through these evaluations, with no solver around. Below the table stands how many times as long
the uncompiled solver takes, in processor time of the same rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import count, takewhile

import numpy as np
import torch
from torch import Tensor, nn

from helpers.odes import solve

BATCH, OUTPUTS, DURATION, HIDDEN = 256, 100, 10.0, 64
ROUNDS = 15
RTOL = {torch.float64: 1e-6, torch.float32: 1e-4}
ATOL_PER_RTOL = 1e-2
FACTORS = [2 ** (k / 4) for k in range(-12, 33)]
FORWARD, GRADIENT = "forward", "forward and gradient"
PEER = "torchdiffeq"
ALONE = {
    "book, joint step": "field alone, as often as joint steps",
    "book, steps per sample": "field alone, as often as steps per sample",
}


@dataclass(frozen=True, eq=False)
class Problem:
    """The field, where it starts, and the true answers (B, T, 2)."""

    field: nn.Module
    y0: Tensor
    t: Tensor
    truth: Tensor

    def error(self, y: Tensor) -> float:
        """RMS over samples, times and variables."""
        return (y.detach().double() - self.truth).square().mean().sqrt().item()


class Field(nn.Module):
    """The perceptron."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        sizes = (2, HIDDEN, HIDDEN, 2)
        layers = [nn.Linear(a, b, dtype=torch.float64) for a, b in zip(sizes, sizes[1:], strict=False)]
        generator = torch.Generator().manual_seed(seed)
        for layer in layers:
            nn.init.normal_(layer.weight, 0.0, 1.5 / layer.in_features**0.5, generator=generator)
            nn.init.normal_(layer.bias, 0.0, 0.1, generator=generator)
        self.network = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """f(t, y) = network(y)."""
        return self.network(y)


@torch.no_grad()
def problem(dtype: torch.dtype) -> Problem:
    """The first field that is tame and lively, with its true solution."""
    y0 = torch.randn(BATCH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    t = torch.linspace(0, DURATION, OUTPUTS, dtype=torch.float64).to(dtype)
    for seed in count():
        field = Field(seed)
        truth = solve(field, y0.double(), t.double(), method="dopri8", rtol=1e-12, atol=1e-14).y
        if truth.abs().max() < 10 and field(t, truth[:, -1]).norm(dim=-1).median() > 0.1:
            return Problem(field.to(dtype), y0, t, truth)


def tolerances(p: Problem, factor: float) -> dict[str, float]:
    """rtol and atol."""
    rtol = factor * RTOL[p.y0.dtype]
    return {"rtol": rtol, "atol": ATOL_PER_RTOL * rtol}


def book(p: Problem, factor: float, **how: bool) -> Tensor:
    """`helpers.odes.solve`."""
    return solve(p.field, p.y0, p.t, method="dopri5", **tolerances(p, factor), **how).y


def torchdiffeq(p: Problem, factor: float) -> Tensor:
    """One joint step; direct gradients."""
    from torchdiffeq import odeint

    return odeint(p.field, p.y0, p.t, method="dopri5", **tolerances(p, factor)).transpose(0, 1)


def torchode(p: Problem, factor: float) -> Tensor:
    """Steps per sample; direct gradients."""
    import torchode

    term = torchode.ODETerm(p.field)
    controller = torchode.IntegralController(**tolerances(p, factor), term=term)
    solver = torchode.AutoDiffAdjoint(torchode.Dopri5(term=term), controller)
    return solver.solve(torchode.InitialValueProblem(y0=p.y0, t_eval=p.t.expand(BATCH, -1))).ys


def field_alone(p: Problem, evaluations: int) -> Tensor:
    """So many evaluations and nothing else."""
    return torch.stack([p.field(p.t, p.y0) for _ in range(evaluations)])


def diffrax(p: Problem, factor: float) -> dict[str, Callable[[], object]]:
    """Steps per sample, compiled beforehand; gradients through checkpointed steps."""
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    weights = [jnp.asarray(w.detach().numpy()) for w in p.field.parameters()]
    y0, t = jnp.asarray(p.y0.numpy()), jnp.asarray(p.t.numpy())

    def field(t, y, weights):
        w1, b1, w2, b2, w3, b3 = weights
        return w3 @ jnp.tanh(w2 @ jnp.tanh(w1 @ y + b1) + b2) + b3

    def solution(weights, y0):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            t[0],
            t[-1],
            None,
            y0,
            weights,
            saveat=diffrax.SaveAt(ts=t),
            stepsize_controller=diffrax.PIDController(**tolerances(p, factor)),
            max_steps=512,
        ).ys

    batch = jax.vmap(solution, in_axes=(None, 0))
    forward = jax.jit(batch)
    gradient = jax.jit(jax.grad(lambda weights: jnp.square(batch(weights, y0)).mean()))
    return {
        FORWARD: lambda: torch.from_numpy(np.array(forward(weights, y0))),
        GRADIENT: lambda: jax.block_until_ready(gradient(weights)),
    }


def in_torch(answer: Callable[..., Tensor], p: Problem, factor: float) -> dict[str, Callable[[], object]]:
    """Both tasks of a way that is written in PyTorch."""

    def gradient() -> tuple[Tensor, ...]:
        return torch.autograd.grad(answer(p, factor).square().mean(), tuple(p.field.parameters()))

    return {FORWARD: torch.no_grad()(lambda: answer(p, factor)), GRADIENT: gradient}


WAYS = {
    PEER: partial(in_torch, torchdiffeq),
    "torchode": partial(in_torch, torchode),
    "diffrax, compiled": diffrax,
    "book, joint step": partial(in_torch, partial(book, per_sample=False)),
    "book, steps per sample": partial(in_torch, book),
    "book, joint step, compiled": partial(in_torch, partial(book, per_sample=False, compile=True)),
    "book, steps per sample, compiled": partial(in_torch, partial(book, compile=True)),
}
NEEDED = {PEER: "torchdiffeq", "torchode": "torchode", "diffrax, compiled": "diffrax"}


def largest_factor(build: Callable, p: Problem, allowed: float) -> float:
    """The largest factor of the tolerances with which, as with all smaller ones, the error is allowed."""
    good = takewhile(lambda factor: p.error(build(p, factor)[FORWARD]()) <= allowed, FACTORS)
    return max(good, default=FACTORS[0])


def evaluations(p: Problem, task: Callable[[], object]) -> int:
    """How often a task calls the field."""
    calls = []
    counter = p.field.register_forward_hook(lambda *_: calls.append(1))
    task()
    counter.remove()
    return len(calls)


def prepared(p: Problem) -> dict[str, tuple[float, float, dict[str, Callable]]]:
    """Of every way that is installed: factor, error and tasks."""
    allowed = p.error(WAYS[PEER](p, 1.0)[FORWARD]())
    ways = {}
    for name, build in WAYS.items():
        if name in NEEDED and not find_spec(NEEDED[name]):
            print(f"skipped: {NEEDED[name]} is not installed")
            continue
        factor = 1.0 if name == PEER else largest_factor(build, p, allowed)
        tasks = build(p, factor)
        tasks[GRADIENT]()  # compiled now, if it compiles
        ways[name] = (factor, p.error(tasks[FORWARD]()), tasks)
    for name, alone in ALONE.items():
        calls = evaluations(p, ways[name][2][FORWARD])
        ways[alone] = (None, None, in_torch(lambda p, calls: field_alone(p, int(calls)), p, calls))
    return ways


def saved_megabytes(task: Callable[[], object]) -> float:
    """What autograd keeps for the backward pass: the distinct memory of all saved tensors."""
    kept = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        task()
    return sum(storage.nbytes() for storage in kept.values()) / 1e6


def measure(ways: dict, rounds: int) -> tuple[dict, dict]:
    """Milliseconds of every way and task, in alternating rounds: of the clock, and of the processor."""
    clock, processor = ({name: {FORWARD: [], GRADIENT: []} for name in ways} for _ in range(2))
    for _ in range(rounds):
        for task in (FORWARD, GRADIENT):
            for name, (*_, tasks) in ways.items():
                start, begin = time.perf_counter(), time.process_time()
                tasks[task]()
                processor[name][task].append(1000 * (time.process_time() - begin))
                clock[name][task].append(1000 * (time.perf_counter() - start))
    return clock, processor


def beside_the_field(name: str, processor: dict[str, dict[str, list[float]]]) -> str:
    """How many times as long as the field alone, as often, a solver takes: median and quartiles."""
    parts = []
    for task in (FORWARD, GRADIENT):
        pairs = zip(processor[name][task], processor[ALONE[name]][task], strict=True)
        lower, median, upper = statistics.quantiles([a / b for a, b in pairs], n=4)
        parts.append(f"{task} {median:.2f} × ({lower:.2f}-{upper:.2f})")
    return f"{name} / {ALONE[name]}: {', '.join(parts)}"


def cell(ours: list[float], peers: list[float]) -> str:
    """Median, quartiles, and the median ratio to torchdiffeq in the same round."""
    lower, median, upper = statistics.quantiles(ours, n=4)
    ratio = statistics.median(a / b for a, b in zip(ours, peers, strict=True))
    return f"{median:.0f} ms ({lower:.0f}-{upper:.0f}), {ratio:.2f} ×"


def report(dtype: torch.dtype, rounds: int) -> None:
    """Print one row for each way."""
    p = problem(dtype)
    ways = prepared(p)
    milliseconds, processor = measure(ways, rounds)
    header = f"{str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads"
    print(f"\n| {header} | rtol | error | evaluations | {FORWARD} | {GRADIENT} | saved for it |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (factor, error, tasks) in ways.items():
        cells = [cell(milliseconds[name][task], milliseconds[PEER][task]) for task in (FORWARD, GRADIENT)]
        accuracy = f"{factor * RTOL[dtype]:.1e} | {error:.1e}" if factor else "– | –"
        opaque = name.endswith("compiled")
        calls = "–" if opaque else evaluations(p, tasks[FORWARD])
        memory = "–" if opaque else f"{saved_megabytes(tasks[GRADIENT]):.0f} MB"
        print(f"| {name} | {accuracy} | {calls} | {cells[0]} | {cells[1]} | {memory} |")
    print("", *(beside_the_field(name, processor) for name in ALONE), sep="\n")


def main() -> None:
    """Both precisions."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    if len(sys.argv) > 2:
        torch.set_num_threads(int(sys.argv[2]))
    print(
        f"Median (quartiles) of {rounds} alternating rounds, and the median ratio to {PEER} within a round;"
    )
    print(f"2-{HIDDEN}-{HIDDEN}-2 tanh, {BATCH} samples, {OUTPUTS} outputs on [0, {DURATION:g}], dopri5")
    for dtype in RTOL:
        report(dtype, rounds)


if __name__ == "__main__":
    main()
