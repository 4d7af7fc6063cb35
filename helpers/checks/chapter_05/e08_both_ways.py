"""Exercise 8: series of different lengths, read from both ends, and who may do that."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict, combine

Reader = Callable[[Tensor], Tensor]  # from series (B, T, D) to states (B, T, H), read from the first step on


def _both_ways(
    x: Tensor,
    lengths: Tensor,
    forwards: Reader,
    backwards: Reader,
    *,
    turn: Callable = lambda series: series.flip(1),
    turn_back: Callable = lambda series: series.flip(1),
    join: Callable = lambda ahead, back: torch.cat([ahead, back], -1),
) -> Tensor:
    """Both states of each step (B, T, H + H), and zeros beyond each series' length."""
    rows = []
    for series, length in zip(x.split(1), lengths.tolist(), strict=True):
        series = series[:, :length]
        both = join(forwards(series), turn_back(backwards(turn(series))))
        rows.append(torch.nn.functional.pad(both, (0, 0, 0, x.shape[1] - length)))
    return torch.cat(rows)


def _padding_first(x: Tensor, lengths: Tensor, forwards: Reader, backwards: Reader) -> Tensor:
    """The whole array turned round, so that the second reader meets the padding before the series."""
    both = torch.cat([forwards(x), backwards(x.flip(1)).flip(1)], -1)
    return both * (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)


def _padding_kept(x: Tensor, lengths: Tensor, forwards: Reader, backwards: Reader) -> Tensor:
    """Right within the series, and beyond it what the two readers make of the padding."""
    beyond = (torch.arange(x.shape[1]) >= lengths.unsqueeze(1)).unsqueeze(-1)
    careless = torch.cat([forwards(x), backwards(x.flip(1)).flip(1)], -1)
    return torch.where(beyond, careless, _both_ways(x, lengths, forwards, backwards))


def _read_on(x: Tensor, lengths: Tensor, forwards: Reader, backwards: Reader) -> Tensor:
    """The array turned round and never zeroed."""
    return torch.cat([forwards(x), backwards(x.flip(1)).flip(1)], -1)


_PADDING = (
    "your second reader meets the padding first and carries into the series what it made of that: turn each "
    "series round within its own length"
)
MISCONCEPTIONS = (
    (_PADDING, _padding_first),
    (_PADDING, _read_on),
    (
        "what the second reader says is not turned back: its last state belongs to the first step",
        partial(_both_ways, turn_back=torch.positive),
    ),
    (
        "your second reader reads forwards, too: turn the series round before it reads",
        partial(_both_ways, turn=torch.positive, turn_back=torch.positive),
    ),
    (
        "you turn round only what comes out of the second reader; turn its input round, too",
        partial(_both_ways, turn=torch.positive),
    ),
    (
        "the halves are exchanged: the forward states come first",
        partial(_both_ways, join=lambda ahead, back: torch.cat([back, ahead], -1)),
    ),
    (
        "both of your halves come from the first reader; the second has weights of its own",
        lambda x, lengths, forwards, backwards: _both_ways(x, lengths, forwards, forwards),
    ),
    (
        "both of your halves come from the second reader; the first has weights of its own",
        lambda x, lengths, forwards, backwards: _both_ways(x, lengths, backwards, backwards),
    ),
    (
        "beyond a series' own length both halves are zero; yours hold what was made of the padding",
        _padding_kept,
    ),
)
BOTH, AHEAD, DELAYED = "both ways", "forwards", "with a delay"
ALLOWED = Figure(
    "five uses",
    {
        "use 1, exons": BOTH,
        "use 2, forecast": AHEAD,
        "use 3, alarm": AHEAD,
        "use 4, division": DELAYED,
        "use 5, gaps": BOTH,
    },
    {
        BOTH: "the whole series lies before you when you are asked, and what is asked for is not in it",
        AHEAD: "you are asked at once, about now or later, when nothing later has been read, or when what "
        "comes later is itself what is asked for",
        DELAYED: "you are asked a fixed while after each step, so that some of what follows it, but not all, "
        "has been read",
    },
    phrases=True,
)


def both_ways(answer, allowed: object = None, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(x (B, T, D), lengths (B,), forwards, backwards) -> (B, T, 2H)`, and five uses."""
    draws = torch.Generator().manual_seed(seed)
    one, other = _reader(draws, 1, 1), _reader(draws, 1, 1)
    readers = {"forwards": _reader(draws, 2, 3), "backwards": _reader(draws, 2, 3)}
    cases = {
        "readers that add up, by hand": {
            "x": torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1),
            "lengths": torch.tensor([3]),
            "forwards": lambda x: x.cumsum(1),
            "backwards": lambda x: 10 * x.cumsum(1),
        },
        "two steps and padding": {
            "x": torch.tensor([1.0, 0.5, 9.0, 9.0]).view(1, 4, 1),
            "lengths": torch.tensor([2]),
            "forwards": one,
            "backwards": other,
        },
        "two series without padding": _batch(draws, 4, 4) | readers,
        "two series, of 1 and 5 steps": _batch(draws, 1, 5) | readers,
        "four series, of 6, 5, 3 and 1 steps": _batch(draws, 6, 3, 1, 5) | readers,
    }
    reading = examine("both_ways", answer, cases, _both_ways, MISCONCEPTIONS)
    return combine("both_ways", reading, *ALLOWED.judge(allowed))


def _batch(draws: torch.Generator, *lengths: int) -> dict[str, Tensor]:
    """Series of two features, in any order, and behind each as many numbers as the longest has more."""
    order = torch.randperm(len(lengths), generator=draws)
    x = torch.randn(len(lengths), max(lengths), 2, generator=draws)
    return {"x": x, "lengths": torch.tensor(lengths)[order]}


def _reader(draws: torch.Generator, inputs: int, units: int) -> Reader:
    """A small vanilla network with weights at random, which starts at 0."""
    W_xh, W_hh = torch.randn(units, inputs, generator=draws), torch.randn(units, units, generator=draws)
    b = torch.randn(units, generator=draws)

    def read(x: Tensor) -> Tensor:
        h, states = x.new_zeros(len(x), units), []
        for x_t in x.unbind(1):
            h = torch.tanh(x_t @ W_xh.mT + h @ W_hh.mT + b)
            states.append(h)
        return torch.stack(states, 1)

    return read
