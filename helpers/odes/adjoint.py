"""The gradient by the adjoint equation: `gradient="adjoint"`, and `"backsolve"` to see it fail.

::

    a(t) = ∂L/∂y(t),   a' = −(∂f/∂y)ᵀ a,   a(t_k⁻) = a(t_k⁺) + ∂L/∂y_k,   dL/dθ = ∫ (∂f/∂θ)ᵀ a dt

solved from the last answer back to the first time, with jumps at the answers' times. The two differ in where
the adjoint equation has y(t) from: `adjoint` reads it off the dense output of the forward pass; `backsolve`
solves y' = f backwards beside a, from one answer to that before, which keeps no step, and which fails where y
forgets its past (going back, it is then unstable).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from helpers.odes.controller import (
    FixedGrid,
    direction,
    fixed_grid,
    insert_breaks,
)
from helpers.odes.gradient import Wanted, direct
from helpers.odes.interpolation import AdjointReport, DenseOutput, Location, dense_weights
from helpers.odes.loop import Controller, Path, State, Step, Stepper, Tally, initial_state, integrate
from helpers.odes.pullback import Parameters, attach, find_parameters, without_graph
from helpers.odes.stepper import Breaks, ExplicitStepper, breaks_between

GAUSS = {
    1: ((0.0,), (2.0,)),
    2: ((-((1 / 3) ** 0.5), (1 / 3) ** 0.5), (1.0, 1.0)),
    3: ((-(0.6**0.5), 0.0, 0.6**0.5), (5 / 9, 8 / 9, 5 / 9)),
    4: (
        (-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526),
        (0.34785484513745385, 0.6521451548625461, 0.6521451548625461, 0.34785484513745385),
    ),
}
"""Gauss's nodes and weights on [-1, 1]: n of them integrate polynomials of degree 2n - 1."""


def adjoint(
    stepper: Stepper, control: Controller, state: State, end: Tensor, max_steps: int, wanted: Wanted
) -> tuple[Tally, "Adjoint | DenseOutput"]:
    """Integrate without a graph; the answers' gradient solves the adjoint equation along the dense output."""
    return _forwards(stepper, control, state, end, max_steps, wanted, OnDenseOutput)


def backsolve(
    stepper: Stepper, control: Controller, state: State, end: Tensor, max_steps: int, wanted: Wanted
) -> tuple[Tally, "Adjoint | DenseOutput"]:
    """Integrate without a graph; the answers' gradient solves the equation and its adjoint backwards."""
    return _forwards(stepper, control, state, end, max_steps, wanted, SolvedBack)


def _forwards(
    stepper: Stepper,
    control: Controller,
    state: State,
    end: Tensor,
    max_steps: int,
    wanted: Wanted,
    equation: type,
) -> tuple[Tally, "Adjoint | DenseOutput"]:
    first = find_parameters(stepper.field, wanted, [state]) if torch.is_grad_enabled() else None
    if first is None or not (first.tensors or state.y.requires_grad):
        return direct(stepper, control, state, end, max_steps, wanted)
    with torch.no_grad():
        path = integrate(stepper, control, without_graph(state), max_steps)
    last = replace(state, t=path.t[-1], y=path.y[-1])
    parameters = find_parameters(stepper.field, wanted, [state, last])
    dense = DenseOutput(stepper, path, end)
    return path.tally(), Adjoint(dense, state.y, control, max_steps, parameters, equation)


