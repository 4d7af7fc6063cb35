"""Exercise 8: a long trajectory fitted in short pieces that must meet."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _mean_square(error: Tensor) -> Tensor:
    return error.square().mean()


def _sum_of_squares(error: Tensor) -> Tensor:
    return error.square().sum()


def _cut(y: Tensor, pieces: int) -> Tensor:
    return y.reshape(pieces, -1, y.shape[-1])


def _interleave(y: Tensor, pieces: int) -> Tensor:
    return y.reshape(-1, pieces, y.shape[-1]).transpose(0, 1)


def _jump(predicted: Tensor, starts: Tensor, data: Tensor) -> Tensor:
    return predicted[:-1, -1] - starts[1:]


def _shooting(
    flow: Callable,
    starts: Tensor,
    y: Tensor,
    weight: Tensor | float,
    *,
    cut: Callable = _cut,
    fitted: slice = slice(0, -1),
    jump: Callable = _jump,
    of_fit: Callable = _mean_square,
    of_jump: Callable = _mean_square,
) -> Tensor:
    """mean (ŷ - y)² + weight · mean (end of a piece - start of the next)²."""
    data, predicted = cut(y, len(starts)), flow(starts)
    return of_fit(predicted[:, fitted] - data) + weight * of_jump(jump(predicted, starts, data))


MISCONCEPTIONS = (
    (
        "nothing makes the pieces meet: add weight times the mean squared jump from the end of a piece to "
        "the start of the next",
        lambda flow, starts, y, weight: _shooting(flow, starts, y, 0.0),
    ),
    (
        "the measurements are left out: this makes the pieces meet anywhere",
        partial(_shooting, of_fit=lambda error: 0.0),
    ),
    (
        "you start each piece at its first measurement, noise and all; `starts` are free, and fitted with θ",
        lambda flow, starts, y, weight: _shooting(flow, _cut(y, len(starts))[:, 0], y, weight),
    ),
    (
        "the end of a piece is compared with the next measurement; it should meet the next start, which is "
        "free of noise",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:-1, -1] - data[1:, 0]),
    ),
    (
        "you compare the last measured time of a piece with the next start, one interval too early: the end "
        "of a piece is `predicted[:, -1]`",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:-1, -2] - starts[1:]),
    ),
    (
        "you compare the end of a piece with its own start; it should meet the start of the next",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:, -1] - starts),
    ),
    (
        "you close the circle: `roll` compares the end of the last piece with the start of the first. Leave "
        "the last piece out",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:, -1] - starts.roll(-1, 0)),
    ),
    (
        "you compare the end of a piece with the start of the one before it; shift the other way",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[1:, -1] - starts[:-1]),
    ),
    (
        "the predictions are one interval late: a piece starts at its first measured time, and its last "
        "output belongs to the next piece",
        partial(_shooting, fitted=slice(1, None)),
    ),
    (
        "the pieces are interleaved: piece k holds the measurements k n to (k + 1) n - 1, side by side in "
        "`y.reshape(K, n, D)`",
        partial(_shooting, cut=_interleave),
    ),
    (
        "`weight` does not come in: it multiplies the mean squared jump",
        lambda flow, starts, y, weight: _shooting(flow, starts, y, 1.0),
    ),
    (
        "`weight` multiplies the misfit too; the brackets are wrong",
        lambda flow, starts, y, weight: weight * _shooting(flow, starts, y, 1.0),
    ),
    (
        "`weight` multiplies the misfit; it belongs to the jumps",
        lambda flow, starts, y, weight: weight * _shooting(flow, starts, y, 1 / weight),
    ),
    ("you do not square the jumps: one up and one down would cancel", partial(_shooting, of_jump=torch.mean)),
    (
        "you take absolute jumps; the mean square is asked for",
        partial(_shooting, of_jump=lambda jump: jump.abs().mean()),
    ),
    (
        "you sum the squared jumps; take their mean, or `weight` means something else for other pieces",
        partial(_shooting, of_jump=_sum_of_squares),
    ),
    (
        "you return sums; take the mean of each kind of error",
        partial(_shooting, of_fit=_sum_of_squares, of_jump=_sum_of_squares),
    ),
)


def multiple_shooting(answer, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(flow, starts (K, D), y (T, D), weight ()) -> ()` with T = K n."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {
        "flow": _powers(torch.tensor([[2.0]]), count=2),
        "starts": torch.tensor([[1.0], [3.0]]),
        "y": torch.tensor([[1.0], [2.0], [5.0], [6.0]]),
        "weight": torch.tensor(0.5),
    }
    cases = {
        "doubling, two pieces of two, by hand": by_hand,
        "an oscillation, three pieces of four": _oscillation(generator, pieces=3, count=4),
        "an oscillation, five pieces of six": _oscillation(generator, pieces=5, count=6),
    }
    return examine("multiple_shooting", answer, cases, _shooting, MISCONCEPTIONS)


def _oscillation(generator: Generator, pieces: int, count: int) -> dict[str, object]:
    """Noisy measurements of a rotation, and free starts that are not right yet."""
    A = torch.tensor([[0.8, -0.5], [0.5, 0.8]])
    course = _powers(A, pieces * count - 1)(torch.tensor([[1.0, 0.5]]))[0]
    y = course + 0.3 * torch.randn(course.shape, generator=generator)
    starts = course[::count] + 0.5 * torch.randn(pieces, 2, generator=generator)
    return {"flow": _powers(A, count), "starts": starts, "y": y, "weight": torch.tensor(3.0)}


def _powers(A: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    """The flow that takes y to A y in an interval: from starts (K, D) to `count` + 1 states (K, n + 1, D)."""

    def flow(starts: Tensor) -> Tensor:
        states = [starts]
        for _ in range(count):
            states.append(states[-1] @ A.mT)
        return torch.stack(states, 1)

    return flow
