"""Solve y' = f(t, y) for a batch of initial states."""

import torch
from torch import Tensor

from helpers.odes.arguments import (
    check_atol,
    check_method,
    check_options,
    check_slope,
    check_state,
    check_step_sizes,
    check_times,
)
from helpers.odes.compilation import compiled
from helpers.odes.controller import PIController, judged
from helpers.odes.failure import SolveError, failure, outcome
from helpers.odes.first_step import first_goal
from helpers.odes.gradient import Integral, direct
from helpers.odes.grid import divided
from helpers.odes.interpolation import DenseOutput
from helpers.odes.solution import Interpolant, Solution
from helpers.odes.state import starting
from helpers.odes.stats import counted
from helpers.odes.stepper import Field, Stepper, take_step


def solve(
    f: Field,
    y0: Tensor,
    t: Tensor,
    *,
    method: str = "dopri5",
    rtol: float = 1e-6,
    atol: float = 1e-9,
    gradient: str = "direct",
    per_sample: bool = True,
    max_steps: int = 10_000,
    first_step: float | None = None,
    step: float | None = None,
    on_failure: str = "raise",
    compile: bool = False,
) -> Solution:
    """Solve an initial value problem for a batch of samples, each at its own pace.

    ::

        y' = f(t, y),   y(t₀) = y₀

    The gradient flows to y₀ and to whatever f is made of, through the steps as they were taken: their sizes
    are constants to it, and there is none by the output times. Under `torch.no_grad`, or where nothing
    requires a gradient, no graph is kept. The steps with all their stages are, for the interpolant, until the
    solution is deleted: an s-stage method's n steps take about n (s + 1) times the memory of y₀.

    Parameters
    ----------
    f : callable
        From times (B,) and states (B, ...) to slopes (B, ...): a function, a system, a module. It
        may treat samples differently (parameters of shape (B,)), but must not mix them.
    y0 : Tensor (B, ...), float32 or float64
        Initial states. Times and steps are float64 either way; f gets t in the dtype of y0.
    t : Tensor (T,) or (B, T)
        Output times, shared or of each sample its own, strictly increasing or strictly decreasing. The first
        is t₀.
    method : str
        With steps of a fixed size: `euler`, `midpoint`, `rk4`. With steps chosen such that the
        estimated error is within tolerance: `heun`, `bosh3`, `dopri5`, `tsit5`, `dopri8`, of order
        2, 3, 5, 5 and 8. The last is Hairer's DOP853, not the Prince–Dormand 8(7) pair that torchdiffeq calls
        dopri8; where stability limits its steps, its output between them is less accurate than at their ends.
    rtol, atol : float
        Relative and absolute tolerance of one step's error, of the adaptive methods.
    gradient : str
        `direct`: through the steps.
    per_sample : bool
        Each sample has its own steps, so that a hard one costs the others neither accuracy nor steps. With
        False all that have the same times take the same steps, chosen by the RMS of their errors: fewer
        evaluations in all, but a sample's answer depends on its batch.
    max_steps : int
        Trials of a sample, accepted or rejected, before it is given up.
    first_step : float, optional
        First step to try, negative for backwards; left out, chosen from f at two points. Adaptive methods
        only.
    step : float, optional
        Longest step: each interval between two outputs is divided into equal steps that are no longer. Left
        out, each interval is one step. Fixed methods only.
    on_failure : str
        `raise`: a `SolveError` if any sample fails; it carries the solution. `return`: the solution, in
        which a failed sample's states are NaN from its failure on, and its status says why.
    compile : bool
        Compile the step with torch.compile: some ten seconds at first, then a fraction of the time per step.

    Returns
    -------
    Solution
        `y` (B, T, ...), `status`, `stats`, and an `interpolant`.

    Raises
    ------
    ValueError
        If an argument does not make sense, or f returns (at its first call) another shape, dtype or device
        than y has.
    SolveError
        If a sample's step underflows, its field is not finite, or it needs more than `max_steps`.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition, chapter
    II.
    """
    check_state(y0)
    times = check_times(t, y0)
    tableau = check_method(method)
    check_options(rtol, atol, gradient, max_steps, on_failure)
    check_atol(atol, y0.dtype)
    check_step_sizes(tableau, times, first_step, step)

    start, end = times[:, 0].contiguous(), times[:, -1].contiguous()
    stepper = Stepper(f, tableau, compiled(take_step) if compile else take_step)
    y0 = (y0 if torch.is_grad_enabled() else y0.detach()).clone()
    slope = stepper.first_slope(start, y0)
    check_slope(slope, y0)
    slope = slope.clone()  # a field may write every slope into the same memory

    if tableau.adaptive:
        judge = compiled(judged) if compile else judged
        tolerances = y0.new_tensor(rtol), y0.new_tensor(atol)
        control = PIController(tableau, start, end, *tolerances, per_sample, judge)
        goal, evaluations = first_goal(f, control, y0, slope, first_step)
    else:
        control = divided(times, step, most=max_steps + 1)
        goal, evaluations = control.goal(0), 0

    integral = direct(stepper, control, starting(start, y0, slope, goal), max_steps)
    solution = _read(t, times, y0, integral, evaluations)
    if on_failure == "raise" and solution.status.any():
        raise SolveError(failure(solution, integral.tried, tableau.adaptive, max_steps), solution)
    return solution


def _read(t: Tensor, times: Tensor, y0: Tensor, integral: Integral, evaluations: int) -> Solution:
    """The solution at its output times, and what it took, with the evaluations before the loop."""
    start, end = times[:, 0].contiguous(), times[:, -1].contiguous()
    dense = DenseOutput(integral.stepper, integral.path, torch.where(end < start, -1.0, 1.0).double())
    located = dense.locate(times[:, 1:].contiguous())
    return Solution(
        t=t,
        y=torch.cat((y0[:, None], dense(located)), dim=1),
        status=outcome(integral.tried, end),
        stats=counted(integral, integral.stepper.tableau, evaluations, located),
        interpolant=Interpolant(start, end, dense),
    )