class Trajectory:
    """The solution on a path, for one time of each sample after another.

    ::

        y(t_n + θ h) ≈ y_n + Σ_i b_i(θ) h k_i
    """

    def __init__(self, dense: DenseOutput) -> None:
        path, self.tableau = dense.path, dense.stepper.tableau
        self.times = path.times()
        self.way = direction(self.times[:, 0], dense.end)[:, None]
        self.ends = (self.way * self.times)[:, 1:].contiguous()
        self.y, self.shape = torch.stack(path.y).flatten(0, 1), path.y[0].shape  # ((N + 1) B, ...)
        trial = torch.arange(path.trials, device=self.ends.device)
        everywhere = Location(trial.expand(len(self.times), -1), self.ends * 0 + 0.5, self.ends > torch.inf)
        stages = zip(*dense.all_increments(everywhere), strict=True)
        self.increments = [torch.stack(stage).flatten(0, 1) for stage in stages]  # (N B, ...) each
        self.batch = torch.arange(len(self.times), device=self.ends.device)

    def __call__(self, t: Tensor) -> Tensor:
        """The states (B, ...) at t (B,), which lies on the path."""
        if not self.increments:
            return self.y.reshape(-1, *self.shape)[0]
        trial = torch.searchsorted(self.ends, self.way * t[:, None], right=True)
        trial = trial.clamp(max=self.ends.shape[1] - 1)
        begin, end = (self.times.gather(1, k)[:, 0] for k in (trial, trial + 1))
        theta = ((t - begin) / torch.where(end == begin, 1.0, end - begin)).clamp(0, 1)
        rows = len(self.batch) * trial[:, 0] + self.batch
        weights = dense_weights(self.tableau, theta).to(self.y.dtype)
        y = self.y[rows].reshape(len(t), -1)
        for weight, stage in zip(weights, self.increments, strict=True):
            y = torch.addcmul(y, weight[:, None], stage[rows].reshape(len(t), -1))
        return y.reshape(self.shape)

    def within(self, n: int, theta: float) -> Tensor:
        """The states (B, ...) at θ of trial n; of a sample that was rejected, where it stood."""
        rows = len(self.batch) * n + self.batch
        weights = dense_weights(self.tableau, self.times.new_full((1,), theta)).to(self.y.dtype)
        moved = (self.times[:, n] != self.times[:, n + 1])[:, None]
        y = self.y[rows].reshape(len(rows), -1)
        for weight, stage in zip(weights, self.increments, strict=True):
            y = torch.where(moved, y + weight * stage[rows].reshape(len(rows), -1), y)
        return y.reshape(self.shape)


# The adjoint equation, and where it has y(t) from.


