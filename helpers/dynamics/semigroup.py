"""Whether two steps of Δt are one of 2Δt, as for whatever obeys an autonomous differential equation."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.dynamics.arguments import check_positive, check_same_shape, check_states


def semigroup_defect(step: Callable[[Tensor, float], Tensor], states: Tensor, dt: float) -> Tensor:
    """How far a step of 2Δt ends from two steps of Δt.

    ::

        defect = ‖Φ_2Δt(y) - Φ_Δt(Φ_Δt(y))‖

    Zero for the flow of an autonomous differential equation, whatever Δt. For a solver of order p it falls as
    Δt^(p+1): for Euler's method it is Δt² ‖J f‖ to leading order. For a trained map that takes Δt as an
    input, it tells how far from a flow that map is.

    Parameters
    ----------
    step : callable
        Φ: from states (B, D) and a duration to the states (B, D) after it.
    states : Tensor (B, D)
        Where to begin.
    dt : float
        Δt, in the unit of time of `step`.

    Returns
    -------
    Tensor (B,)
        The defect of each state, in the unit of the states.

    Raises
    ------
    ValueError
        If `states` are not finite floating-point (B, D), `dt` is not positive, or `step` returns
        another shape, dtype or device.
    """
    check_states("states", states)
    check_positive("dt", dt)
    at_once, in_two = step(states, 2 * dt), step(step(states, dt), dt)
    check_same_shape("step", at_once, states)
    return torch.linalg.vector_norm(at_once - in_two, dim=-1)
