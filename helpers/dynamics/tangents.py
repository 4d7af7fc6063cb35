"""Trajectories and the Jacobians along them, a chunk of steps at a time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import check_floating, check_positive_number, check_whole_number, refuse_where
from helpers.dynamics.systems import Flow, Map, System, check_states, check_system

CHUNK_ENTRIES = 2**21
"""About how many entries the Jacobians of a chunk may have: 16 MB in float64."""

MAX_CHUNK = 1024
"""Most steps of a chunk, at whose end a divergence is noticed."""


STATES_TO_CHECK = 16
"""States of a chunk at which a step is compared with two half as long."""

MAX_STEP_ERROR = 0.02
"""Share by which these two may part on average. Lorenz's equations reach it near Δt = 0.07."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """A map, or a flow seen every dt, along its trajectories from a batch of starts.

    Attributes
    ----------
    map : Map
        One step.
    start : Tensor (B, D)
        Where each trajectory begins.
    inputs : Tensor (B, T, I) or None
        What drives each step.
    dt : float
        Time per step; 1 for a map.
    half : Map or None
        Half a step of a flow, which tells how good a whole one is.
    """

    map: Map
    start: Tensor
    inputs: Tensor | None
    dt: float
    half: Map | None = None

    def follow(self, state: Tensor, first: int, last: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """From the state (B, D) before step `first`, the arguments of steps `first` to `last` - 1.

        Returns states (K, B, D), with inputs (K, B, I) where there are any, and the state after them.
        """
        inputs = () if self.inputs is None else (self.inputs[:, first:last].movedim(1, 0),)
        states = [state]
        for step in range(last - first):
            states.append(self.map.step(states[-1], *(x[step] for x in inputs)))
        path = torch.stack(states)  # (K + 1, B, D)
        _check_finite(path, self.dt * torch.arange(first, last + 1))
        return (path[:-1], *inputs), path[-1]

    def jacobians(self, arguments: tuple[Tensor, ...], check: bool = False) -> Tensor:
        """∂h_{t+1}/∂h_t (K, B, D, D) of all steps of a chunk at once; with a check of the length of steps."""
        jacobians = torch.func.vmap(self.map.jacobian)(*arguments)
        if check and self.half is not None:
            self._check_step(arguments[0], jacobians)
        return jacobians

    def _check_step(self, states: Tensor, jacobians: Tensor) -> None:
        """Refuse steps whose derivative is not nearly that of two half as long, at some of the states."""
        some = slice(None, None, math.ceil(len(states) / STATES_TO_CHECK))
        halfway = torch.func.vmap(self.half.step)(states[some])
        first, second = (torch.func.vmap(self.half.jacobian)(at) for at in (states[some], halfway))
        finer = second @ first
        share = torch.linalg.matrix_norm(jacobians[some] - finer) / torch.linalg.matrix_norm(finer)
        error = share.mean(0)  # (B,)
        refuse_where(
            error > MAX_STEP_ERROR,
            lambda sample: (
                f"dt must be shorter: the derivatives of one step and of two half as long part by "
                f"{error[sample].item():.1%} (at most {MAX_STEP_ERROR:.0%}) "
                f"along sample {sample}: got {self.dt}"
            ),
        )

    def chunks(self, first: int, last: int) -> list[tuple[int, int]]:
        """Cut the steps `first` to `last` - 1 into chunks whose length is a power of two."""
        batch, dimension = self.start.shape
        fitting = min(MAX_CHUNK, max(1, CHUNK_ENTRIES // (batch * dimension**2)))
        length = 2 ** int(math.log2(fitting))
        return [(begin, min(begin + length, last)) for begin in range(first, last, length)]


def trajectories(
    system: System, start: Tensor, steps: int, dt: float | None, inputs: Tensor | None
) -> Trajectories:
    """Check what trajectories of `steps` steps need, and return them, ready to be followed."""
    check_states("start", start)
    check_whole_number("steps", steps)
    _check_inputs(system, start, steps, inputs)
    _check_dt(system, dt)
    check_system(system, start, *(() if inputs is None else (inputs[:, 0],)))
    if isinstance(system, Map):
        return Trajectories(system, start, inputs, 1.0)
    return Trajectories(system.every(dt), start, inputs, dt, system.every(dt / 2))


def _check_dt(system: System, dt: float | None) -> None:
    if isinstance(system, Map):
        if dt is not None:
            raise ValueError(f"dt must be left out for a map, whose time is counted in steps: got {dt}")
    elif isinstance(system, Flow):
        if dt is None:
            raise ValueError("dt must be given for a flow: the length of its Runge-Kutta steps")
        check_positive_number("dt", dt)


def _check_inputs(system: System, start: Tensor, steps: int, inputs: Tensor | None) -> None:
    if inputs is None:
        return
    if isinstance(system, Flow):
        raise ValueError("inputs must be left out for a flow: they drive the steps of a map")
    check_floating("inputs", inputs)
    batch = start.shape[0]
    if inputs.ndim != 3 or inputs.shape[:2] != (batch, steps):
        expected = f"(B, steps, I) = ({batch}, {steps}, I)"
        raise ValueError(f"inputs must have shape {expected}: got shape {tuple(inputs.shape)}")


def _check_finite(states: Tensor, times: Tensor) -> None:
    """Refuse a trajectory (T, B, D) that has left the numbers; say when and which sample."""
    finite = states.isfinite().all(dim=-1)  # (T, B)
    if finite.all():
        return
    step, sample = (~finite).nonzero()[0].tolist()
    others = len(set((~finite).nonzero()[:, 1].tolist())) - 1
    more = f" (and {others} other samples)" if others else ""
    raise ValueError(f"the state diverged: sample {sample} is not finite at t = {times[step].item():g}{more}")
