"""Runge and Kutta's method with short steps: what the continuous cells need of a solver, and no more."""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.arguments import check_positive_number, refuse_where
from helpers.recurrent.irregular import JumpingCell, check_duration, check_sizes

MOST_STEPS = 10_000
"""Beyond so many steps for one gap, unit of time and longest step do not fit each other."""


class FlowingCell(JumpingCell):
    """A state that follows dh/dt = f(h) while nothing is observed, by steps of at most `max_step`."""

    def __init__(self, input_size: int, hidden_size: int, max_step: float) -> None:
        super().__init__()
        check_sizes(input_size, hidden_size)
        check_positive_number("max_step", max_step)
        self.input_size, self.hidden_size, self.max_step = input_size, hidden_size, max_step

    @abstractmethod
    def field(self, h: Tensor) -> Tensor:
        """dh/dt = f(h), (B, H)."""

    def evolve(self, h: Tensor, dt: float | Tensor) -> Tensor:
        """The solution (B, H) after one Δt, or one for each series (B, 1)."""
        return integrate(self.field, h, dt, self.max_step)


def integrate(field: Callable[[Tensor], Tensor], h: Tensor, dt: float | Tensor, max_step: float) -> Tensor:
    """The state (B, H) after a time Δt of dh/dt = f(h): one Δt, or one for each series (B, 1).

    ::

        Δt = s + s + … + s + rest,   s = max_step

    Each series goes its own Δt; where it has arrived, further steps have length zero and leave it as it is.
    The number of steps is read from the device once.

    Raises
    ------
    ValueError
        If a Δt needs more than 10 000 steps.

    Source: Kutta (1901), Zeitschrift für Mathematik und Physik 46:435-453, the classical fourth-order method.
    """
    check_duration(dt)
    dt = torch.as_tensor(dt, dtype=h.dtype, device=h.device).expand(len(h), 1)
    refuse_where(
        ~(dt <= MOST_STEPS * max_step),
        lambda b, _: (
            f"max_step must leave at most {MOST_STEPS} steps: {max_step} does not, "
            f"for series {b} with a gap of {dt[b, 0].item()}"
        ),
    )
    steps = math.ceil(dt.amax().item() / max_step) if len(h) else 0
    for number in range(steps):
        h = runge_kutta_step(field, h, (dt - number * max_step).clamp(0.0, max_step))
    return h


def runge_kutta_step(field: Callable[[Tensor], Tensor], h: Tensor, s: Tensor) -> Tensor:
    """One step of length s, (B, 1), of the classical fourth-order method, (B, H)."""
    k1 = field(h)
    k2 = field(h + s / 2 * k1)
    k3 = field(h + s / 2 * k2)
    k4 = field(h + s * k3)
    return h + s / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
