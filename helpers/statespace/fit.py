"""Learning a model from data: maximum likelihood by gradient, by EM, or by Baum-Welch."""

from collections.abc import Collection
from dataclasses import replace

from torch import Tensor

from helpers.arguments import check_one_of
from helpers.statespace.ascent import Fitted
from helpers.statespace.gaussian.em import fit_by_em
from helpers.statespace.gaussian.gradient import (
    COVARIANCES,
    check_some_observed,
    collapsed_variances,
    fit_by_gradient,
)
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.hmm import HMM, baum_welch
from helpers.statespace.matrices import cholesky_factor

LEARNABLE = ("transition", "observation", "input", "initial_mean", *COVARIANCES)
METHODS = ("gradient", "em")
LEARNED_BY_DEFAULT = ("transition", "transition_covariance", "observation_covariance")


def fit(
    model: LinearGaussian | HMM,
    y: Tensor,
    mask: Tensor | None = None,
    *,
    method: str | None = None,
    learn: Collection[str] | None = None,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    iterations: int = 200,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> Fitted:
    """Find the nearest maximum of the likelihood, from a model that is the start.

    ::

        θ̂ = argmax Σ_b log p(y_b; θ)

    `"gradient"` climbs by L-BFGS through the filter, with covariances as
    `unconstrained_from_covariance` writes them. `"em"` smooths and regresses in turn; its likelihood never
    falls, and it is slow where much of the state is hidden. An `HMM` is fitted by Baum-Welch.

    A state-space model is known only up to a change of coordinates: A, C and Q all free have many equally
    good values, and which one is found depends on the start. So does whether one is found at all: from a
    start with a variance far too small beside the others, the likelihood is flat (see `Fitted.collapsed`).
    Structure, such as matrices that share a parameter, is for `maximise_likelihood`.

    Parameters
    ----------
    model : LinearGaussian or HMM
        The start. What is not learned stays as it is. float64 is recommended.
    y, mask, inputs, lengths
        The series, as for `kalman_filter` or `hmm_filter`.
    method : "gradient" or "em"
        Left out, "gradient". Not for an HMM.
    learn : names of the model's fields
        Left out, transition, transition_covariance and observation_covariance. Not for an HMM, which learns
        everything.
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
        definite, nothing was observed, or, saying at which iteration, the log-likelihood is not finite.

    Source: Shumway and Stoffer (1982), Journal of Time Series Analysis 3(4) (EM); Durbin and Koopman (2012),
    Time series analysis by state space methods, section 7.3 (gradient).
    """
    if isinstance(model, HMM):
        _check_for_hmm(method, learn, inputs)
        return baum_welch(
            model, y, mask, lengths, iterations=iterations, tolerance=tolerance, progress=progress
        )
    if method is not None:
        check_one_of("method", method, METHODS)
    learn = LEARNED_BY_DEFAULT if learn is None else tuple(learn)
    _check_learnable(model, learn)
    data = check_some_observed(model, y, mask, inputs, lengths)
    if method != "em":
        return fit_by_gradient(model, data, learn, iterations, tolerance, progress)
    fitted = fit_by_em(model, data, learn, iterations, tolerance, progress)
    learned = [name for name in COVARIANCES if name in learn]
    return replace(fitted, collapsed=collapsed_variances(fitted.model, learned, data))


def _check_learnable(model: LinearGaussian, learn: tuple[str, ...]) -> None:
    if not learn:
        raise ValueError(f"learn must name at least one of {', '.join(LEARNABLE)}: got none")
    for name in learn:
        if name not in LEARNABLE:
            raise ValueError(f"learn must name fields among {', '.join(LEARNABLE)}: got {name!r}")
        tensor, dimensions = getattr(model, name), 1 if name == "initial_mean" else 2
        if tensor is None:
            raise ValueError(f"learn names {name}, and the model has none")
        if tensor.ndim != dimensions:
            raise ValueError(
                f"{name} must be the same for all series and steps to be learned: got shape "
                f"{tuple(tensor.shape)}; maximise_likelihood fits any model"
            )
        if name in COVARIANCES:
            cholesky_factor(tensor, name)
        if name.startswith("initial") and model.diffuse is not None and model.diffuse.any():
            raise ValueError(f"{name} cannot be learned where the start is diffuse")


def _check_for_hmm(method: str | None, learn: Collection[str] | None, inputs: Tensor | None) -> None:
    for name, argument in {"method": method, "learn": learn, "inputs": inputs}.items():
        if argument is not None:
            raise ValueError(f"{name} must be left out for an HMM, which Baum-Welch fits whole")
