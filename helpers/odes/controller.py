"""The controllers: whether a step is accepted, and how long the next one is. They know nothing of stages."""

from dataclasses import dataclass, field, replace
from math import log, sqrt

import torch
from torch import Tensor

from helpers.arguments import compile_function
from helpers.odes.loop import Field, State, Step, unsqueeze_like

SAFETY, ALPHA, BETA = 0.9, 0.7, 0.4
SMALLEST_FACTOR, LARGEST_FACTOR = 0.2, 10.0
SMALLEST_REMEMBERED_RATIO = 1e-4
LARGEST_LOG_RATIO = 700.0
"""Stands for that of an error that is not finite."""

ROUND_OFF = 1e-12
"""A step may be so much longer, relatively, than the longest."""

LARGEST_STRETCH = 1.01
"""A step that has to be no more than so much longer to reach the next stop, or the last time, does."""

DOUBTED_TRIALS, DOUBT, CREDIBLE_FRACTION = 4, 50.0, 1e-10
"""Trials of a given first step whose error estimate is doubted, what it then is, and where."""

EPSILON = torch.finfo(torch.float64).eps
SMALLEST_STEP = 10 * EPSILON
"""As a fraction of |t|, or of ε times the whole time where that is more (near t = 0)."""

MAX_STEPS_LEFT = 1e9
"""Bounds the estimate of the steps that are left."""

OVERFLOW_FRACTION = 1e-4
"""Of the largest number: a state beyond has outgrown its numbers when a trial is not finite."""

SMALLEST_NORM, SMALLEST_SLOPE, DEFAULT_FIRST_STEP = 1e-5, 1e-15, 1e-6
"""Norms of state and slope below which they say nothing about time, and the first step then."""


# Steps by their error.


@dataclass(frozen=True, eq=False)
class PIController:
    """Accept a step whose error is within the tolerance, and choose the next from this error and the last.

    Parameters
    ----------
    error_order : int
        The order q of the method's error estimate.
    start, end : Tensor (B,), float64
        First and last times; the last are the only ones that steps are shortened for.
    rtol, atol : Tensor () or (...), of the states' dtype
        Tolerances, of all entries or of each.
    per_sample : bool
        Whether each sample has its own r, or all that still go share the RMS of theirs.
    compiled : bool
        Whether torch.compile compiles `accept_or_reject`.
    stops : Tensor (B, K + 2), float64, optional
        Times, in the order in which they are passed, that no step leads across; the last is `end`.
    longest : Tensor (), float64, optional
        The longest step.
    doubtful : bool
        Whether the first step may have met a blind spot of the error estimate, being a user's.

    Attributes
    ----------
    floor : Tensor (B,), float64
        What stands for |t| near t = 0, where the shortest step is measured.
    """

    error_order: int
    start: Tensor
    end: Tensor
    rtol: Tensor
    atol: Tensor
    per_sample: bool
    compiled: bool = False
    stops: Tensor | None = None
    longest: Tensor | None = None
    doubtful: bool = False
    floor: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "floor", EPSILON * (self.end - self.start).abs())

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this trial."""
        if self.doubtful and trial < DOUBTED_TRIALS:
            step = doubt(self, state, step)
        function = compile_function(accept_or_reject) if self.compiled else accept_or_reject
        return function(self, state, step)

    def end_of_step(self, t: Tensor, h: Tensor) -> Tensor:
        """Where a step from t ends (B,): at t + h, or at the next stop if that is nearly as near."""
        stop, reach = self.next_stop(t), LARGEST_STRETCH * h.abs()
        if self.longest is not None:
            h = h.clamp(-self.longest, self.longest)
            reach = torch.minimum(reach, self.longest * (1 + ROUND_OFF))
        return torch.where((stop - t).abs() <= reach, stop, t + h)

    def next_stop(self, t: Tensor) -> Tensor:
        """The first time (B,) after t that no step leads across."""
        return self.end if self.stops is None else first_after(t, self.stops)

    def resume(self, state: State, cut: Tensor | None, h: Tensor) -> Tensor:
        """Where the next step ends (B,), if events have `cut` short some samples' last, which was to be h."""
        return state.t_next if cut is None else torch.where(cut, self.end_of_step(state.t, h), state.t_next)

    def smallest_step(self, t: Tensor) -> Tensor:
        """The shortest step (B,) that is tried at t."""
        return SMALLEST_STEP * torch.maximum(t.abs(), self.floor)

    def steps_left(self, state: State, trial: int) -> float:
        """Steps of their present size that the samples still need at most; 0 when none goes on. A poll."""
        left = ((self.end - state.t) / state.h).clamp(max=MAX_STEPS_LEFT)
        return torch.where(state.goes_on, left, 0.0).max().item()

    def end_of_first_step(self, field: Field, y: Tensor, slope: Tensor, given: float | None) -> Tensor:
        """Where the first step ends (B,); a sample whose slope (B, ...) at y is not finite goes nowhere."""
        h = torch.full_like(self.start, given) if given else _first_step_size(self, field, y, slope)
        return torch.where(all_finite(slope), self.end_of_step(self.start, h), self.start)


