"""Learning a model from data: maximum likelihood by gradient, by EM, or by Baum-Welch."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from helpers.arguments import check_one_of, kind
from helpers.series import IrregularBatch
from helpers.statespace.ascent import Fitted, name_collapse
from helpers.statespace.gaussian.data import Observations
from helpers.statespace.gaussian.em import fit_by_em
from helpers.statespace.gaussian.fixed import free_entries
from helpers.statespace.gaussian.gradient import (
    as_ordinary,
    check_some_observed,
    collapsed_variances,
    fit_by_gradient,
    free_components,
)
from helpers.statespace.gaussian.model import LinearGaussian, check_model
from helpers.statespace.hmm import HMM, HMMPrior, baum_welch

MOVING = ("transition", "input", "transition_covariance")
METHODS = {"gradient": fit_by_gradient, "em": fit_by_em}


@torch.inference_mode(False)
def fit(
    model: LinearGaussian | HMM,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    *,
    method: str | None = None,
    learn: Collection[str] | None = None,
    fixed: Mapping[str, Tensor] | None = None,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    prior: HMMPrior | None = None,
    variance_floor: float | None = None,
    iterations: int = 200,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> Fitted:
    """Find the nearest maximum of the likelihood, from a model that is the start.

    ::

        θ̂ = argmax Σ_b log p(y_b; θ)

    `"gradient"` climbs by L-BFGS through the filter, with covariances as
    `unconstrained_from_covariance` writes them. `"em"` smooths and regresses in turn, and is slow where much
    of the state is hidden. An `HMM` is fitted by `baum_welch`.
    The likelihood never falls: a fall by more than rounding is an error.

    A state-space model is known only up to a change of coordinates: A, C and Q all free have many equally
    good values, and which one is found depends on the start. So does whether one is found at all: from a
    start with a variance far too small beside the others, the likelihood is flat (see `Fitted.collapsed`).
    Structure, such as matrices that share a parameter, is for `maximise_likelihood`.

    Parameters
    ----------
    model : LinearGaussian or HMM
        The start. What is not learned stays as it is. float64 is recommended.
    y, mask, inputs, lengths
        The series, as for `kalman_filter` or `hmm_filter`. An `IrregularBatch` as y brings its mask and
        lengths; its times are not read (see `LinearGaussian.from_sde`).
    method : "gradient" or "em"
        Left out, "gradient". Not for an HMM.
    learn : names of the model's fields
        Left out, transition, transition_covariance and observation_covariance. Not for an HMM, which learns
        everything.
    fixed : dict of Tensor, optional
        What is held, by field: a bool mask of the field's shape, True for entries that stay as they are at
        the start; or the value of a whole field, which is then not learned. Of an HMM, `initial`,
        `transition` and the emission's fields. EM learns a covariance in whole blocks only, with zeros fixed
        between them, and no coefficients of a component without noise; the gradient has no such limits.
    prior, variance_floor
        As for `baum_welch`; only for an HMM.
    iterations : int
        At most this many.
    tolerance : float
        Stop when an iteration gains less log-likelihood, of all series together, in nats.
    progress : bool
        Whether to show how far it is.

    Raises
    ------
    ValueError
        If a name is unknown, a matrix to be learned is given per step or is a covariance that is not positive
        definite where it is learned, nothing was observed, the transition is learned and nothing was observed
        after the first step, or if EM cannot learn what it is asked to.
    FitError
        A ValueError, whose `fitted` has the last good model. Saying at which iteration, if the log-likelihood
        is not finite or falls, or what an iteration arrives at is no model.

    Source: Shumway and Stoffer (1982), Journal of Time Series Analysis 3(4) (EM); Durbin and Koopman (2012),
    Time series analysis by state space methods, section 7.3 (gradient).
    """
    if isinstance(model, HMM):
        because = "for an HMM, which Baum-Welch fits whole"
        _check_left_out({"method": method, "learn": learn, "inputs": inputs}, because)
        return baum_welch(
            model,
            y,
            mask,
            lengths,
            prior=prior,
            fixed=fixed,
            variance_floor=variance_floor,
            iterations=iterations,
            tolerance=tolerance,
            progress=progress,
        )
    _check_left_out({"prior": prior, "variance_floor": variance_floor}, "but for an HMM")
    check_model(model)
    method = "gradient" if method is None else method
    check_one_of("method", method, METHODS)
    model, free = free_entries(model, learn, fixed)
    data = check_some_observed(model, y, mask, inputs, lengths)
    _check_informed(free, data)
    model, data = as_ordinary(model), as_ordinary(data)

    def collapsed(model: LinearGaussian) -> tuple[str, ...]:
        return collapsed_variances(model, free_components(free), data)

    with name_collapse(collapsed):
        fitted = METHODS[method](model, data, free, iterations, tolerance, progress)
    return replace(fitted, parameters={}, collapsed=collapsed(fitted.model))


def _check_informed(free: Mapping[str, Tensor], data: Observations) -> None:
    """Refuse to learn how the state moves from data that say nothing of it."""
    moving = [name for name in MOVING if name in free]
    if moving and not data.mask[:, 1:].any():
        raise ValueError(f"y must be observed after step 0 to learn {', '.join(moving)}: nothing is")


def _check_left_out(arguments: Mapping[str, object], because: str) -> None:
    for name, argument in arguments.items():
        if argument is not None:
            raise ValueError(f"{name} must be left out {because}: got {kind(argument)}")
