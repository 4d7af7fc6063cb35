"""Learning a model from data: maximum likelihood by gradient, by EM, or by Baum-Welch."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite

import torch
from torch import Tensor

from helpers.progress import ProgressBar
from helpers.statespace.expectation_maximisation import check_separable, em_models
from helpers.statespace.hmm import HMM, baum_welch
from helpers.statespace.likelihood import log_likelihood
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.observations import observed
from helpers.statespace.positive_definite import (
    cholesky_factor,
    covariance_from_unconstrained,
    unconstrained_from_covariance,
)

COVARIANCES = ("transition_covariance", "observation_covariance", "initial_covariance")
LEARNABLE = ("transition", "observation", "input", "initial_mean", *COVARIANCES)
DEFAULT = ("transition", "transition_covariance", "observation_covariance")

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model, and how the fit went.

    Parameters
    ----------
    model : LinearGaussian or HMM
        After the last iteration.
    log_likelihoods : tuple of float
        Of all series together: first the start's, then that of the model after each iteration.
    converged : bool
        True if the last iteration gained less than the tolerance.
    parameters : dict of Tensor
        What `maximise_likelihood` found; empty after `fit`.
    collapsed : tuple of str
        Learned variances that could be a million times smaller at a cost of less than 0.01 nats, for example
        `"transition_covariance[0, 0]"`: the likelihood pulls them to zero. Of a component of several, it is
        the variance that is left once the components before it are known.
    """

    model: LinearGaussian | HMM
    log_likelihoods: tuple[float, ...]
    converged: bool
    parameters: Parameters = field(default_factory=dict)
    collapsed: tuple[str, ...] = ()

    @property
    def iterations(self) -> int:
        """How many times the model was improved."""
        return len(self.log_likelihoods) - 1

    @property
    def log_likelihood(self) -> float:
        """Of the fitted model."""
        return self.log_likelihoods[-1]


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
    r"""Find the nearest maximum of the likelihood, from a model that is the start.

    .. math:: \hat\theta = \arg\max_\theta \sum_b \log p(y^b; \theta)

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
        found = baum_welch(
            model, y, mask, lengths, iterations=iterations, tolerance=tolerance, progress=progress
        )
        return Fitted(found.hmm, found.log_likelihoods, found.converged)
    if method not in (None, "gradient", "em"):
        raise ValueError(f'method must be "gradient" or "em": got {method!r}')
    learn = DEFAULT if learn is None else tuple(learn)
    _check_learnable(model, learn)
    mask = _some_observed(model, y, mask, lengths)
    climb = _by_em if method == "em" else _by_gradient
    return climb(model, learn, y, mask, inputs, iterations, tolerance, progress)


def maximise_likelihood(
    build: Callable[[Parameters], LinearGaussian],
    start: Mapping[str, Tensor],
    y: Tensor,
    mask: Tensor | None = None,
    *,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    iterations: int = 200,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> Fitted:
    """Fit whatever parameters a model is made of, by L-BFGS with the strong Wolfe conditions.

    Parameters
    ----------
    build : function (dict of Tensor) -> LinearGaussian
        The model of these parameters, differentiable. Let a variance be the exponential of a parameter, a
        covariance `covariance_from_unconstrained`. Where it raises ValueError, as `varma_to_state_space` does
        for a process that is not stationary, the line search turns back.
    start : dict of Tensor
        Where to start, any shapes.
    y, mask, inputs, lengths, iterations, tolerance, progress
        As for `fit`.

    Returns
    -------
    Fitted
        With `parameters` under the names of `start`.

    Raises
    ------
    ValueError
        As `fit`; if there are no parameters, or one is not finite.

    Source: Nocedal and Wright (2006), Numerical optimization, algorithms 7.5 and 3.5.
    """
    parameters = {name: tensor.detach().clone().requires_grad_() for name, tensor in start.items()}
    _check_start(parameters)
    mask = _some_observed(build(parameters), y, mask, lengths)
    log_likelihood_of = partial(log_likelihood, y=y, mask=mask, inputs=inputs)
    models = _ascent(build, parameters, log_likelihood_of, mask.sum(), tolerance)
    model, trace, converged = _follow(models, iterations, tolerance, progress, patience=2)
    found = {name: parameter.detach() for name, parameter in parameters.items()}
    collapsed = collapsed_variances(build(found), _learned_covariances(model), log_likelihood_of)
    return Fitted(build(found), trace, converged, found, collapsed)


def _by_gradient(
    model: LinearGaussian,
    learn: tuple[str, ...],
    y: Tensor,
    mask: Tensor,
    inputs: Tensor | None,
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """L-BFGS on the fields themselves, and on covariances as vectors without constraints."""
    start = {name: getattr(model, name) for name in learn}
    start |= {name: unconstrained_from_covariance(start[name]) for name in learn if name in COVARIANCES}

    def build(parameters: Parameters) -> LinearGaussian:
        learned = {
            name: covariance_from_unconstrained(parameter) if name in COVARIANCES else parameter
            for name, parameter in parameters.items()
        }
        return replace(model, **learned)

    fitted = maximise_likelihood(
        build,
        start,
        y,
        mask,
        inputs=inputs,
        iterations=iterations,
        tolerance=tolerance,
        progress=progress,
    )
    return replace(fitted, parameters={})


@torch.no_grad()
def _by_em(
    model: LinearGaussian,
    learn: tuple[str, ...],
    y: Tensor,
    mask: Tensor,
    inputs: Tensor | None,
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """Smooth and regress in turn."""
    check_separable(model, learn)
    models = em_models(model, y, mask, inputs, learn)
    model, trace, converged = _follow(models, iterations, tolerance, progress)
    learned = [name for name in COVARIANCES if name in learn]
    collapsed = collapsed_variances(model, learned, partial(log_likelihood, y=y, mask=mask, inputs=inputs))
    return Fitted(model, trace, converged, collapsed=collapsed)


class _Loss:
    """Minus the log-likelihood per observed entry; value and gradient of the latest point are kept.

    A point at which there is no model, or no finite likelihood, is worse than the one before it, and flat:
    the line search turns back. At the first point it is an error.
    """

    def __init__(
        self,
        build: Callable[[Parameters], LinearGaussian],
        parameters: Parameters,
        log_likelihood_of: Callable[[LinearGaussian], Tensor],
        observations: Tensor,
    ) -> None:
        self.build, self.parameters = build, parameters
        self.log_likelihood_of, self.observations = log_likelihood_of, observations
        self.point = self._point()
        self._evaluate()

    def __call__(self) -> Tensor:
        """The loss; its gradient is then the parameters'."""
        point = self._point()
        if not torch.equal(point, self.point):
            self.point = point
            try:
                self._evaluate()
            except (ValueError, torch.linalg.LinAlgError):
                self._reject()
        return self.value

    def _point(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.parameters.values()])

    @torch.enable_grad()
    def _evaluate(self) -> None:
        self.model = self.build(self.parameters)
        self.log_likelihoods = self.log_likelihood_of(self.model)
        loss = -self.log_likelihoods.sum() / self.observations
        if not loss.requires_grad:
            raise ValueError(
                "build must make a model that depends on its parameters: no gradient flows to them"
            )
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
            if not (loss.isfinite() and parameter.grad.isfinite().all()):
                raise ValueError(
                    "the log-likelihood and its gradient must be finite: the log-likelihood is "
                    f"{self.log_likelihoods.sum().item():.6g} where {name} is {parameter.tolist()}"
                )
        self.value = loss.detach()

    def _reject(self) -> None:
        self.value = self.value + self.value.abs() + 1
        for parameter in self.parameters.values():
            parameter.grad = torch.zeros_like(parameter)


