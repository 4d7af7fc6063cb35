"""One step of the Kalman filter for a caller: arguments are checked, then the equations of `step.py` run."""

from functools import wraps

import torch
from torch import Tensor

from helpers.arguments import (
    check_broadcastable,
    check_entries,
    check_finite,
    check_finite_number,
    check_like,
)
from helpers.statespace.gaussian import step
from helpers.statespace.gaussian.digits import LOST, has_few_digits, has_lost_variance
from helpers.statespace.matrices import check_covariance, check_precision, check_shape


@wraps(step.predict)
def predict(
    mean: Tensor, covariance: Tensor, A: Tensor, Q: Tensor, input_effect: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Check, and predict."""
    H = _check_belief(mean, covariance)
    _check_matrix("A", A, {"H": H, "H ": H}, mean)
    _check_matrix("Q", Q, {"H": H, "H ": H}, mean)
    check_covariance("Q", Q)
    if isinstance(input_effect, Tensor):
        _check_matrix("input_effect", input_effect, {"H": H}, mean)
    else:
        check_finite_number("input_effect", input_effect)
    _check_leading(mean=mean[..., None], covariance=covariance, A=A, Q=Q)
    mean, covariance = step.predict(mean, covariance, A, Q, input_effect)
    _check_held("A", mean, covariance)
    return mean, covariance


@wraps(step.update)
def update(
    mean: Tensor, covariance: Tensor, y: Tensor, C: Tensor, R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Check, update, and check S."""
    H = _check_belief(mean, covariance)
    _check_matrix("C", C, {"D": None, "H": H}, mean)
    D = C.shape[-2]
    _check_matrix("y", y, {"D": D}, mean)
    _check_matrix("R", R, {"D": D, "D ": D}, mean)
    check_covariance("R", R)
    _check_leading(mean=mean[..., None], covariance=covariance, y=y[..., None], C=C, R=R)
    updated = step.update(mean, covariance, y, C, R)
    step.check_innovation(updated[3])
    _check_held("C", *updated[:2])
    if has_few_digits(C, covariance, updated[3]).any():
        raise ValueError(LOST)
    if has_lost_variance(C, R, covariance, updated[1], updated[3]).any():
        raise ValueError(
            f"covariance must not be so far above R that {C.dtype} keeps less than a quarter of the digits "
            "of what y leaves of it: got variances up to "
            f"{covariance.abs().max().item():.3g} beside {R.abs().max().item():.3g}"
        )
    return updated


def _check_belief(mean: Tensor, covariance: Tensor) -> int:
    """Refuse what is no Gaussian; the size of the state."""
    check_precision("mean", mean)
    check_shape("mean", mean, {"H": None}, "as a state has")
    check_finite("mean", mean)
    H = mean.shape[-1]
    _check_matrix("covariance", covariance, {"H": H, "H ": H}, mean)
    check_covariance("covariance", covariance)
    return H


def _check_matrix(name: str, tensor: Tensor, expected: dict[str, int | None], mean: Tensor) -> None:
    check_like(name, tensor, "mean", mean)
    check_shape(name, tensor, expected, "to fit the others")
    check_finite(name, tensor)


def _check_leading(**matrices: Tensor) -> None:
    """Refuse stacks that do not broadcast together."""
    (first, one), *others = matrices.items()
    shape = one.shape[:-2]
    for name, matrix in others:
        check_broadcastable(name, matrix.shape[:-2], first, shape)
        shape = torch.broadcast_shapes(shape, matrix.shape[:-2])


def _check_held(matrix: str, mean: Tensor, covariance: Tensor) -> None:
    """Refuse a result beyond the largest number of its dtype."""
    for name, tensor in {"mean": mean, "covariance": covariance}.items():
        what = f"the {name} that {matrix} makes of mean and covariance"
        check_entries(what, tensor, tensor.isfinite(), f"fit into {tensor.dtype}")
