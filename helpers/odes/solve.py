"""Solve y' = f(t, y) for a batch of initial states."""

import torch
from torch import Tensor

from helpers.arguments import check_one_of, check_returns_like
from helpers.odes.arguments import check_method, check_options, check_state, check_step_sizes, check_times
from helpers.odes.controller import PIController, fixed_grid
from helpers.odes.gradient import direct
from helpers.odes.loop import Field, initial_state
from helpers.odes.solution import Solution, SolveError, failure_message, read_solution
from helpers.odes.stepper import ExplicitStepper, first_slope

GRADIENTS = {"direct": direct}
"""The ways to differentiate, by name."""


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
    """Solve y' = f(t, y), y(t₀) = y₀ for a batch of samples, each at its own pace.

    Gradients flow to y₀ and to whatever f is made of, none to the times. The solution keeps all stages of all
    steps: n steps of s stages take about n (s + 1) times the memory of y₀.

    Parameters
    ----------
    f : callable
        From times (B,) and states (B, ...) to slopes (B, ...). It must not mix samples, but may treat each
        differently.
    y0 : Tensor (B, ...), float32 or float64
        Initial states; f gets t in their dtype.
    t : Tensor (T,) or (B, T)
        Output times, shared or of each sample its own, increasing or decreasing. The first is t₀.
    method : str
        A name in `TABLEAUX`. Methods with an error estimate (such as `heun`, `bosh3`, `dopri5`, `tsit5`,
        `dopri8`) adapt their steps to the tolerance, the others (such as `euler`, `midpoint`, `rk4`) do not.
    rtol, atol : float
        Relative and absolute tolerance of one step's error, of adaptive methods.
    gradient : str
        `direct`: through the steps as they were taken.
    per_sample : bool
        Whether each sample has its own steps. With False all take the same steps, if their times are the
        same: fewer evaluations, but a sample's answer depends on its batch.
    max_steps : int
        Trials of a sample, accepted or rejected, before it is given up.
    first_step : float, optional
        First step to try, negative for backwards; left out, chosen from f. Adaptive methods only.
    step : float, optional
        Longest step: each interval between outputs is divided into equal steps no longer than that. Left
        out, it is one step. Methods of fixed steps only.
    on_failure : str
        `raise` a `SolveError` that carries the solution if any sample fails, or `return` the solution.
    compile : bool
        Compile the step with torch.compile, at the first call with a field, method, shape or dtype.

    Returns
    -------
    Solution
        `y` (B, T, ...), NaN from a sample's failure on; `status`, `stats`, and an `interpolant`.

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
    check_options(rtol, atol, y0.dtype, max_steps, on_failure)
    check_one_of("gradient", gradient, GRADIENTS)
    check_step_sizes(tableau, times, first_step, step)

    start, end = times[:, 0].contiguous(), times[:, -1].contiguous()
    y0 = (y0 if torch.is_grad_enabled() else y0.detach()).clone()
    slope = first_slope(f, start, y0)
    check_returns_like("f", slope, "y", y0)
    slope = slope.clone()  # a field may write every slope into the same memory

    stepper = ExplicitStepper(f, tableau, compile)
    if tableau.adaptive:
        tolerances = (torch.as_tensor(number, dtype=y0.dtype, device=y0.device) for number in (rtol, atol))
        control = PIController(tableau.error_order, start, end, *tolerances, per_sample, compile)
        t_next = control.end_of_first_step(f, y0, slope, first_step)
    else:
        control = fixed_grid(times, step, most=max_steps + 1)
        t_next = control.end_of_trial(0)

    start_state = initial_state(start, t_next, y0, slope)
    trials, dense = GRADIENTS[gradient](stepper, control, start_state, end, max_steps)
    probes = 1 if tableau.adaptive and first_step is None else 0
    solution = read_solution(t, times, trials, dense, probes)
    if on_failure == "raise" and solution.status.any():
        raise SolveError(failure_message(solution, trials, tableau.adaptive, max_steps), solution)
    return solution
