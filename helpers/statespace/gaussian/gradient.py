"""Maximum likelihood by gradient: L-BFGS through the filter, for whatever parameters a model is made of."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from helpers.arguments import check_finite, check_floating, kind
from helpers.series import IrregularBatch
from helpers.statespace.ascent import Fitted, ascend
from helpers.statespace.gaussian.data import Observations, check_observations
from helpers.statespace.gaussian.fixed import COVARIANCES, covariance_from_vector, vector_from_covariance
from helpers.statespace.gaussian.likelihood import log_likelihood_of
from helpers.statespace.gaussian.model import LinearGaussian

Record = TypeVar("Record", LinearGaussian, Observations)
Parameters = dict[str, Tensor]
Build = Callable[[Parameters], LinearGaussian]


@torch.inference_mode(False)
def maximise_likelihood(
    build: Build,
    start: Mapping[str, Tensor],
    y: Tensor | IrregularBatch,
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
    _check_start(build, start)
    data = as_ordinary(check_some_observed(build(_variables(start)), y, mask, inputs, lengths))
    fitted = _climb(build, start, data, iterations, tolerance, progress)
    components = _learned_components(build(_variables(fitted.parameters)))
    return replace(fitted, collapsed=collapsed_variances(fitted.model, components, data))


def _check_start(build: Build, start: Mapping[str, Tensor]) -> None:
    """Refuse anything but a function and a dict of finite floating-point tensors."""
    if not callable(build):
        raise ValueError(f"build must be a function of a dict of tensors: got {kind(build)}")
    if not isinstance(start, Mapping):
        raise ValueError(f"start must be a dict of tensors by name: got {kind(start)}")
    if not start:
        raise ValueError("start must name at least one parameter: got none")
    for name, parameter in start.items():
        check_floating(f"start[{name!r}]", parameter)
        check_finite(f"start[{name!r}]", parameter)


def fit_by_gradient(
    model: LinearGaussian,
    data: Observations,
    free: Mapping[str, Tensor],
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """L-BFGS on the free entries themselves, and on covariances as vectors.

    Arguments are those of `fit`; `free` has a mask for each field that is learned, True where it is free.
    """
    start = {
        name: vector_from_covariance(getattr(model, name), entries, name)
        if name in COVARIANCES
        else getattr(model, name)[entries]
        for name, entries in free.items()
    }

    def build(parameters: Parameters) -> LinearGaussian:
        learned = {
            name: covariance_from_vector(vector, getattr(model, name), free[name], name)
            if name in COVARIANCES
            else getattr(model, name).masked_scatter(free[name], vector)
            for name, vector in parameters.items()
        }
        return replace(model, **learned)

    return _climb(build, start, data, iterations, tolerance, progress)


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
        before, values = (
            loss.begin(),
            {name: parameter.detach().clone() for name, parameter in parameters.items()},
        )
        optimiser.step(loss)
        if not loss() <= before:  # no model there, or worse than where the step began
            for name, parameter in parameters.items():
                parameter.data.copy_(values[name])
        if (before - loss()) * loss.observed < tolerance:
            optimiser = _lbfgs(parameters)
        return loss.model

    readings = int(loss.observed)
    fitted = ascend(None, evaluate, improve, iterations, tolerance, progress, patience=2, readings=readings)
    found = {name: parameter.detach() for name, parameter in parameters.items()}
    return replace(fitted, model=build(found), parameters=found)


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
        self.point = self.value = self.beginning = None

    def begin(self) -> Tensor:
        """The loss where a line search begins, than which a rejected point is worse."""
        self.beginning = self()
        return self.beginning

    def __call__(self) -> Tensor:
        """The loss; its gradient is then the parameters'."""
        point = torch.cat([parameter.detach().flatten() for parameter in self.parameters.values()])
        if self.point is None or not torch.equal(point, self.point):
            self.point = point
            try:
                self._evaluate()
            except (ValueError, torch.linalg.LinAlgError):
                if self.beginning is None:
                    raise
                self._reject()
        return self.value

    @torch.enable_grad()
    def _evaluate(self) -> None:
        self.model = as_ordinary(self.build(self.parameters))
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
        worst = torch.maximum(self.value, self.beginning)
        self.value = worst + worst.abs() + 1
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


def as_ordinary(record: Record) -> Record:
    """The same, with copies of tensors made in inference mode, through which no gradient could flow."""
    tensors = {field.name: getattr(record, field.name) for field in fields(record)}
    made = {name: t.clone() for name, t in tensors.items() if isinstance(t, Tensor) and t.is_inference()}
    return replace(record, **made) if made else record


def check_some_observed(
    model: LinearGaussian,
    y: Tensor | IrregularBatch,
    mask: Tensor | None,
    inputs: Tensor | None,
    lengths: Tensor | None,
) -> Observations:
    """Check the data of a fit, of which at least one entry must be observed."""
    data = check_observations(model, y, mask, inputs, lengths)
    if not data.mask.any():
        raise ValueError("y must have at least one observed entry: all are missing")
    return data


@torch.no_grad()
def collapsed_variances(
    model: LinearGaussian, components: Mapping[str, Tensor], data: Observations
) -> tuple[str, ...]:
    """Which variances could be a million times smaller at a cost of less than 0.01 nats, as in `Fitted`.

    `components` has, for each covariance, the indices of those whose variances were learned.
    """
    enough = log_likelihood_of(model, data).sum() - 0.01
    collapsed = []
    for name, learned in components.items():
        covariance, block = getattr(model, name), (learned[:, None], learned)
        root, failed = torch.linalg.cholesky_ex(covariance[block])
        if failed:
            collapsed.append(f"{name}[{learned[failed - 1]}, {learned[failed - 1]}]")
            continue
        for component, index in enumerate(learned.tolist()):
            shrunk = root.clone()
            shrunk[component, component] *= 1e-3
            smaller = covariance.index_put(block, shrunk @ shrunk.mT)
            if _reaches(enough, model, name, smaller, data):
                collapsed.append(f"{name}[{index}, {index}]")
    return tuple(collapsed)


def _reaches(
    enough: Tensor, model: LinearGaussian, name: str, covariance: Tensor, data: Observations
) -> bool:
    """Whether the model with another covariance is still likely enough, and a model at all."""
    try:
        return bool(log_likelihood_of(replace(model, **{name: covariance}), data).sum() > enough)
    except ValueError:
        return False


def free_components(free: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the covariances that are learned, the components whose variance is free."""
    return {name: free[name].diagonal().nonzero().flatten() for name in COVARIANCES if name in free}


def _learned_components(model: LinearGaussian) -> dict[str, Tensor]:
    """All components of the constant positive definite covariances that carry a gradient."""
    constant = {name: matrix for name in COVARIANCES if (matrix := getattr(model, name)).ndim == 2}
    return {
        name: torch.arange(len(matrix), device=matrix.device)
        for name, matrix in constant.items()
        if matrix.requires_grad and not torch.linalg.cholesky_ex(matrix.detach()).info
    }
