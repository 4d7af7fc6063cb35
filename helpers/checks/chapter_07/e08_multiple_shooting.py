"""Exercise 8: a long trajectory fitted in short pieces that must meet."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Steps:
    """A law that takes the state y to A y in one interval.

    Parameters
    ----------
    A : Tensor (D, D)
    count : int
        n, how many intervals a piece has.
    """

    A: Tensor
    count: int

    def __call__(self, starts: Tensor) -> Tensor:
        """From starts (K, D) the states at 0, 1, …, n intervals, (K, n + 1, D)."""
        states = [starts]
        for _ in range(self.count):
            states.append(states[-1] @ self.A.mT)
        return torch.stack(states, 1)


def _square(difference: Tensor) -> Tensor:
    return difference.square().mean()


def _in_order(y: Tensor, pieces: int) -> Tensor:
    return y.reshape(pieces, -1, y.shape[-1])


def _interleaved(y: Tensor, pieces: int) -> Tensor:
    return y.reshape(-1, pieces, y.shape[-1]).transpose(0, 1)


def _jump(predicted: Tensor, starts: Tensor, data: Tensor) -> Tensor:
    """From the end of each piece to the start of the next, (K - 1, D)."""
    return predicted[:-1, -1] - starts[1:]


def _shooting(
    flow: Callable,
    starts: Tensor,
    y: Tensor,
    weight: Tensor,
    *,
    cut: Callable = _in_order,
    fitted: slice = slice(0, -1),
    jump: Callable = _jump,
    size: Callable = _square,
    weights: Callable = lambda weight: (1.0, weight),
) -> Tensor:
    """mean (ŷ - y)² + weight · mean (end of a piece - start of the next)²."""
    data = cut(y, len(starts))
    predicted = flow(starts)
    of_fit, of_jump = weights(weight)
    return of_fit * _square(predicted[:, fitted] - data) + of_jump * size(jump(predicted, starts, data))


def _from_data(flow: Callable, starts: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return _shooting(flow, _in_order(y, len(starts))[:, 0], y, weight)


def _summed(flow: Callable, starts: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    predicted, data = flow(starts), _in_order(y, len(starts))
    jump = _jump(predicted, starts, data)
    return (predicted[:, :-1] - data).square().sum() + weight * jump.square().sum()


MISCONCEPTIONS = (
    Misconception(
        "nothing makes the pieces meet: add weight times the mean squared jump from the end of a piece to "
        "the start of the next",
        partial(_shooting, weights=lambda weight: (1.0, 0.0)),
    ),
    Misconception(
        "the measurements are left out: this makes the pieces meet anywhere",
        partial(_shooting, weights=lambda weight: (0.0, weight)),
    ),
    Misconception(
        "you start each piece at its first measurement, noise and all; `starts` are free, and fitted with θ",
        _from_data,
    ),
    Misconception(
        "the end of a piece is compared with the next measurement; it should meet the next start, which is "
        "free of noise",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:-1, -1] - data[1:, 0]),
    ),
    Misconception(
        "you compare the last measured time of a piece with the next start, one interval too early: the end "
        "of a piece is `predicted[:, -1]`",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:-1, -2] - starts[1:]),
    ),
    Misconception(
        "you compare the end of a piece with its own start; it should meet the start of the next",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:, -1] - starts),
    ),
    Misconception(
        "you close the circle: `roll` compares the end of the last piece with the start of the first. Leave "
        "the last piece out",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[:, -1] - starts.roll(-1, 0)),
    ),
    Misconception(
        "you compare the end of a piece with the start of the one before it; shift the other way",
        partial(_shooting, jump=lambda predicted, starts, data: predicted[1:, -1] - starts[:-1]),
    ),
    Misconception(
        "the predictions are one interval late: a piece starts at its first measured time, and its last "
        "output belongs to the next piece",
        partial(_shooting, fitted=slice(1, None)),
    ),
    Misconception(
        "the pieces are interleaved: piece k holds the measurements k n to (k + 1) n - 1, side by side in "
        "`y.reshape(K, n, D)`",
        partial(_shooting, cut=_interleaved),
    ),
    Misconception(
        "`weight` does not come in: it multiplies the mean squared jump",
        partial(_shooting, weights=lambda weight: (1.0, 1.0)),
    ),
    Misconception(
        "`weight` multiplies the misfit too; the brackets are wrong",
        partial(_shooting, weights=lambda weight: (weight, weight)),
    ),
    Misconception(
        "`weight` multiplies the misfit; it belongs to the jumps",
        partial(_shooting, weights=lambda weight: (weight, 1.0)),
    ),
    Misconception(
        "you do not square the jumps: one up and one down would cancel",
        partial(_shooting, size=torch.mean),
    ),
    Misconception(
        "you take absolute jumps; the mean square is asked for",
        partial(_shooting, size=lambda jump: jump.abs().mean()),
    ),
    Misconception(
        "you sum the squared jumps; take their mean, or `weight` means something else for other pieces",
        partial(_shooting, size=lambda jump: jump.square().sum()),
    ),
    Misconception("you return sums; take the mean of each kind of error", _summed),
)


def multiple_shooting(answer, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(flow, starts (K, D), y (T, D), weight ()) -> ()` with T = K n."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {
        "flow": Steps(torch.tensor([[2.0]]), count=2),
        "starts": torch.tensor([[1.0], [3.0]]),
        "y": torch.tensor([[1.0], [2.0], [5.0], [6.0]]),
        "weight": torch.tensor(0.5),
    }
    cases = (
        Case("doubling, two pieces of two, by hand", by_hand),
        Case("an oscillation, three pieces of four", _oscillation(generator, pieces=3, count=4)),
        Case("an oscillation, five pieces of six", _oscillation(generator, pieces=5, count=6)),
    )
    return examine("multiple_shooting", answer, cases, _shooting, MISCONCEPTIONS)


def _oscillation(generator: Generator, pieces: int, count: int) -> dict[str, object]:
    """Noisy measurements of a rotation, and free starts that are not right yet."""
    A = torch.tensor([[0.8, -0.5], [0.5, 0.8]])
    course = Steps(A, pieces * count - 1)(torch.tensor([[1.0, 0.5]]))[0]
    y = course + 0.3 * torch.randn(course.shape, generator=generator)
    starts = course[::count] + 0.5 * torch.randn(pieces, 2, generator=generator)
    return {"flow": Steps(A, count), "starts": starts, "y": y, "weight": torch.tensor(3.0)}
