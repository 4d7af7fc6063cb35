"""Maximum likelihood by gradient: L-BFGS through the filter, for whatever parameters a model is made of."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from helpers.statespace.ascent import Fitted, ascend
from helpers.statespace.gaussian.data import Observations, check_observations
from helpers.statespace.gaussian.likelihood import log_likelihood_of
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.matrices import covariance_from_unconstrained, unconstrained_from_covariance

COVARIANCES = ("transition_covariance", "observation_covariance", "initial_covariance")

Parameters = dict[str, Tensor]
Build = Callable[[Parameters], LinearGaussian]


def maximise_likelihood(
    build: Build,
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
    if not start:
        raise ValueError("start must name at least one parameter: got none")
    for name, parameter in start.items():
        if not parameter.isfinite().all():
            raise ValueError(f"start must be finite: {name} is {parameter.tolist()}")
    data = check_some_observed(build(_variables(start)), y, mask, inputs, lengths)
    return _climb(build, start, data, iterations, tolerance, progress)


def fit_by_gradient(
    model: LinearGaussian,
    data: Observations,
    learn: Collection[str],
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """L-BFGS on the fields themselves, and on covariances as vectors; arguments are those of `fit`."""
    start = {name: getattr(model, name) for name in learn}
    start |= {name: unconstrained_from_covariance(start[name]) for name in learn if name in COVARIANCES}

    def build(parameters: Parameters) -> LinearGaussian:
        learned = {
            name: covariance_from_unconstrained(parameter) if name in COVARIANCES else parameter
            for name, parameter in parameters.items()
        }
        return replace(model, **learned)

    return replace(_climb(build, start, data, iterations, tolerance, progress), parameters={})


def _climb(
    build: Build,
    start: Mapping[str, Tensor],
    data: Observations,
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """Line searches along the directions of L-BFGS.

    L-BFGS remembers the curvature of where it has been, which from a start of another order of magnitude is
    misleading. After a step that gains little it begins afresh; if that gains little too, it is at the top.
    """
    parameters = _variables(start)
    loss = _Loss(build, parameters, data)
    optimiser = _lbfgs(parameters)

    def evaluate(_: LinearGaussian | None) -> _Loss:
        loss()
        return loss

    def improve(_: LinearGaussian | None, loss: _Loss) -> LinearGaussian:
        nonlocal optimiser
        before = loss()
        optimiser.step(loss)
        if (before - loss()) * loss.observed < tolerance:
            optimiser = _lbfgs(parameters)
        return loss.model

    fitted = ascend(None, evaluate, improve, iterations, tolerance, progress, patience=2)
    found = {name: parameter.detach() for name, parameter in parameters.items()}
    model = build(found)
    collapsed = collapsed_variances(model, _learned_covariances(fitted.model), data)
    return replace(fitted, model=model, parameters=found, collapsed=collapsed)


def _variables(start: Mapping[str, Tensor]) -> Parameters:
    """Copies that a gradient is wanted for."""
    return {name: tensor.detach().clone().requires_grad_() for name, tensor in start.items()}


class _Loss:
    """Minus the log-likelihood per observed entry; value and gradient of the latest point are kept.

    A point at which there is no model, or no finite likelihood, is worse than the one before it, and flat:
    the line search turns back. At the first point it is an error.
    """

    def __init__(self, build: Build, parameters: Parameters, data: Observations) -> None:
        self.build, self.parameters, self.data = build, parameters, data
        self.observed = data.mask.sum()
        self.point = self.value = None

    def __call__(self) -> Tensor:
        """The loss; its gradient is then the parameters'."""
        point = torch.cat([parameter.detach().flatten() for parameter in self.parameters.values()])
        if self.point is None or not torch.equal(point, self.point):
            self.point = point
            try:
                self._evaluate()
            except (ValueError, torch.linalg.LinAlgError):
                if self.value is None:
                    raise
                self._reject()
        return self.value

    @torch.enable_grad()
    def _evaluate(self) -> None:
        self.model = self.build(self.parameters)
        self.log_likelihood = log_likelihood_of(self.model, self.data)  # (B,)
        loss = -self.log_likelihood.sum() / self.observed
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
                    f"{self.log_likelihood.sum().item():.6g} where {name} is {parameter.tolist()}"
                )
        self.value = loss.detach()

    def _reject(self) -> None:
        self.value = self.value + self.value.abs() + 1
        for parameter in self.parameters.values():
            parameter.grad = torch.zeros_like(parameter)


def _lbfgs(parameters: Parameters) -> torch.optim.LBFGS:
    """One iteration per step, ended by nothing but the line search."""
    return torch.optim.LBFGS(
        list(parameters.values()),
        max_iter=1,
        max_eval=25,  # of the line search: PyTorch would stop it at the first point tried
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


def check_some_observed(
    model: LinearGaussian, y: Tensor, mask: Tensor | None, inputs: Tensor | None, lengths: Tensor | None
) -> Observations:
    """Check the data of a fit, of which at least one entry must be observed."""
    data = check_observations(model, y, mask, inputs, lengths)
    if not data.mask.any():
        raise ValueError("y must have at least one observed entry: all are missing")
    return data


@torch.no_grad()
def collapsed_variances(model: LinearGaussian, names: Collection[str], data: Observations) -> tuple[str, ...]:
    """Which variances could be a million times smaller at a cost of less than 0.01 nats, as in `Fitted`."""
    reached = log_likelihood_of(model, data).sum()
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
            if log_likelihood_of(smaller, data).sum() > reached - 0.01:
                collapsed.append(f"{name}[{component}, {component}]")
    return tuple(collapsed)


def _learned_covariances(model: LinearGaussian) -> list[str]:
    """Constant positive definite covariances that carry a gradient."""
    constant = [
        name for name in COVARIANCES if getattr(model, name).ndim == 2 and getattr(model, name).requires_grad
    ]
    return [name for name in constant if not torch.linalg.cholesky_ex(getattr(model, name).detach()).info]
