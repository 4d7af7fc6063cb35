"""Recurrent networks beside PyTorch's, and a gradient profile beside a plain backward pass.

All peers take turns in one process, on one thread, and rows give the median and quartiles of many turns, in
CPU time, which other work on the machine disturbs least.

    python benchmarks/recurrent.py          # all tables
    python benchmarks/recurrent.py cells    # or some of: vanilla, lstm, gru, profile, cells
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from helpers.recurrent import (
    GRU,
    LSTM,
    Bidirectional,
    LeakyRNN,
    MinGRU,
    VanillaRNN,
    from_torch,
    gradient_profile,
    orthogonal_,
)

TURNS = 25
FEATURES, STEPS, UNITS, SERIES = 8, 200, 64, 64
Measures = dict[str, Callable[[], float]]


def inputs(steps: int = STEPS, series: int = SERIES) -> Tensor:
    """The same for all."""
    return torch.randn(series, steps, FEATURES, generator=torch.Generator().manual_seed(0))


def torchs(kind: type[nn.RNNBase]) -> nn.RNNBase:
    """A layer of PyTorch's.

    W_hh of an RNN is orthogonal: in a network that forgets, gradients shrink to denormal numbers, and those
    are slow.
    """
    torch.manual_seed(0)
    rnn = kind(FEATURES, UNITS, batch_first=True)
    if kind is nn.RNN:
        orthogonal_(rnn.weight_hh_l0, generator=torch.Generator().manual_seed(0))
    return rnn


def mean_square(states: Tensor) -> Tensor:
    """A loss to which every step contributes."""
    return states.square().mean()


def seconds(work: Callable[[], object]) -> float:
    """How much CPU time one call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def training_step(model: nn.Module, states: Callable[[], Tensor]) -> Callable[[], float]:
    """What measures forward, loss, backward and a step of Adam."""
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimiser.zero_grad()
        mean_square(states()).backward()
        optimiser.step()

    return lambda: seconds(step)


def loop_of(cell: nn.LSTMCell | nn.GRUCell, x: Tensor) -> Callable[[], Tensor]:
    """How PyTorch's own cell is used: one call per step."""
    zeros = x.new_zeros(len(x), UNITS)

    def states() -> Tensor:
        state, outputs = (zeros, zeros) if isinstance(cell, nn.LSTMCell) else zeros, []
        for x_t in x.unbind(1):
            state = cell(x_t, state)
            outputs.append(state[0] if isinstance(cell, nn.LSTMCell) else state)
        return torch.stack(outputs, dim=1)

    return states


def vanilla() -> list[Measures]:
    """VanillaRNN and torch.nn.RNN."""
    x, theirs = inputs(), torchs(nn.RNN)
    ours = from_torch(theirs)
    return [
        {
            "torch.nn.RNN": training_step(theirs, lambda: theirs(x)[0]),
            "VanillaRNN": training_step(ours, lambda: ours(x)),
        }
    ]


def lstm() -> list[Measures]:
    """LSTM step by step beside a loop of torch.nn.LSTMCell, and its fast path beside torch.nn.LSTM."""
    return _gated(nn.LSTM, nn.LSTMCell(FEATURES, UNITS))


def gru() -> list[Measures]:
    """GRU step by step beside a loop of torch.nn.GRUCell, and its fast path beside torch.nn.GRU."""
    slow, fast = _gated(nn.GRU, nn.GRUCell(FEATURES, UNITS))
    x, before = inputs(), GRU(FEATURES, UNITS, reset="before")
    slow["GRU, reset before the product"] = training_step(before, lambda: before(x))
    return [slow, fast]


def _gated(kind: type[nn.RNNBase], cell: nn.LSTMCell | nn.GRUCell) -> list[Measures]:
    x, theirs = inputs(), torchs(kind)
    slow, fast = from_torch(theirs), from_torch(theirs)
    name = kind.__name__
    return [
        {
            f"loop of torch.nn.{name}Cell": training_step(cell, loop_of(cell, x)),
            f"{name}, step by step": training_step(slow, lambda: slow(x, fast=False)),
        },
        {
            f"torch.nn.{name}": training_step(theirs, lambda: theirs(x)[0]),
            f"{name}, fast path": training_step(fast, lambda: fast(x, fast=True)),
        },
    ]