@dataclass(frozen=True, eq=False)
class OnDenseOutput:
    """a' = −(∂f/∂y)ᵀ a, with y(t) from the dense output; the unknown is a (B, D).

    Parameters
    ----------
    field : callable
        f.
    y_at : Trajectory
        From t (B,) to y(t) (B, ...).
    parameters : Parameters
        What else f may depend on.
    """

    field: Callable[[Tensor, Tensor], Tensor]
    y_at: Trajectory
    parameters: Parameters

    def __call__(self, t: Tensor, a: Tensor) -> Tensor:
        """a' (B, D)."""
        return -self.products(t, self.y_at(t.double()), a)[1]

    def products(self, t: Tensor, y: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """f (B, D) and (∂f/∂y)ᵀ a (B, D)."""
        leaf = y.detach().clone().requires_grad_()
        with torch.enable_grad():
            slope = self.field(t, leaf.clone())
        if not slope.requires_grad:
            return slope.flatten(1), torch.zeros_like(a)
        self.parameters.refuse_unlisted([slope], [leaf], f"t = {t[0].item():g}")
        (pulled,) = torch.autograd.grad(slope, leaf, a.reshape_as(slope), True, allow_unused=True)
        return slope.detach().flatten(1), torch.zeros_like(a) if pulled is None else pulled.flatten(1)

    @staticmethod
    def unknown(y: Tensor, a: Tensor) -> Tensor:
        """What is solved for, of y (B, ...) and a (B, D)."""
        return a

    def split(self, t: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) and a (B, D)."""
        return self.y_at(t), unknown


class SolvedBack(OnDenseOutput):
    """y' = f beside a' = −(∂f/∂y)ᵀ a; the unknown is both, (B, 2 D). The dense output is not used."""

    def __call__(self, t: Tensor, unknown: Tensor) -> Tensor:
        """y' and a' (B, 2 D)."""
        slope, pulled = self.products(t, *self.split(t, unknown))
        return torch.cat((slope, -pulled), 1)

    @staticmethod
    def unknown(y: Tensor, a: Tensor) -> Tensor:
        """What is solved for, of y (B, ...) and a (B, D)."""
        return torch.cat((y.flatten(1), a), 1)

    def split(self, t: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) and a (B, D)."""
        y, a = unknown.chunk(2, 1)
        return y.reshape(self.y_at.shape), a


@dataclass(frozen=True, eq=False)
class Jumps:
    """A controller after whose steps a jumps where they end at the time of an answer.

    Parameters
    ----------
    control : Controller
        Accepts or rejects.
    equation : OnDenseOutput
        What is solved.
    t : Tensor (B, T), float64
        Times of answers.
    y : Tensor (B, T, D)
        Answers.
    gradient : Tensor (B, T, D)
        ∂L/∂y_k.
    """

    control: Controller
    equation: OnDenseOutput
    t: Tensor
    y: Tensor
    gradient: Tensor

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this trial."""
        new = self.control(state, step, trial)
        return replace(new, y=self.jump(new.t, new.y, new.t != state.t))

    def steps_left(self, state: State, trial: int) -> float:
        """How many steps the samples still need, about; 0 when none goes on."""
        return self.control.steps_left(state, trial)

    def jump(self, t: Tensor, unknown: Tensor, among: Tensor) -> Tensor:
        """The unknown after the answers at t (B,), for some of the samples (B,); y is theirs then."""
        here = (self.t == t[:, None]) & among[:, None]  # (B, T)
        if not here.any():
            return unknown
        y, a = self.equation.split(t, unknown)
        a = a + torch.einsum("bt,btd->bd", here.to(a.dtype), self.gradient)
        which = here.int().argmax(1)[:, None, None].expand(-1, 1, self.y.shape[2])
        answer = self.y.gather(1, which)[:, 0].reshape_as(y)
        y = torch.where(here.any(1).reshape(-1, *[1] * (y.ndim - 1)), answer, y)
        return self.equation.unknown(y, a)


# The way back.


class Adjoint:
    """The solution between the steps, whose gradient is that of the adjoint equation.

    Parameters
    ----------
    dense : DenseOutput
        The solution, without a graph.
    start : Tensor (B, ...)
        y₀, with its graph.
    control : Controller
        Of the forward pass.
    max_steps : int
        Of each sample, backwards as forwards.
    parameters : Parameters
        What the field's gradient goes to.
    equation : type
        `OnDenseOutput` or `SolvedBack`.
    """

    report: AdjointReport | None = None
    requires_grad = True

    def __init__(
        self,
        dense: DenseOutput,
        start: Tensor,
        control: Controller,
        max_steps: int,
        parameters: Parameters,
        equation: type,
    ) -> None:
        self.dense, self.start, self.control, self.max_steps = dense, start, control, max_steps
        self.stepper, self.end, self.steps = dense.stepper, dense.end, dense.steps
        self.parameters, self.equation = parameters, equation
        self.locate = dense.locate

    def __call__(self, location: Location) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        with torch.no_grad():
            y = self.dense(location)
        if not y.shape[1]:
            return y
        back = partial(self.pull_back, location, y.flatten(2))
        return attach(back, y, self.start, self.parameters)

    def pull_back(
        self, location: Location, y: Tensor, gradient: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """From the gradient of answers (B, T, ...) at some places to those of y₀ and of each parameter."""
        path, beyond = self.dense.path, location.beyond
        gradient = gradient.flatten(2).masked_fill(beyond[..., None], 0.0)
        lost = ~gradient.isfinite().flatten(1).all(1)  # these samples' gradients are NaN, and no others
        gradient = torch.where(lost[:, None, None], 0.0, gradient)
        times, sizes = path.times(), path.step_sizes()
        t = times.gather(1, location.trial) + location.theta * sizes.gather(1, location.trial)
        t = torch.where(beyond, times[:, :1], t)
        trajectory = Trajectory(self.dense)
        field = self.equation(self.stepper.field, trajectory, self.parameters)
        jumps = Jumps(self._reversed_control(t, y, gradient), field, t, y, gradient)
        backwards, solved = self._solve_back(jumps, trajectory)
        backwards = backwards.masked_fill(lost[:, None], torch.nan)
        total = self._by_parameters(field, solved, lost)
        kept = self.steps * len(self.stepper.tableau.b) if self.equation is OnDenseOutput else 0
        nodes = len(GAUSS[self._nodes()][0]) if self.parameters.tensors else 0
        each = len(self.stepper.tableau.c) + nodes
        self.report = AdjointReport(each * solved.steps, solved.steps, kept + location.trial.shape[1])
        return backwards.reshape(self.start.shape), tuple(total)

    def _reversed_control(self, t: Tensor, y: Tensor, gradient: Tensor) -> Controller:
        """A controller of the same kind from each sample's last answer back to its first time."""
        first = self.dense.path.t[0]
        way = direction(first, self.end)[:, None]
        span = torch.stack(((way * t).amax(1) * way[:, 0], first), 1)
        if isinstance(self.control, FixedGrid):
            grid = insert_breaks(span, torch.cat((self.control.times, t), 1))
            return fixed_grid(grid, None, torch.finfo(t.dtype).eps, self.max_steps + 1)
        breaks = t if self.control.stops is None else torch.cat((t, self.control.stops), 1)
        rtol, atol = self._tolerances(y, gradient)
        return replace(
            self.control,
            start=span[:, 0].contiguous(),
            end=first,
            stops=insert_breaks(span, breaks),
            rtol=rtol,
            atol=atol,
            doubtful=False,
        )

    def _tolerances(self, y: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Tolerances of the unknown: a is the finer the more its variable says of the loss.

        a has the units of L / y. An error in a of rtol ‖∂L/∂y · Y‖ / Y, with Y the size of each variable, is
        to the loss what an error of rtol Y in y is.
        """
        control, width = self.control, y.shape[2]
        rtol, atol = (
            each.expand(self.start.shape[1:]).flatten() if each.ndim else each.expand(width)
            for each in (control.rtol, control.atol)
        )
        start = self.start.detach().flatten(1)
        size = torch.maximum(y.nan_to_num(0.0).abs().amax(1), start.abs()) + atol / rtol  # (B, D)
        loss = (gradient.nan_to_num(0.0).abs() * size[:, None]).amax((1, 2), keepdim=True)[:, 0]
        of_a = rtol * torch.where(loss > 0, loss, 1.0) / size
        floor = torch.finfo(of_a.dtype).tiny
        return (
            self.equation.unknown(rtol.expand_as(of_a), rtol.expand_as(of_a)),
            self.equation.unknown(atol.expand_as(of_a), of_a.clamp(min=floor)),
        )

    def _solve_back(self, jumps: Jumps, trajectory: Trajectory) -> tuple[Tensor, DenseOutput]:
        """a (B, D) at the first time, and the unknown on its way there."""
        control, breaks = jumps.control, self.stepper.breaks
        begin = control.times[:, 0] if isinstance(control, FixedGrid) else control.start
        end = self.dense.path.t[0]
        nothing = begin.new_empty(len(begin), 0)
        stepper = ExplicitStepper(
            jumps.equation, self.stepper.tableau, breaks=breaks or breaks_between(nothing, 0.0)
        )
        zeros = torch.zeros_like(self.start.detach()).flatten(1)
        unknown = jumps.jump(begin, jumps.equation.unknown(trajectory(begin), zeros), begin == begin)
        slope = stepper.field_between(begin, end)(begin.to(unknown.dtype), unknown)
        if isinstance(control, FixedGrid):
            t_next = control.end_of_trial(0)
        else:
            t_next = control.end_of_first_step(stepper.field_between(begin, end), unknown, slope, None)
        most = self.max_steps + jumps.t.shape[1]  # every jump ends a step
        path = integrate(stepper, jumps, initial_state(begin, t_next, unknown, slope), most)
        self._refuse_failure(path)
        return jumps.equation.split(end, path.y[-1])[1], DenseOutput(stepper, path, end)

    def _refuse_failure(self, path: Path) -> None:
        """Tell of the first sample whose adjoint did not come back."""
        failed = path.t[-1] != self.dense.path.t[0]
        if failed.any():
            sample = int(failed.int().argmax())
            raise RuntimeError(
                f"the adjoint of sample {sample} failed at t = {path.t[-1][sample].item():.6g}, on its way "
                f"back to {self.dense.path.t[0][sample].item():.6g}, after {path.trials} steps: going back, "
                'it is stiff or meets what is not finite; use gradient="replay"'
            )

    def _nodes(self) -> int:
        return min((self.stepper.tableau.order + 1) // 2, 4)

    def _by_parameters(self, field: OnDenseOutput, solved: DenseOutput, lost: Tensor) -> list[Tensor | None]:
        """∫ (∂f/∂θ)ᵀ a dt, in every step by Gauss's rule."""
        total: list[Tensor | None] = [None] * len(self.parameters.tensors)
        if not total:
            return total
        unknowns, path = Trajectory(solved), solved.path
        for n in range(path.trials):
            begin, end = path.t[n], path.t[n + 1]
            f = self._field_between(begin, end)
            for node, weight in zip(*GAUSS[self._nodes()], strict=True):
                t = torch.lerp(begin, end, (1 + node) / 2)
                y, a = field.split(t, unknowns.within(n, (1 + node) / 2))
                with torch.enable_grad():
                    slope = f(t.to(y.dtype), y.detach().clone())
                h = (begin - end).to(a.dtype)[:, None]
                pulled = (weight / 2 * h * a).masked_fill(lost[:, None], torch.nan).reshape_as(slope)
                self.parameters.pull([slope], [], [pulled], total, f"t = {t[0].item():g}")
        return total

    def _field_between(self, begin: Tensor, end: Tensor) -> Callable:
        breaks: Breaks | None = self.stepper.breaks
        return self.stepper.field if breaks is None else breaks.one_sided(self.stepper.field, begin, end)
