"""The dense output: the solution between the steps."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.odes.controller import direction
from helpers.odes.loop import Path, Stepper, unsqueeze_like
from helpers.odes.tableau import Tableau


@dataclass(frozen=True, eq=False)
class Location:
    """Where times (B, T) lie on a path of N trials.

    Attributes
    ----------
    trial : Tensor (B, T), integer
        The accepted trial that leads over each time; N at the path's end.
    theta : Tensor (B, T), float64
        θ in [0, 1), the fraction of its step.
    beyond : Tensor (B, T), bool
        Later than the sample got.
    """

    trial: Tensor
    theta: Tensor
    beyond: Tensor


@dataclass(frozen=True)
class AdjointReport:
    """What a backward pass took, of `gradient` other than `direct`.

    Attributes
    ----------
    evaluations : int
        Of the field, and as often of its derivative where it was needed.
    steps : int
        Of the backward pass: with `replay` those taken again, otherwise those of the adjoint.
    stored_states : int
        States that were kept at the same time, at most.
    """

    evaluations: int
    steps: int
    stored_states: int


class Dense(Protocol):
    """The solution at any time on a path, with its gradient."""

    stepper: Stepper
    end: Tensor
    start: Tensor
    steps: int
    requires_grad: bool
    report: AdjointReport | None

    def locate(self, t: Tensor) -> Location:
        """Find each time (B, T) on the path."""
        ...

    def __call__(self, location: Location) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        ...


@dataclass(frozen=True, eq=False)
class DenseOutput:
    """The solution at any time on a path.

    ::

        y(t_n + θ h) ≈ y_n + Σ_i b_i(θ) h k_i

    Where the dense output has stages of its own (dopri8), the field is evaluated for them in a step when that
    step is first asked for.

    Parameters
    ----------
    stepper : Stepper
        Field and method.
    path : Path
        The steps.
    end : Tensor (B,), float64
        The times that the path was to reach.
    dense_stages : dict from n to a tuple of Tensor (B, ...)
        h k_i of the stages evaluated so far for the dense output of trial n.
    """

    stepper: Stepper
    path: Path
    end: Tensor
    dense_stages: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def start(self) -> Tensor:
        """y₀ (B, ...)."""
        return self.path.y[0]

    @property
    def steps(self) -> int:
        """N."""
        return self.path.trials

    @property
    def requires_grad(self) -> bool:
        """Whether any state has a graph."""
        return any(y.requires_grad for y in self.path.y)

    @property
    def report(self) -> None:
        """None: autograd goes its own way back."""
        return None

    def locate(self, t: Tensor) -> Location:
        """Find each time (B, T) on the path."""
        return locate(self.path.times(), t, self.end, self.path.step_sizes())

    def __call__(self, location: Location) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        path, shape = self.path, location.trial.shape
        batch = torch.arange(shape[0], device=location.trial.device)[:, None]
        rows = (shape[0] * location.trial + batch).flatten()  # (B T,) of (N + 1) B
        y = _rows(path.y, rows)
        nothing = torch.zeros_like(path.y[-1])  # is what a trial after the last would add
        weights = dense_weights(self.stepper.tableau, location.theta.flatten()).to(y.dtype)
        stages = zip(*self.all_increments(location), strict=True)
        for row, weight, stage in zip(self.stepper.tableau.dense, weights, stages, strict=False):
            if any(row):
                y = torch.addcmul(y, unsqueeze_like(weight, y), _rows([*stage, nothing], rows))
        y = y.reshape(*shape, *y.shape[1:])
        if self.stepper.compiled and y.requires_grad:
            y.register_hook(refuse_second_derivatives)
        beyond = location.beyond.reshape(*shape, *[1] * (y.ndim - 2))
        return y.masked_fill(beyond, torch.nan) if beyond.any() else y

    def all_increments(self, location: Location) -> list[tuple[Tensor, ...]]:
        """h k_i of all stages of every trial; zeros for dense stages of trials that no time lies in."""
        path, tableau = self.path, self.stepper.tableau
        if not tableau.dense_a:
            return path.increments
        with_graph = torch.is_grad_enabled() and path.y[-1].requires_grad
        for n in location.trial[location.theta > 0].unique().tolist():
            known = self.dense_stages.get(n)
            if known is None or (with_graph and not known[0].requires_grad):
                with torch.set_grad_enabled(with_graph):
                    self.dense_stages[n] = self._evaluate_stages(n)
        nothing = (torch.zeros_like(path.y[0]),) * len(tableau.dense_a)
        return [each + self.dense_stages.get(n, nothing) for n, each in enumerate(path.increments)]

    def _evaluate_stages(self, n: int) -> tuple[Tensor, ...]:
        """The stages that only the dense output needs, of trial n."""
        t, t_next, y = self.path.t[n], self.path.t_next[n], self.path.y[n]
        return self.stepper.dense_stages(t, y, t_next - t, self.path.increments[n])


def locate(times: Tensor, t: Tensor, end: Tensor, sizes: Tensor | None = None) -> Location:
    """Find each time t (B, T) among those (B, N + 1) at which steps begin and end, on the way to `end` (B,).

    A time where two steps meet belongs to the second. A rejected trial ends where it began, so that no time
    lies in it. The steps' `sizes` (B, N + 1) are those between the times, if none are given.
    """
    way = direction(times[:, 0], end)[:, None]
    ends = way * times
    trial = torch.searchsorted(ends[:, 1:].contiguous(), way * t, right=True)
    sizes = pad(times.diff(dim=1), (0, 1), value=1.0) if sizes is None else sizes
    theta = (t - times.gather(1, trial)) / sizes.gather(1, trial)
    theta = torch.where(trial == times.shape[1] - 1, 0.0, theta)
    return Location(trial, theta, way * t > ends[:, -1:])


def refuse_second_derivatives(gradient: Tensor) -> None:
    """Refuse a backward pass that shall itself be differentiated, which what torch compiled cannot."""
    if torch.is_grad_enabled():
        raise ValueError(
            "compile must be False for second derivatives (create_graph=True): got compile = True"
        )


def dense_weights(tableau: Tableau, theta: Tensor) -> Tensor:
    """b_i(θ) = Σ_j P_ij θ^j of each stage (S, T) at fractions θ (T,) of the step."""
    coefficients = torch.tensor(tableau.dense, dtype=theta.dtype, device=theta.device)  # P (S, J)
    powers = [theta]
    while len(powers) < coefficients.shape[1]:
        powers.append(powers[-1] * theta)
    return coefficients @ torch.stack(powers)


def _rows(entries: list[Tensor], rows: Tensor) -> Tensor:
    """Rows (R, ...) of tensors (B, ...) put one below the other."""
    return torch.stack(entries).flatten(0, 1).index_select(0, rows)