def profile() -> list[Measures]:
    """A profile, its forward pass included, beside backward passes alone, at T = 1000 and B = 32."""
    x, ours = inputs(1000, 32), from_torch(torchs(nn.RNN))

    def plain() -> float:
        loss = mean_square(ours(x))
        return seconds(loss.backward)

    return [
        {
            "backward pass of VanillaRNN": plain,
            "gradient_profile, forward included": lambda: seconds(
                lambda: gradient_profile(ours, x, mean_square)
            ),
        }
    ]


def every_cell() -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """Each cell, and how it is run."""
    how = {"generator": torch.Generator().manual_seed(0)}
    vanilla, leaky = VanillaRNN(FEATURES, UNITS, **how), LeakyRNN(FEATURES, UNITS, tau=4.0, dt=1.0, **how)
    for model in (vanilla, leaky):
        orthogonal_(model.W_hh, **how)
    lstm, gru, minimal, ahead = (kind(FEATURES, UNITS, **how) for kind in (LSTM, GRU, MinGRU, LSTM))
    before, both = GRU(FEATURES, UNITS, reset="before", **how), Bidirectional(ahead, **how)
    return {
        "VanillaRNN": (vanilla, vanilla),
        "LeakyRNN": (leaky, leaky),
        "LSTM, step by step": (lstm, lambda x: lstm(x, fast=False)),
        "LSTM, fast path": (lstm, lambda x: lstm(x, fast=True)),
        "GRU, step by step": (gru, lambda x: gru(x, fast=False)),
        "GRU, fast path": (gru, lambda x: gru(x, fast=True)),
        "GRU, reset before the product": (before, before),
        "MinGRU, step by step": (minimal, lambda x: minimal(x, fast=False)),
        "MinGRU, scan": (minimal, lambda x: minimal(x, fast=True)),
        "Bidirectional of two LSTMs, fast path": (both, both),
    }


def saved_bytes(run: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """What autograd keeps of a forward pass, each storage once."""
    storages: dict[int, int] = {}

    def save(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        loss = mean_square(run(x))  # held, so that no storage is given to a second tensor
    del loss
    return sum(storages.values())


def print_cells() -> None:
    """Time, memory and parameters of every cell."""
    x, cells = inputs(), every_cell()
    steps = {name: training_step(model, lambda run=run: run(x)) for name, (model, run) in cells.items()}
    taken = take_turns(steps)
    print("| cell | parameters | training step, ms, median (quartiles) | saved for backward, MB |")
    print("| --- | --- | --- | --- |")
    for name, (model, run) in cells.items():
        parameters = sum(weight.numel() for weight in model.parameters())
        print(f"| {name} | {parameters} | {in_milliseconds(taken[name])} | {saved_bytes(run, x) / 1e6:.1f} |")


def take_turns(measures: Measures) -> dict[str, list[float]]:
    """Seconds of each measure, in alternation, after one turn to warm up."""
    taken = {name: [] for name in measures}
    for turn in range(TURNS + 1):
        for name, measure in measures.items():
            elapsed = measure()
            if turn:
                taken[name].append(elapsed)
    return taken


def in_milliseconds(times: list[float]) -> str:
    """Median and quartiles."""
    lower, median, upper = (1000 * quartile for quartile in statistics.quantiles(times, n=4))
    return f"{median:.1f} ({lower:.1f}-{upper:.1f})"


def print_rows(taken: dict[str, list[float]]) -> None:
    """One row for each measure; the first is what the others are divided by."""
    first = next(iter(taken.values()))
    for name, times in taken.items():
        ratio = statistics.median(own / other for own, other in zip(times, first, strict=True))
        print(f"| {name} | {in_milliseconds(times)} | {ratio:.2f} |")


def main(*wanted: str) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    tables = {"vanilla": vanilla, "lstm": lstm, "gru": gru, "profile": profile}
    chosen = [table for name, table in tables.items() if not wanted or name in wanted]
    if chosen:
        print("| what | ms, median (quartiles) | ratio to the peer, median over turns |\n| --- | --- | --- |")
    for table in chosen:
        for measures in table():
            print_rows(take_turns(measures))
    if not wanted or "cells" in wanted:
        print()
        print_cells()
    print(f"\n{TURNS} alternating turns each; PyTorch {torch.__version__}, one thread, CPU time.")


if __name__ == "__main__":
    main(*sys.argv[1:])
