"""The vanilla network beside `torch.nn.RNN`, and a gradient profile beside a plain backward pass.

All peers take turns in one process, and rows give the median and quartiles of many turns.

    python benchmarks/recurrent.py
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.recurrent import VanillaRNN, from_torch, gradient_profile, orthogonal_

TURNS = 25
FEATURES = 8


def setting(steps: int, units: int, series: int) -> tuple[VanillaRNN, nn.RNN, Tensor]:
    """Our network, PyTorch's with the same weights, and inputs.

    W_hh is orthogonal: in a network that forgets, gradients shrink to denormal numbers, and those are slow.
    """
    generator = torch.Generator().manual_seed(0)
    theirs = nn.RNN(FEATURES, units, batch_first=True)
    orthogonal_(theirs.weight_hh_l0, generator=generator)
    return from_torch(theirs), theirs, torch.randn(series, steps, FEATURES, generator=generator)


def mean_square(states: Tensor) -> Tensor:
    """A loss to which every step contributes."""
    return states.square().mean()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def training_step(model: nn.Module, states: Callable[[], Tensor]) -> Callable[[], float]:
    """What measures forward, loss, backward and a step of Adam."""
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimiser.zero_grad()
        mean_square(states()).backward()
        optimiser.step()

    return lambda: seconds(step)


def compare_training_steps() -> dict[str, list[float]]:
    """Training steps at T = 200, H = 64, B = 64."""
    ours, theirs, x = setting(steps=200, units=64, series=64)
    return take_turns(
        {
            "training step, torch.nn.RNN": training_step(theirs, lambda: theirs(x)[0]),
            "training step, VanillaRNN": training_step(ours, lambda: ours(x)),
        }
    )


def compare_backward_passes() -> dict[str, list[float]]:
    """A profile, its forward pass included, beside backward passes alone, at T = 1000, H = 64, B = 32."""
    ours, _, x = setting(steps=1000, units=64, series=32)

    def plain() -> float:
        loss = mean_square(ours(x))
        return seconds(loss.backward)

    return take_turns(
        {
            "backward pass of VanillaRNN": plain,
            "gradient_profile, forward included": lambda: seconds(
                lambda: gradient_profile(ours, x, mean_square)
            ),
        }
    )


def take_turns(measures: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Seconds of each measure, in alternation, after one turn to warm up."""
    taken = {name: [] for name in measures}
    for turn in range(TURNS + 1):
        for name, measure in measures.items():
            elapsed = measure()
            if turn:
                taken[name].append(elapsed)
    return taken


def print_rows(taken: dict[str, list[float]]) -> None:
    """One row for each measure; the first is what the others are divided by."""
    first = next(iter(taken.values()))
    for name, times in taken.items():
        lower, median, upper = (1000 * quartile for quartile in statistics.quantiles(times, n=4))
        ratio = statistics.median(own / other for own, other in zip(times, first, strict=True))
        print(f"| {name} | {median:.1f} ({lower:.1f}-{upper:.1f}) | {ratio:.2f} |")


def main() -> None:
    """Print a table."""
    print("| what | ms, median (quartiles) | ratio to the peer, median over turns |\n| --- | --- | --- |")
    for compare in (compare_training_steps, compare_backward_passes):
        print_rows(compare())
    print(
        f"\n{TURNS} alternating turns each; PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s)."
    )


if __name__ == "__main__":
    main()
