"""A training step of GRU-D beside PyPOTS' and beside PyTorch's GRU on [x, m, δ].

Forward, backward and Adam; batch 64, 41 features of which one in five is observed, 64 units, T = 48 and
200, the loss on the last state; one thread, in time of the processor, all ways in turn. What a peer's own
preparation of the data makes (δ, the last observed values, the encoded batch) is made before, for all
alike; one row shows ours with it. PyPOTS is skipped where it is not installed.

A gradient on its way back from the last state shrinks at each step, by decays and gates, until it is
subnormal; operations on such floats take many times as long. `torch.set_flush_denormal(True)` makes them
zero: the second pair of tables keeps them. GRUD needs no such setting: its loop sets to zero what would
get there.

    python benchmarks/gru_d.py
"""

import importlib
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.recurrent import GRUD, scan
from helpers.series import IrregularBatch

TURNS = 15
SERIES, FEATURES, UNITS = 64, 41, 64
PYPOTS = "PyPOTS' BackboneGRUD"
Way = tuple[nn.Module, Callable[[], Tensor]]


def hourly_batch(steps: int) -> IrregularBatch:
    """Series of equal length on a grid of hours."""
    generator = torch.Generator().manual_seed(0)
    shape = SERIES, steps, FEATURES
    mask = torch.rand(shape, generator=generator) < 0.2
    values = torch.where(mask, torch.randn(shape, generator=generator), 0.0)
    times = torch.arange(steps, dtype=torch.float32).expand(SERIES, -1)
    return IrregularBatch(times, values, mask, torch.full((SERIES,), steps))


def ways(steps: int) -> dict[str, Way]:
    """Each model, and what gives its last states (B, H)."""
    batch = hourly_batch(steps)
    h0 = torch.zeros(SERIES, UNITS)
    theirs = nn.GRU(3 * FEATURES, UNITS, batch_first=True)
    ours, plain, whole = (
        GRUD(FEATURES, UNITS, mean=0.0, generator=torch.Generator().manual_seed(0)) for _ in range(3)
    )
    u = ours.encode(batch)
    inputs = torch.cat([batch.values, batch.mask, batch.deltas()], dim=-1)
    found = {
        "torch.nn.GRU on [x, m, δ]": (theirs, lambda: theirs(inputs)[1][0]),
        "GRUD, batch encoded before": (ours, lambda: ours.run(u, h0, batch.lengths)[:, -1]),
        "GRUD, from the batch": (whole, lambda: whole(batch)),
        "GRUD, plain loop": (plain, lambda: scan(plain.step, h0, plain.project(u))[:, -1]),
    }
    try:
        found[PYPOTS] = pypots(batch)
    except ImportError as missing:
        print(f"PyPOTS skipped: {missing}")
    return found


def pypots(batch: IrregularBatch) -> Way:
    """PyPOTS' GRU-D, which takes δ and the values carried forward."""
    model = importlib.import_module("pypots.nn.modules.grud").BackboneGRUD(
        batch.times.shape[1], FEATURES, UNITS
    )
    mean = torch.zeros(FEATURES)
    data = batch.values, batch.mask.float(), batch.deltas(), mean, batch.last_observed(mean)
    return model, lambda: model(*data)[1]


def training_step(model: nn.Module, last: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, loss, backward and a step of Adam."""
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimiser.zero_grad()
        last().square().mean().backward()
        optimiser.step()

    return step


def seconds(work: Callable[[], None]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(steps: int, flush: bool) -> None:
    """Print a table: each way's time, and its ratios to PyTorch's GRU and to PyPOTS."""
    torch.set_flush_denormal(flush)
    work = {name: training_step(*way) for name, way in ways(steps).items()}
    taken = {name: [] for name in work}
    for turn in range(TURNS + 1):
        for name, step in work.items():
            elapsed = seconds(step)
            if turn:
                taken[name].append(elapsed)
    print(f"\nT = {steps}, subnormal floats {'flushed' if flush else 'kept'}\n")
    print("| training step | ms, median (quartiles) | × torch's GRU | faster than PyPOTS |")
    print("| --- | --- | --- | --- |")
    reference = next(iter(taken.values()))
    for name, times in taken.items():
        lower, median, upper = (1000 * quartile for quartile in statistics.quantiles(times, n=4))
        slower = ratio(times, reference)
        faster = f"{ratio(taken[PYPOTS], times):.2f}" if PYPOTS in taken else "–"
        print(f"| {name} | {median:.1f} ({lower:.1f}-{upper:.1f}) | {slower:.2f} | {faster} |")


def ratio(times: list[float], others: list[float]) -> float:
    """Median over the turns."""
    return statistics.median(own / other for own, other in zip(times, others, strict=True))


def gradient_difference(dtype: torch.dtype) -> float:
    """Largest difference between the gradients of the fast and of the plain loop, of their largest entry."""
    model = GRUD(FEATURES, UNITS, mean=0.0, generator=torch.Generator().manual_seed(0), dtype=dtype)
    batch = hourly_batch(48).to(dtype)
    u, h0 = model.encode(batch), torch.zeros(SERIES, UNITS, dtype=dtype)
    weights, differences = list(model.parameters()), []
    fast = torch.autograd.grad(model.run(u, h0, batch.lengths).square().mean(), weights)
    plain = torch.autograd.grad(scan(model.step, h0, model.project(u)).square().mean(), weights)
    for one, other in zip(fast, plain, strict=True):
        differences.append(((one - other).abs().max() / other.abs().max()).item())
    return max(differences)


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    for flush in (True, False):
        for steps in (48, 200):
            compare(steps, flush)
    for dtype in (torch.float32, torch.float64):
        print(f"\ngradients, fast against plain loop, {dtype}: {gradient_difference(dtype):.0e}")
    print(f"\n{TURNS} alternating turns each; PyTorch {torch.__version__}, 1 thread.")


if __name__ == "__main__":
    main()