def accept_or_reject(control: PIController, state: State, step: Step) -> State:
    """The state after a trial: at its end if its error is within the tolerance, otherwise where it was.

    ::

        r = ‖error / (atol + rtol max(|y|, |y₁|))‖_RMS ≤ 1,   h ← h · clamp(0.9 r^-α r_last^β, 0.2, 10)

    with α = 0.7 / (q + 1) and β = 0.4 / (q + 1), q the error estimate's order. A step after a rejected one
    does not grow. A trial that is not finite has r = NaN or ∞; it is rejected, and h shrinks fivefold. A
    sample that would need a step below 10 ε |t| has failed, and so has one whose trial is not finite from a
    state close to the largest number: it would creep towards it in ever smaller steps.

    Source: Gustafsson's PI control as in Hairer and Wanner (1996), Solving ordinary differential equations
    II, 2nd edition, section IV.2.
    """
    own_ratio = error_ratio(step.errors, state.y, step.y, control.rtol, control.atol)
    ratio = own_ratio if control.per_sample else joint_ratio(own_ratio, state.goes_on)
    accepted = ratio <= 1
    growth, memory = _step_growth(ratio, state, control.error_order)
    h = state.h * growth
    if asking_is_free(control) and accepted.all():  # nothing is left to choose
        t, t_next = state.t_next, control.end_of_step(state.t_next, h)
        return State(t, t_next, step.y, _copy(step.slope), accepted, own_ratio, memory)
    t = torch.where(accepted, state.t_next, state.t)
    leads_on = unsqueeze_like(accepted, step.y)
    return State(
        t=t,
        t_next=torch.where(_has_failed(control, state, own_ratio, t, h), t, control.end_of_step(t, h)),
        y=torch.where(leads_on, step.y, state.y),
        slope=None if step.slope is None else torch.where(leads_on, step.slope, state.slope),
        accepted=accepted,
        error_ratio=own_ratio,
        memory=torch.where(accepted, memory, state.memory),
    )


def asking_is_free(control: PIController) -> bool:
    """Whether the host can look at numbers without waiting for a device, or breaking what is compiled."""
    return not control.compiled and control.end.device.type == "cpu"


def _copy(slope: Tensor | None) -> Tensor | None:
    """A field may write its next slopes into the same memory."""
    return None if slope is None else slope.clone()


