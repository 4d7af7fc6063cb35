"""Solve y' = f(t, y) for a batch of initial states, or for one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from helpers.arguments import check_one_of, check_returns_like, check_whole_number
from helpers.odes import adjoint, replay
from helpers.odes.arguments import (
    check_breaks,
    check_clock,
    check_method,
    check_options,
    check_params,
    check_parts,
    check_returns_parts,
    check_state,
    check_step_sizes,
    check_times,
    check_tolerance,
    check_tolerance_of_parts,
    refuse_vmap,
)
from helpers.odes.controller import PIController, fixed_grid, insert_breaks
from helpers.odes.events import Event, Events, check_events
from helpers.odes.gradient import Wanted, direct, follow
from helpers.odes.loop import Field, Several, initial_state
from helpers.odes.solution import (
    Parts,
    Solution,
    SolveError,
    failure_message,
    in_parts,
    only_state,
    parts_of,
    read_solution,
)
from helpers.odes.stepper import Breaks, ExplicitStepper, breaks_between, first_slope

Tolerance = float | Tensor | tuple | dict

GRADIENTS = {
    "direct": direct,
    "replay": replay.replay,
    "adjoint": adjoint.adjoint,
    "backsolve": adjoint.backsolve,
}
"""The ways to differentiate, by name."""


def solve(
    f: Field,
    y0: Tensor | Several,
    t: Tensor,
    *,
    method: str = "dopri5",
    lengths: Tensor | None = None,
    rtol: Tolerance = 1e-6,
    atol: Tolerance = 1e-9,
    gradient: str = "direct",
    params: Iterable[Tensor] | None = None,
    checkpoints: int = 64,
    per_sample: bool = True,
    max_steps: int = 10_000,
    first_step: float | None = None,
    max_step: float | None = None,
    step: float | None = None,
    breaks: Tensor | None = None,
    events: "Event | Sequence[Event] | None" = None,
    on_failure: str = "raise",
    compile: bool = False,
) -> Solution:
    """Solve y' = f(t, y), y(t₀) = y₀ for a batch of samples, each at its own pace.

    Gradients flow to y₀, to whatever f is made of, and to the times: of the steps as they were taken, whose
    sizes are constants (or by the adjoint equation), and by the times those of the exact solution ::

        ∂y(t_k)/∂t_k = f(t_k, y(t_k)),   ∂y(t_k)/∂t₀ = −∂y(t_k)/∂y₀ f(t₀, y₀)

    An integral along the solution, such as a running loss ∫ r(y, θ, t) dt, is one more state: y0 = (y, 0),
    and f returns (f, r).

    The solution keeps all stages of all steps: n steps of s stages take about n (s + 1) times the memory of
    y₀, and with a graph (`direct`) all that f computed in them. With `replay` it keeps `checkpoints` states,
    and each step's time.

    Parameters
    ----------
    f : callable
        From times (B,) and states (B, ...) to slopes (B, ...). It must not mix samples, but may treat each
        differently. If it has an attribute `breaks`, they are added to the argument of that name.
    y0 : Tensor (B, ...), float32 or float64
        Initial states; f gets t in their dtype. With one axis, (D,), it is one state: f gets a time () and a
        state (D,), and the solution has no batch axis either. A tuple or dict of tensors (B, ...) is a state
        of several parts: f gets and returns the same, of slopes, and the solution's `y` is the same.
    t : Tensor (T,) or (B, T)
        Output times, shared or of each sample its own, increasing or decreasing; one may repeat. The first is
        t₀. A sample whose times are all the same stays where it is.
    method : str
        A name in `TABLEAUX`. Methods with an error estimate (such as `heun`, `bosh3`, `dopri5`, `tsit5`,
        `dopri8`) adapt their steps to the tolerance, the others (such as `euler`, `midpoint`, `rk4`) do not.
    lengths : Tensor (B,), integers, optional
        How many of the times are each sample's own; the rest is padding, in which the last state repeats:
        `t=batch.times, lengths=batch.lengths` of an `IrregularBatch`.
    rtol, atol : float or Tensor (...)
        Relative and absolute tolerance of one step's error, of adaptive methods: of all entries of a state,
        or of each its own; of the parts of a state a tuple or dict of these.
    gradient : str
        How gradients are computed. `direct`: through the steps as autograd kept them; the fastest where
        memory allows, and the only one with second derivatives and for torch.func. `replay`: the same
        gradient, by taking the accepted steps again, the last first; for training where the graph of all
        steps is too large. `adjoint`: by the adjoint equation along the solution, whose error the tolerances
        bound. `backsolve`: the same, while the solution too is solved for backwards; right only if that is
        stable.
    params : tensors, optional
        What `replay`, `adjoint` and `backsolve` give gradients to, beside y0 and t. Left out: the parameters
        of f, if it is a module, and all tensors that require a gradient and that f reads at the first or the
        last states. One that f turns out to read elsewhere, and that was not named, is an error.
    checkpoints : int
        How many states `replay` keeps, 2 or more: the fewer, the more often it takes steps again.
    per_sample : bool
        Whether each sample has its own steps. With False all take the same steps, if their times are the
        same: fewer evaluations, but a sample's answer depends on its batch.
    max_steps : int
        Trials of a sample, accepted or rejected, before it is given up.
    first_step : float, optional
        First step to try, negative for backwards; left out, chosen from f. Adaptive methods only.
    max_step : float, optional
        Longest step of adaptive methods. What f does in less time, a step may miss.
    step : float, optional
        Longest step: each interval between outputs is divided into equal steps no longer than that. Left
        out, it is one step. Methods of fixed steps only.
    breaks : Tensor (K,) or (B, K), optional
        Times at which f jumps or has a kink, shared or of each sample its own. Steps end there, and see f
        only from their own side. Those outside the times solved for do not count.
    events : Event or list of Event, optional
        What happens where functions of time and state pass through zero: a sample's solution ends there, or
        goes on from another state. An output at that time is the state after it. Gradients flow through the
        times of events and to whatever they are made of; by ways other than `direct` the pieces between them
        are solved for a second time, one by one, and `checkpoints` and `max_steps` hold for each.
    on_failure : str
        `raise` a `SolveError` that carries the solution if any sample fails, or `return` the solution.
    compile : bool
        Compile the step with torch.compile, at the first call with each field, method, shape (the size of the
        batch, too) and dtype, in about ten seconds. Gradients can then not be differentiated again. The
        adjoint equation is not compiled.

    Returns
    -------
    Solution
        `y` (B, T, ...) or its parts, NaN from a sample's failure or terminal event on; `status`, `stats`, an
        `interpolant`, and what `events` there were.

    Raises
    ------
    ValueError
        If an argument does not make sense, or f returns (at its first call) another shape, dtype or device
        than y has.
    SolveError
        If a sample's step underflows, its field or an event's g is not finite, or it needs more than
        `max_steps`, or has more events than they allow.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition, chapter
    II.
    """
    f, y0, rtol, atol, events, hand_out = as_batch(f, y0, rtol, atol, check_events(events))
    clock = check_times(t, lengths, y0)
    times, tableau = clock.detach(), check_method(method)
    tolerances = check_tolerance("rtol", rtol, y0), check_tolerance("atol", atol, y0)
    check_options(max_steps, on_failure)
    check_one_of("gradient", gradient, GRADIENTS)
    check_whole_number("checkpoints", checkpoints, least=2)
    check_step_sizes(tableau, times, first_step, max_step, step)

    breaks = find_breaks(f, breaks, y0)
    stepper = ExplicitStepper(f, tableau, compile, breaks)
    start, y0, slope = start_of(f, clock, y0)
    check_clock(f, times, y0)
    end = times[:, -1].contiguous()
    if tableau.adaptive:
        stops = breaks and insert_breaks(torch.stack((start, end), 1), breaks.times)
        longest = max_step and torch.full_like(end[0], max_step)
        limits = {
            "stops": stops,
            "longest": longest,
            "doubtful": first_step is not None and tableau.blind_spot,
        }
        control = PIController(tableau.error_order, start, end, *tolerances, per_sample, compile, **limits)
        t_next = control.end_of_first_step(f, y0, slope, first_step)
    else:
        grid = insert_breaks(times, breaks.times) if breaks else times
        control = fixed_grid(grid, step, torch.finfo(t.dtype).eps, most=max_steps + 1)
        t_next = control.end_of_trial(0)

    state = initial_state(start, t_next, y0, slope)
    wanted = Wanted(times, original(f), check_params(params), checkpoints)
    way = events.along(GRADIENTS[gradient]) if events else GRADIENTS[gradient]
    trials, dense = way(stepper, control, state, end, max_steps, wanted)
    probes = int(tableau.adaptive and first_step is None) + int(breaks is not None)
    solution = read_solution(t, clock, trials, dense, probes)
    if on_failure == "raise" and solution.status.any():
        message = failure_message(solution, trials, tableau.adaptive, max_steps)
        raise SolveError(message, hand_out(solution))
    return hand_out(solution)


def as_batch(
    f: Field, y0: Tensor | Several, rtol: Tolerance, atol: Tolerance, events: "Events | None"
) -> tuple:
    """Field, states (B, ...), tolerances and events as they are solved with; how to hand out a solution."""
    if isinstance(y0, tuple | dict):
        check_parts(y0)
        parts = parts_of(y0)
        tolerances = (check_tolerance_of_parts(*each, y0) for each in (("rtol", rtol), ("atol", atol)))
        events = events and replace(events, parts=parts)
        return OfParts(f, parts), parts.join(y0), *tolerances, events, partial(in_parts, parts)
    check_state(y0)
    if y0.ndim == 1:
        events = events and replace(events, one_state=True)
        return OneState(f), y0[None], rtol, atol, events, only_state
    return f, y0, rtol, atol, events, lambda solution: solution


@dataclass(frozen=True, eq=False)
class OfParts:
    """A field of states (B, D), from one of a tuple or dict of states (B, ...), which returns the same."""

    field: Callable[[Tensor, Several], Several]
    parts: Parts

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """The slopes (B, D)."""
        slopes = self.field(t, self.parts.split(y))
        check_returns_parts("f", slopes, self.parts.split(y), t)
        return self.parts.join(slopes)


@dataclass(frozen=True, eq=False)
class OneState:
    """The field of a batch of one, from a field that knows no batch: f(t, y) of t () and y (D,)."""

    field: Field

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """The slope (1, D)."""
        slope = self.field(t[0], y[0])
        check_returns_like("f", slope, "y", y[0])
        return slope[None]


def start_of(f: Field, clock: Tensor, y0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where all begins: first times (B,), a copy of the states (B, ...), and their slopes."""
    start = clock.detach()[:, 0].contiguous()
    y = (y0 if torch.is_grad_enabled() else y0.detach()).clone()
    slope = first_slope(f, start, y)
    check_returns_like("f", slope, "y", y)
    refuse_vmap("f(t, y)", slope)
    if clock.requires_grad:
        y = follow(f, y[:, None], clock[:, :1], start[:, None])[:, 0]
        slope = first_slope(f, start, y)
    return start, y, slope.clone()  # a field may write every slope into the same memory


def original(f: Field) -> Callable:
    """The field as the caller gave it."""
    return f.field if isinstance(f, OneState | OfParts) else f


def find_breaks(f: Field, given: Tensor | None, y0: Tensor) -> Breaks | None:
    """The breaks (B, K) that were given, and those that the field itself knows of as its `breaks`."""
    known = getattr(original(f), "breaks", None)
    found = {"breaks": given, "f.breaks": known}
    found = {name: breaks for name, breaks in found.items() if breaks is not None}
    times = [check_breaks(name, breaks, y0) for name, breaks in found.items()]
    if not any(each.shape[1] for each in times):
        return None
    epsilon = max(torch.finfo(each.dtype).eps for each in (y0, *found.values()))
    return breaks_between(torch.cat(times, 1).sort(1).values, epsilon)