def _ascent(
    build: Callable[[Parameters], LinearGaussian],
    parameters: Parameters,
    log_likelihood_of: Callable[[LinearGaussian], Tensor],
    observations: Tensor,
    tolerance: float,
) -> Iterator[tuple[LinearGaussian, Tensor]]:
    """Ever better models, each with its log-likelihood (B,); the first is the start.

    L-BFGS remembers the curvature of where it has been, which from a start of another order of magnitude is
    misleading. After a step that gains little it begins afresh; if that gains little too, it is at the top.
    """
    loss = _Loss(build, parameters, log_likelihood_of, observations)
    optimiser = _lbfgs(loss)
    while True:
        before = loss()
        yield loss.model, loss.log_likelihoods
        optimiser.step(loss)
        if (before - loss()) * observations < tolerance:
            optimiser = _lbfgs(loss)


def _lbfgs(loss: _Loss) -> torch.optim.LBFGS:
    """One iteration per step, ended by nothing but the line search."""
    parameters = list(loss.parameters.values())
    return torch.optim.LBFGS(
        parameters,
        max_iter=1,
        max_eval=25,  # of the line search: PyTorch would stop it at the first point tried
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


def _follow(
    models: Iterator[tuple[LinearGaussian, Tensor]],
    iterations: int,
    tolerance: float,
    progress: bool,
    patience: int = 1,
) -> tuple[LinearGaussian, tuple[float, ...], bool]:
    """Take models until `patience` in a row gain too little: the last, the trace, whether it converged."""
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more: got {iterations}")
    model, trace = _next(models, [])
    idle = 0
    with ProgressBar(iterations, "iteration", shown=progress) as bar:
        while len(trace) <= iterations and idle < patience:
            model, trace = _next(models, trace)
            idle = idle + 1 if trace[-1] - trace[-2] < tolerance else 0
            bar.advance(f"log-likelihood {trace[-1]:.6g}")
        ending = "converged" if idle == patience else "not yet converged"
        bar.finish(f"{len(trace) - 1} iterations, {ending}: log-likelihood {trace[0]:.6g} → {trace[-1]:.6g}")
    return model, tuple(trace), idle == patience


def _next(
    models: Iterator[tuple[LinearGaussian, Tensor]], trace: list[float]
) -> tuple[LinearGaussian, list[float]]:
    """The next model, and the trace with its finite log-likelihood: the one poll of an iteration."""
    try:
        model, log_likelihoods = next(models)
    except ValueError as error:
        raise ValueError(f"iteration {len(trace)} of the fit: {error}") from error
    latest = log_likelihoods.sum().item()
    if not isfinite(latest):
        raise ValueError(
            f"iteration {len(trace)} of the fit: the log-likelihood must be finite: got {latest}"
        )
    return model, [*trace, latest]


@torch.no_grad()
def collapsed_variances(
    model: LinearGaussian, names: Collection[str], log_likelihood_of: Callable[[LinearGaussian], Tensor]
) -> tuple[str, ...]:
    """Which variances could be a million times smaller at a cost of less than 0.01 nats, as in `Fitted`."""
    reached = log_likelihood_of(model).sum()
    collapsed = []
    for name in names:
        root, failed = torch.linalg.cholesky_ex(getattr(model, name))
        if failed:
            collapsed.append(f"{name}[{failed - 1}, {failed - 1}]")
            continue
        for component in range(len(root)):
            shrunk = root.clone()
            shrunk[component, component] *= 1e-3
            smaller = replace(model, **{name: shrunk @ shrunk.mT})
            if log_likelihood_of(smaller).sum() > reached - 0.01:
                collapsed.append(f"{name}[{component}, {component}]")
    return tuple(collapsed)


def _some_observed(model: LinearGaussian, y: Tensor, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    """True where y was observed, (B, T, D), which must be so somewhere."""
    _, mask = observed(model, y, mask, lengths)
    if not mask.any():
        raise ValueError("y must have at least one observed entry: all are missing")
    return mask


def _learned_covariances(model: LinearGaussian) -> list[str]:
    """Constant positive definite covariances that carry a gradient."""
    constant = [
        name for name in COVARIANCES if getattr(model, name).ndim == 2 and getattr(model, name).requires_grad
    ]
    return [name for name in constant if not torch.linalg.cholesky_ex(getattr(model, name).detach()).info]


def _check_start(parameters: Parameters) -> None:
    if not parameters:
        raise ValueError("start must name at least one parameter: got none")
    for name, parameter in parameters.items():
        if not parameter.isfinite().all():
            raise ValueError(f"start must be finite: {name} is {parameter.tolist()}")


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
