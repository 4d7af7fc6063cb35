"""Exercise 6: a loss that compares the right times of the right samples, where there is a measurement."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Linear:
    """The law y' = A y, with its solution in closed form.

    Parameters
    ----------
    A : Tensor (D, D)
    """

    A: Tensor

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """y' (B, D)."""
        return y @ self.A.mT

    def solution(self, t: Tensor, y0: Tensor) -> Tensor:
        """e^(A (t - t_0)) y0, as torchdiffeq orders it, (T, B, D)."""
        return y0 @ torch.linalg.matrix_exp((t - t[0])[:, None, None] * self.A).mT


def _samples_first(solution: Tensor, y: Tensor) -> Tensor:
    return solution.transpose(0, 1)


def _times_first(solution: Tensor, y: Tensor) -> Tensor:
    """Axes (T, B, D) to meet (B, T, D): that runs only where B = T, or B = 1."""
    return solution if len(y) in (1, len(solution)) else torch.full_like(y, torch.nan)


def _mean_of_measured(squares: Tensor, mask: Tensor) -> Tensor:
    return (squares * mask).sum() / mask.sum()


def _loss(
    field: Linear,
    t: Tensor,
    y: Tensor,
    mask: Tensor,
    *,
    arrange: Callable = _samples_first,
    reduce: Callable = _mean_of_measured,
) -> Tensor:
    return reduce((arrange(field.solution(t, y[:, 0]), y) - y).square(), mask)


MISCONCEPTIONS = (
    (
        "both faults are left: torchdiffeq's (T, B, D) meets (B, T, D), and zeros that nobody measured count "
        "as measurements",
        partial(_loss, arrange=_times_first, reduce=lambda squares, mask: squares.mean()),
    ),
    (
        "sample 3 at time 5 still meets sample 5 at time 3: torchdiffeq returns (T, B, D), the data are "
        "(B, T, D). Where T = B nothing complains. Swap the first two axes",
        partial(_loss, arrange=_times_first),
    ),
    (
        "`reshape` and `view` keep the order of the numbers in memory and cut them anew: samples and times "
        "are shuffled. Swap the axes with `transpose(0, 1)`",
        partial(_loss, arrange=lambda solution, y: solution.reshape(y.shape)),
    ),
    (
        "zeros that nobody measured still count as measurements: use the mask",
        partial(_loss, reduce=lambda squares, mask: squares.mean()),
    ),
    (
        "you mask the errors and divide by all entries, so that a patient seen less often seems to fit "
        "better; divide by the number of measurements",
        partial(_loss, reduce=lambda squares, mask: (squares * mask).mean()),
    ),
    (
        "your mask is inverted: True is observed",
        partial(_loss, reduce=lambda squares, mask: squares[~mask].mean()),
    ),
    (
        "you return the sum; divide by the number of measurements",
        partial(_loss, reduce=lambda squares, mask: squares[mask].sum()),
    ),
    (
        "you return the root of the mean square; its gradient at a perfect fit is NaN. Leave the root out",
        partial(_loss, reduce=lambda squares, mask: squares[mask].mean().sqrt()),
    ),
    (
        "you average absolute errors; the mean square is asked for",
        partial(_loss, reduce=lambda squares, mask: squares[mask].sqrt().mean()),
    ),
)


def trajectory_loss(answer, seed: int = 1) -> Verdict:
    """Exercise 6: `answer(field, t (T,), y (B, T, D), mask (B, T, D)) -> ()`, mean squared error."""
    generator = torch.Generator().manual_seed(seed)
    cases = {
        "as many samples as times, all measured": _study(generator, 6, 6, share=1.0),
        "as many samples as times, some not measured": _study(generator, 5, 5, share=0.6),
        "one sample": _study(generator, 1, 4, share=0.7),
        "three samples, seven times": _study(generator, 3, 7, share=0.6),
    }
    return examine("trajectory_loss", answer, cases, _loss, MISCONCEPTIONS)


def _study(generator: Generator, samples: int, times: int, share: float) -> dict[str, object]:
    """Noisy measurements of a damped oscillation, 0 where there is none; a start is always measured."""
    law = Linear(torch.tensor([[-0.2, -1.0], [1.0, -0.2]], dtype=torch.float64))
    t = torch.rand(times, generator=generator, dtype=torch.float64).cumsum(0)
    y0 = 2 + torch.randn(samples, 2, generator=generator, dtype=torch.float64)
    y = law.solution(t, y0).transpose(0, 1)
    y = y + 0.1 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(y.shape, generator=generator) < share
    mask[:, 0] = True
    return {"field": law, "t": t, "y": torch.where(mask, y, 0.0), "mask": mask}
