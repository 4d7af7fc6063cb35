"""The dense output: the solution between the steps."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.odes.path import Path
from helpers.odes.stepper import Stepper, beside
from helpers.odes.tableau import Tableau


@dataclass(frozen=True, eq=False)
class Located:
    """Where times (B, T) lie on a path of N trials.

    Attributes
    ----------
    trial : Tensor (B, T), integer
        The accepted trial that leads over each time; N at the path's end.
    share : Tensor (B, T), float64
        θ in [0, 1), the share of its step.
    beyond : Tensor (B, T), bool
        Later than the sample got.
    """

    trial: Tensor
    share: Tensor
    beyond: Tensor


@dataclass(frozen=True, eq=False)
class DenseOutput:
    """The solution at any time on a path.

    ::

        y(t_n + θ h) ≈ y_n + Σ_i b_i(θ) h k_i

    Where the dense output has stages of its own (dopri8), the field is evaluated for them in a step when that
    step is first asked for.

    Attributes
    ----------
    stepper : Stepper
        Field and method.
    path : Path
        The steps.
    direction : Tensor (B,), float64
        1 where time runs forwards, -1 where backwards.
    dense_stages : dict from n to a tuple of Tensor (B, ...)
        h k_i of the stages evaluated so far for the dense output of trial n.
    """

    stepper: Stepper
    path: Path
    direction: Tensor
    dense_stages: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    def locate(self, t: Tensor) -> Located:
        """Find each time (B, T) on the path; a time where two steps meet belongs to the second.

        A rejected trial ends where it began, so that no time lies in it.
        """
        times, steps = self.path.times(), self.path.steps()
        direction = self.direction[:, None]
        ends = direction * times
        trial = torch.searchsorted(ends[:, 1:].contiguous(), direction * t, right=True)
        share = (t - times.gather(1, trial)) / steps.gather(1, trial)
        share = torch.where(trial == self.path.trials, 0.0, share)
        return Located(trial, share, direction * t > ends[:, -1:])

    def __call__(self, located: Located) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        path, shape = self.path, located.trial.shape
        batch = torch.arange(shape[0], device=located.trial.device)[:, None]
        rows = (shape[0] * located.trial + batch).flatten()  # (B T,) of (N + 1) B
        y = _rows(path.y, rows)
        nothing = torch.zeros_like(path.y[-1])  # is what a trial after the last would add
        weights = dense_weights(self.stepper.tableau, located.share.flatten()).to(y.dtype)
        stages = zip(*self._increments(located), strict=True)
        for row, weight, stage in zip(self.stepper.tableau.dense, weights, stages, strict=False):
            if any(row):
                y = torch.addcmul(y, beside(weight, y), _rows([*stage, nothing], rows))
        y = y.reshape(*shape, *y.shape[1:])
        beyond = located.beyond.reshape(*shape, *[1] * (y.ndim - 2))
        return y.masked_fill(beyond, torch.nan) if beyond.any() else y

    def _increments(self, located: Located) -> list[tuple[Tensor, ...]]:
        """h k_i of all stages of every trial; zeros for dense stages of trials that no time lies in."""
        path, tableau = self.path, self.stepper.tableau
        if not tableau.dense_a:
            return path.increments
        with_graph = torch.is_grad_enabled() and path.y[-1].requires_grad
        for n in located.trial[located.share > 0].unique().tolist():
            known = self.dense_stages.get(n)
            if known is None or (with_graph and not known[0].requires_grad):
                with torch.set_grad_enabled(with_graph):
                    self.dense_stages[n] = self.stepper.dense_stages(
                        path.t[n], path.y[n], path.h[n], path.increments[n]
                    )
        nothing = (torch.zeros_like(path.y[0]),) * len(tableau.dense_a)
        return [each + self.dense_stages.get(n, nothing) for n, each in enumerate(path.increments)]


def dense_weights(tableau: Tableau, share: Tensor) -> Tensor:
    """b_i(θ) = Σ_j P_ij θ^j of each stage (S, T) at shares θ (T,) of the step."""
    coefficients = torch.tensor(tableau.dense, dtype=share.dtype, device=share.device)  # P (S, J)
    powers = [share]
    while len(powers) < coefficients.shape[1]:
        powers.append(powers[-1] * share)
    return coefficients @ torch.stack(powers)


def _rows(entries: list[Tensor], rows: Tensor) -> Tensor:
    """Rows (R, ...) of tensors (B, ...) put one below the other."""
    return torch.stack(entries).flatten(0, 1).index_select(0, rows)