def _has_failed(control: PIController, state: State, ratio: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """Which samples (B,) were rejected and cannot go on with a step h from t."""
    underflow = h.abs() < control.smallest_step(t)
    overflow = ~(ratio < torch.inf) & near_overflow(state.y)
    return ~(ratio <= 1) & (underflow | overflow)


@torch.no_grad()
def doubt(control: PIController, state: State, step: Step) -> Step:
    """The step, its error made too large where an estimate of nearly 0 is not credible from the first state.

    At some hλ the estimate of a method vanishes, that of bosh3 at -1, though the error is large. An estimate
    of order q is of the size of ‖h (f₁ - f₀)‖ (hL)^(q - 1) with L = ‖f₁ - f₀‖ / ‖y₁ - y₀‖, times a constant
    of the method; one that is far smaller is doubted, and the step tried again, shorter.
    """
    if state.slope is None or step.slope is None:
        return step
    scale = tolerance(torch.maximum(state.y.abs(), step.y.abs()), control.rtol, control.atol)
    change = rms(unsqueeze_like(state.h, step.y) * (step.slope - state.slope) / scale)
    stretch = change / rms((step.y - state.y) / scale)
    credible = CREDIBLE_FRACTION * change * stretch ** (control.error_order - 1)
    ratio = error_ratio(step.errors, state.y, step.y, control.rtol, control.atol)
    doubted = unsqueeze_like((state.t == control.start) & (change > 1) & (ratio < credible), step.y)
    return replace(step, errors=tuple(torch.where(doubted, DOUBT * scale, each) for each in step.errors))


def _step_growth(ratio: Tensor, state: State, error_order: int) -> tuple[Tensor, Tensor]:
    """What the step is multiplied by (B,), 0.9 r^-α r_last^β within bounds, and ln r^β, to be remembered."""
    alpha, beta = ALPHA / (error_order + 1), BETA / (error_order + 1)
    log_ratio = ratio.log().nan_to_num(nan=LARGEST_LOG_RATIO, posinf=LARGEST_LOG_RATIO)
    factor = SAFETY * torch.sub(state.memory, log_ratio, alpha=alpha).exp()
    factor = factor.clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
    factor = torch.where(state.accepted, factor, factor.clamp(max=1.0))
    return factor, beta * log_ratio.clamp(min=log(SMALLEST_REMEMBERED_RATIO))


@torch.no_grad()
def _first_step_size(control: PIController, field: Field, y: Tensor, slope: Tensor) -> Tensor:
    """A signed step (B,) of about the right size, from two slopes.

    ::

        h₀ = 0.01 ‖y‖ / ‖f‖,   d₂ = ‖f(t + h₀, y + h₀ f) - f‖ / h₀
        h₁ = (0.01 / max(‖f‖, d₂))^(1 / (q + 1)),   h = min(50 h₀, h₁)

    in the norm of the controller's tolerance. Where the field is not finite after h₀, the step is h₀. The
    source has 100 h₀: that is |hλ| = 1 for y' = λy, where the error estimate of bosh3 happens to vanish.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition, section
    II.4.
    """
    t, time_left = control.start, control.next_stop(control.start) - control.start
    scale, span = tolerance(y.abs(), control.rtol, control.atol), time_left.abs()

    def norm(values: Tensor) -> Tensor:
        ratios = rms(values / scale)
        if control.per_sample:
            return ratios
        return joint_ratio(ratios, ratios.isfinite()).nan_to_num(nan=torch.inf, posinf=torch.inf)

    size, speed = norm(y), norm(slope)
    says_nothing = (size < SMALLEST_NORM) | (speed < SMALLEST_NORM)
    guess = torch.where(says_nothing, DEFAULT_FIRST_STEP, 0.01 * size / speed)
    guess = torch.minimum(guess.nan_to_num(nan=DEFAULT_FIRST_STEP), span)  # ∞ / ∞ says nothing either
    h = torch.copysign(guess, time_left)
    probe = field((t + h).to(y.dtype), y + unsqueeze_like(h, y).to(y.dtype) * slope)
    steepest = torch.maximum(speed, norm(probe - slope) / guess)
    step = (0.01 / steepest) ** (1 / (control.error_order + 1))
    step = torch.where(steepest <= SMALLEST_SLOPE, (1e-3 * guess).clamp(min=DEFAULT_FIRST_STEP), step)
    step = torch.where(steepest.isfinite(), torch.minimum(50 * guess, step), guess)
    step = torch.minimum(torch.maximum(step, control.smallest_step(t)), span)
    return torch.copysign(step, time_left)


# How large an error is, in units of its tolerance.


@torch.no_grad()
def error_ratio(errors: tuple[Tensor, ...], y: Tensor, y_next: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
    """‖error / (atol + rtol max(|y|, |y₁|))‖_RMS of each sample (B,); not finite where the step is not.

    Of two estimates with norms r₅ and r₃ it is r₅² / √(r₅² + 0.01 r₃²), and 0 where both are 0.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition,
    sections II.4 and II.10 (two estimates).
    """
    scale = tolerance(torch.maximum(y.abs(), y_next.abs()), rtol, atol)
    fine, *coarse = [rms(error / scale) for error in errors]
    if not coarse:
        return fine
    squares = fine.square() + 0.01 * coarse[0].square()
    return fine.square() / (squares + torch.finfo(fine.dtype).tiny).sqrt()


def tolerance(size: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
    """atol + rtol |y| (B, ...)."""
    return torch.addcmul(atol, rtol, size)


def rms(values: Tensor) -> Tensor:
    """Root mean square over each sample's entries: (B, ...) to (B,), float64."""
    flat = values.reshape(len(values), -1)
    return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64) / sqrt(flat.shape[1])


def joint_ratio(ratios: Tensor, chosen: Tensor) -> Tensor:
    """The RMS of the chosen samples' ratios, for all (B,): one joint step for the batch."""
    size = torch.linalg.vector_norm(torch.where(chosen, ratios, 0.0))
    return (size / chosen.sum().sqrt()).expand_as(ratios)


def all_finite(values: Tensor) -> Tensor:
    """Which samples (B,) have nothing but finite entries."""
    return values.isfinite().reshape(len(values), -1).all(1)


def near_overflow(y: Tensor) -> Tensor:
    """Which samples (B,) have an entry close to the largest number of their dtype."""
    largest = y.detach().abs().reshape(len(y), -1).amax(1)
    return largest > OVERFLOW_FRACTION * torch.finfo(y.dtype).max


# Steps known beforehand.


@dataclass(frozen=True, eq=False)
class FixedGrid:
    """Steps known beforehand, each sample its own; accepted as long as they are finite.

    Parameters
    ----------
    times : Tensor (B, N + 1), float64
        Where the steps begin and end; a sample with fewer steps repeats its last time.
    """

    times: Tensor

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this trial: a sample of which any stage is not finite stays where it was."""
        finite = all_finite(step.y) & all_finite(torch.stack(step.increments, dim=1))
        goes_on = finite & state.goes_on
        t = torch.where(finite, state.t_next, state.t)
        return State(
            t=t,
            t_next=torch.where(goes_on, self.end_of_trial(trial + 1), t),
            y=torch.where(unsqueeze_like(goes_on, step.y), step.y, state.y),
            slope=step.slope,
            accepted=finite,
            error_ratio=torch.where(finite, 0.0, torch.inf).to(state.error_ratio.dtype),
            memory=state.memory,
        )

    def end_of_trial(self, trial: int) -> Tensor:
        """Where a trial ends (B,), the first being 0; beyond the grid, at its end."""
        return self.times[:, min(trial + 1, self.times.shape[1] - 1)]

    def resume(self, state: State, cut: Tensor | None, h: Tensor) -> Tensor:
        """Where the next step ends (B,): after events have cut some short, samples lag behind the grid."""
        return torch.where(state.goes_on, first_after(state.t, self.times), state.t)

    def steps_left(self, state: State, trial: int) -> float:
        """Steps up to the grid's end; 0 when all samples have arrived or failed. A poll."""
        return self.times.shape[1] - 1 - trial if state.goes_on.any() else 0


MAX_ROUND_OFF_OF_STEP = 0.01
"""The part of a step by which the round-off of the times may make it longer."""


def fixed_grid(t: Tensor, longest: float | None, epsilon: float, most: int) -> FixedGrid:
    """The grid through all output times (B, T) with steps no longer than `longest`, at most `most`.

    Every interval is divided into equal steps, as few as that allows; without `longest` it is one step. Times
    are known to a relative precision `epsilon`: an interval that is longer than n steps by no more than their
    round-off is divided into n, not n + 1.
    """
    if len(t) > 1 and (t == t[:1]).all():  # one grid for all samples takes the memory of one
        return FixedGrid(fixed_grid(t[:1], longest, epsilon, most).times.expand(len(t), -1))
    longest = torch.inf if longest is None else longest
    lengths = t.diff()
    if not lengths.shape[1]:
        return FixedGrid(t)
    round_off = 2 * epsilon * torch.maximum(t[:, 1:].abs(), t[:, :-1].abs())
    excess = round_off.clamp(max=MAX_ROUND_OFF_OF_STEP * longest) + ROUND_OFF * lengths.abs()
    pieces = ((lengths.abs() - excess) / longest).ceil().clamp(min=1)  # (B, T - 1)
    pieces = torch.where(lengths == 0, 0, pieces)
    last = pieces.cumsum(1)
    count = int(last[:, -1].max().clamp(1, most))
    index = torch.arange(count + 1, dtype=t.dtype, device=t.device).expand(len(t), -1).contiguous()
    interval = torch.searchsorted(last, index, right=True).clamp(max=lengths.shape[1] - 1)  # (B, N + 1)
    theta = (index - (last - pieces).gather(1, interval)) / pieces.gather(1, interval)
    times = t.gather(1, interval) + theta * lengths.gather(1, interval)
    return FixedGrid(torch.where(theta < 1, times, t[:, -1:]))


# Times that no step leads across.


def direction(start: Tensor, end: Tensor) -> Tensor:
    """1 forwards and -1 backwards in time."""
    return torch.where(end < start, -1.0, 1.0).to(start.dtype)


def first_after(t: Tensor, times: Tensor) -> Tensor:
    """The first (B,) of each sample's times (B, N) after t (B,), in the order that they have; or the last."""
    way = direction(times[:, :1], times[:, -1:])
    index = torch.searchsorted(way * times, way * t[:, None], right=True)
    return times.gather(1, index.clamp(max=times.shape[1] - 1))[:, 0]


def insert_breaks(times: Tensor, breaks: Tensor) -> Tensor:
    """Times (B, T) and the breaks (B, K) among them, in order; the last time for each other break."""
    first, last = times[:, :1], times[:, -1:]
    way = direction(first, last)
    among = (way * breaks > way * first) & (way * breaks < way * last)
    return way * (way * torch.cat((times, torch.where(among, breaks, last)), 1)).sort(1).values
