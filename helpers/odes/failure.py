"""Why a sample did not reach its last time, and how to say so."""

import torch
from torch import Tensor

from helpers.odes.controller import nearly_infinite
from helpers.odes.path import Path
from helpers.odes.solution import Solution, Status


class SolveError(RuntimeError):
    """At least one sample did not reach its last time.

    Attributes
    ----------
    solution : Solution
        Complete for the samples that did; NaN after the failure of those that did not.
    """

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple:
        """Pickle the solution, too."""
        return type(self), (str(self), self.solution)


def outcome(path: Path, end: Tensor) -> Tensor:
    """The `Status` (B,) of each sample: where the path ended early, its last trial tells why."""
    tried = path.tried().sum(1, keepdim=True)
    ratio = torch.nn.functional.pad(path.ratios(), (1, 0), value=torch.nan).gather(1, tried)[:, 0]
    early = torch.where(ratio.isfinite(), Status.STEP_UNDERFLOW, Status.NON_FINITE_FIELD)
    early = torch.where(path.h[-1] != 0, Status.STEP_LIMIT, early)
    return torch.where(path.t[-1] == end, Status.OK, early)


def failure(solution: Solution, path: Path, adaptive: bool, max_steps: int) -> str:
    """What happened to the first sample that failed, where, and what to try; the others are counted."""
    failed = solution.status.nonzero()[:, 0].tolist()
    sample, others = failed[0], len(failed) - 1
    accepted, rejected = solution.stats.accepted[sample].item(), solution.stats.rejected[sample].item()
    tried = abs(path.h[accepted + rejected - 1][sample].item()) if accepted + rejected else 0.0
    y = path.y[-1][sample].detach()
    what, advice = {
        Status.STEP_UNDERFLOW: (f"the step underflowed: it shrank to {tried:.2g}", STIFF + OR_SINGULAR),
        Status.NON_FINITE_FIELD: _left_the_numbers(y, tried),
        Status.STEP_LIMIT: (
            f"max_steps = {max_steps} was reached with steps of {tried:.2g}",
            STIFF + OR_PATIENCE if adaptive else LONGER_STEPS,
        ),
    }[solution.status[sample].item()]
    more = "" if not others else f" ({others} other {'sample' if others == 1 else 'samples'} failed too)"
    size = torch.linalg.vector_norm(y.double()).item()
    return (
        f"sample {sample} failed at t = {path.t[-1][sample].item():.6g}: {what} "
        f"(state norm {size:.2g}, {accepted} accepted, {rejected} rejected); {advice}{more}"
    )


def _left_the_numbers(y: Tensor, tried: float) -> tuple[str, str]:
    """What happened and what to try: the state is too large, or the field is not finite near it."""
    if nearly_infinite(y[None]).item():
        largest = f"{str(y.dtype).removeprefix('torch.')} ends at {torch.finfo(y.dtype).max:.2g}"
        return f"the state outgrew its numbers: {largest}", "check what lets the field grow without bound"
    after = f", nor after a step of {tried:.2g}" if tried else ""
    return f"the field is not finite{after}", SINGULAR


STIFF = "if the system is stiff see chapter 09, otherwise "
OR_SINGULAR = "loosen rtol or check the field for a singularity"
OR_PATIENCE = "raise max_steps or loosen rtol"
LONGER_STEPS = "raise max_steps or allow a longer step"
SINGULAR = "check the field there for a singularity, or its parameters for NaN"
