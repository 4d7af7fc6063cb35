"""Losses that cannot be trained on, and what is known about where they went wrong."""

from collections.abc import Iterable
from math import isfinite

from torch import Tensor, nn

from helpers.training.history import Step


def check_scalar(loss: Tensor, place: str) -> None:
    """Check that a loss is a scalar tensor; `place` is such as "epoch 1, batch 1".

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(loss, Tensor):
        raise ValueError(f"loss must return a scalar tensor: got a {type(loss).__name__} in {place}")
    if loss.ndim != 0:
        raise ValueError(f"loss must return a scalar tensor: got shape {tuple(loss.shape)} in {place}")


def take_gradient(loss: Tensor, parameters: Iterable[Tensor], place: str) -> None:
    """Take the gradient of `loss`, and check that it reaches one of the parameters.

    Raises
    ------
    ValueError
        If it does not.
    """
    if loss.requires_grad:
        loss.backward()
    if all(parameter.grad is None for parameter in parameters):
        raise ValueError(
            f"loss must depend on the parameters that the optimiser trains: "
            f"no gradient reaches them in {place}"
        )


def check_step(model: nn.Module, step: Step, last_good: Step | None, place: str) -> None:
    """Check that a step's loss and gradient are finite.

    Raises
    ------
    FloatingPointError
        Saying where, what the last good step was like, and which parameters and gradients are not finite.
    """
    if isfinite(step.loss) and isfinite(step.gradient_norm):
        return
    before = f"the step before had {last_good}" if last_good else "no step was taken before"
    parameters = dict(model.named_parameters())
    gradients = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    raise FloatingPointError(
        f"training broke down in {place} with {step}; {before}. "
        f"Parameters not finite: {_not_finite(parameters)}. Gradients not finite: {_not_finite(gradients)}"
    )


def check_validation_loss(loss: float, epoch: int) -> None:
    """Check that a validation loss is finite.

    Raises
    ------
    FloatingPointError
        Naming the epoch after which it is not.
    """
    if not isfinite(loss):
        raise FloatingPointError(f"the validation loss is {loss:.6g} after epoch {epoch}")


def _not_finite(tensors: dict[str, Tensor]) -> str:
    return ", ".join(name for name, tensor in tensors.items() if not tensor.isfinite().all()) or "none"
