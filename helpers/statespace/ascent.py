"""The loop of every fit: improve a model, evaluate it, and stop when that gains too little."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite, isnan
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from helpers.arguments import check_whole_number, kind
from helpers.progress import ProgressBar

ROUNDING = 0.5  # power of the machine precision: the share of a log-likelihood that rounding may move

Model = TypeVar("Model")
Evidence = TypeVar("Evidence")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model, and how the fit went.

    Attributes
    ----------
    model : LinearGaussian or HMM
        After the last iteration.
    log_likelihoods : tuple of float
        Of all series together: first the start's, then that of the model after each iteration. They never
        fall: an iteration that would lose to rounding leaves the model as it is, and is the last.
    converged : bool
        True if the last iteration gained less than the tolerance, or would have lost less to rounding.
    parameters : dict of Tensor
        What `maximise_likelihood` found; empty after `fit`.
    collapsed : tuple of str
        Learned variances that could be a million times smaller at a cost of less than 0.01 nats, for example
        `"transition_covariance[0, 0]"`: the likelihood pulls them to zero. Of a component of several, it is
        the variance that is left once the components before it are known. Of an HMM, the Gaussian states
        that lie on the variance floor, for example `"emission.covariance[1]"`.
    """

    model: Any
    log_likelihoods: tuple[float, ...]
    converged: bool
    parameters: dict[str, Tensor] = field(default_factory=dict)
    collapsed: tuple[str, ...] = ()

    @property
    def iterations(self) -> int:
        """How many times the model was improved."""
        return len(self.log_likelihoods) - 1

    @property
    def log_likelihood(self) -> float:
        """Of the fitted model."""
        return self.log_likelihoods[-1]


class FitError(ValueError):
    """An iteration of a fit failed, or lost likelihood.

    Attributes
    ----------
    fitted : Fitted or None
        The last good model and how far the fit had come, not converged; None if the start itself failed.
    """

    def __init__(self, message: str, fitted: Fitted | None) -> None:
        super().__init__(message)
        self.fitted = fitted


def ascend(
    model: Model,
    evaluate: Callable[[Model], Evidence],
    improve: Callable[[Model, Evidence], Model],
    iterations: int,
    tolerance: float,
    progress: bool,
    patience: int = 1,
) -> Fitted:
    """Evaluate, improve, evaluate, improve, until an iteration gains too little or there were enough.

    Parameters
    ----------
    model : LinearGaussian or HMM
        The start.
    evaluate : function (model) -> evidence
        The evidence has a `log_likelihood` (B,), and whatever `improve` needs to know.
    improve : function (model, evidence) -> model
        A better model, from a model and its evidence.
    iterations : int
        At most this many.
    tolerance : float
        What counts as too little, of all series together, in nats.
    progress : bool
        Whether to show how far it is.
    patience : int
        How many iterations in a row must gain too little.

    Raises
    ------
    FitError
        A ValueError. If the log-likelihood is not finite, falls by more than rounding, or as `evaluate` and
        `improve` do, saying at which iteration. Its `fitted` has the last good model.
    """
    check_whole_number("iterations", iterations)
    _check_tolerance(tolerance)
    reached: list[float] = []
    with _name_iteration(model, reached):
        evidence = evaluate(model)
        reached.append(_total(evidence))
    idle, moving = 0, True
    with ProgressBar(iterations, "iteration", shown=progress) as bar:
        while len(reached) <= iterations and idle < patience and moving:
            with _name_iteration(model, reached):
                proposal = improve(model, evidence)
                judged = evaluate(proposal)
                total = _total(judged)
                _refuse_fall(reached[-1], total, judged.log_likelihood.dtype)
            gain, moving = total - reached[-1], total >= reached[-1]
            if moving:
                model, evidence = proposal, judged
            reached.append(max(total, reached[-1]))
            idle = idle + 1 if abs(gain) < tolerance else 0
            bar.advance(f"log-likelihood {reached[-1]:.6g}")
        ending = "converged" if idle == patience else "not yet converged"
        bar.finish(
            f"{len(reached) - 1} iterations, {ending}: log-likelihood {reached[0]:.6g} → {reached[-1]:.6g}"
        )
    return Fitted(model, tuple(reached), idle == patience)


def _check_tolerance(tolerance: float) -> None:
    """Refuse anything but a number; one below 0 is never reached, and asks for all iterations."""
    if not isinstance(tolerance, Real) or isinstance(tolerance, bool) or isnan(tolerance):
        raise ValueError(f"tolerance must be a number: got {kind(tolerance)}, {tolerance!r}")


def _refuse_fall(before: float, after: float, dtype: torch.dtype) -> None:
    """Refuse a log-likelihood that fell by more than rounding can move it."""
    rounding = torch.finfo(dtype).eps ** ROUNDING * (1 + abs(before) + abs(after))
    if after < before - rounding:
        raise ValueError(f"the log-likelihood must not fall: got {after:.12g} after {before:.12g}")


def _total(evidence: Evidence) -> float:
    """The log-likelihood of all series, which must be finite: the one poll of an iteration."""
    total = evidence.log_likelihood.sum().item()
    if not isfinite(total):
        raise ValueError(f"the log-likelihood must be finite: got {total}")
    return total


@contextmanager
def _name_iteration(model: Model, reached: list[float]) -> Iterator[None]:
    """Say at which iteration an error came, and keep the model that it came after."""
    try:
        yield
    except ValueError as error:
        fitted = Fitted(model, tuple(reached), converged=False) if reached else None
        raise FitError(f"iteration {len(reached)} of the fit: {error}", fitted) from error
