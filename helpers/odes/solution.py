"""What `solve` returns."""

from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

from helpers.odes.arguments import kind
from helpers.odes.interpolation import DenseOutput
from helpers.odes.stats import Stats


class Status(IntEnum):
    """How the solution of one sample ended.

    OK
        It reached its last time.
    STEP_UNDERFLOW
        Its error was too large even with the shortest step that changes t.
    NON_FINITE_FIELD
        Its field was not finite, or its state outgrew the numbers of its dtype.
    STEP_LIMIT
        It needed more than `max_steps` trials.
    """

    OK = 0
    STEP_UNDERFLOW = 1
    NON_FINITE_FIELD = 2
    STEP_LIMIT = 3


@dataclass(frozen=True, eq=False)
class Interpolant:
    """The solution at any time from its first to its last; NaN where a sample did not get so far.

    It keeps every step, and the graph of its gradient. With dopri8 it may evaluate the field (as it is then).

    Attributes
    ----------
    first, last : Tensor (B,), float64
        The times solved for.
    dense : DenseOutput
        The solution between the steps.
    """

    first: Tensor
    last: Tensor
    dense: DenseOutput = field(repr=False)

    def __call__(self, t: Tensor) -> Tensor:
        """The states (B, T, ...) at times (T,), or (B, T) of each sample its own, in any order.

        Raises
        ------
        ValueError
            If `t` is not a floating-point tensor of that shape and on that device, requires a gradient, or
            leaves the times that were solved for.
        """
        return self.dense(self.dense.locate(self._checked(t)))

    def _checked(self, t: Tensor) -> Tensor:
        batch = len(self.first)
        if not (isinstance(t, Tensor) and t.is_floating_point()):
            raise ValueError(f"t must be a floating-point tensor: got {kind(t)}")
        if t.ndim not in (1, 2) or (t.ndim == 2 and len(t) != batch):
            raise ValueError(f"t must have shape (T,) or (B, T) with B = {batch}: got {tuple(t.shape)}")
        if t.requires_grad and torch.is_grad_enabled():
            raise ValueError("t must not require a gradient, for there is none by the times: pass t.detach()")
        if t.device != self.first.device:
            raise ValueError(f"t must be on the device of the solution, {self.first.device}: got {t.device}")
        times = t.detach().double().expand(batch, -1).contiguous()
        low, high = torch.minimum(self.first, self.last), torch.maximum(self.first, self.last)
        outside = ~((times >= low[:, None]) & (times <= high[:, None]))
        if outside.any():
            sample, k = outside.nonzero()[0].tolist()
            place = f"t[{sample}, {k}]" if t.ndim == 2 else f"t[{k}]"
            raise ValueError(
                f"t must lie within the times solved for, {low[sample].item()} to {high[sample].item()} "
                f"in sample {sample}: {place} = {times[sample, k].item()}"
            )
        return times


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution of an initial value problem.

    Attributes
    ----------
    t : Tensor (T,) or (B, T)
        Times, as given.
    y : Tensor (B, T, ...)
        States at these times; the first are the initial states, exactly.
    status : Tensor (B,), integer
        `Status` of each sample.
    stats : Stats
        Steps and evaluations.
    interpolant : Interpolant
        The states at any time between.
    """

    t: Tensor
    y: Tensor
    status: Tensor
    stats: Stats
    interpolant: Interpolant = field(repr=False)
