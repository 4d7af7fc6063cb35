"""One training run under way: an epoch, an update, the weights worth keeping, and losses that break it."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from helpers.arguments import kind
from helpers.training.history import Epoch, Update, best_epoch

Batches = Iterable[Any] | Callable[[torch.Generator], Iterable[Any]]


@dataclass
class Run:
    """A model, what trains it, and the epochs so far."""

    model: nn.Module
    loss: Callable[[nn.Module, Any], Tensor]
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    clip: float | None = None
    epochs: list[Epoch] = field(default_factory=list)
    best_weights: dict[str, Any] | None = None

    def train_epoch(self, batches: Batches, validation: Batches | None) -> Epoch:
        """Pass over the batches once; note the epoch, and copy the weights if they are the best so far."""
        epoch = Epoch(self._train(batches), None if validation is None else self._validate(validation))
        self.epochs.append(epoch)
        if validation is not None and best_epoch(self.epochs) == len(self.epochs):
            self.best_weights = deepcopy(self.model.state_dict())
        return epoch

    def restore_best(self) -> None:
        """Give the model its best weights back, if there was a validation to judge by."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def _train(self, batches: Batches) -> tuple[Update, ...]:
        """Update the parameters once per batch, along the gradient, clipped."""
        self.model.train()
        updates, before = [], self.epochs[-1].updates[-1] if self.epochs else None
        for place, batch in self._visit("batches", batches):
            update = self._compute_gradient(batch, place)
            _check_update(self.model, update, before, place)
            if self.clip is not None:
                clip_grads_with_norm_(self._parameters, self.clip, torch.tensor(update.gradient_norm))
            self.optimiser.step()
            updates.append(update)
            before = update
        return tuple(updates)

    def _compute_gradient(self, batch: Any, place: str) -> Update:
        """Leave the gradient of one batch's loss on the parameters."""
        self.optimiser.zero_grad()
        loss = self.loss(self.model, batch)
        _check_scalar(loss, place)
        if loss.requires_grad:
            loss.backward()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if not gradients:
            raise ValueError(
                f"loss must depend on the parameters that the optimiser trains: "
                f"no gradient reaches them in {place}"
            )
        norm = get_total_norm(gradients)
        return Update(*torch.stack([loss.detach(), norm]).tolist())  # the update's one poll of the device

    @property
    def _parameters(self) -> list[Tensor]:
        """What the optimiser trains."""
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def _validate(self, validation: Batches) -> float:
        """Mean loss of the validation batches, in evaluation mode."""
        self.model.eval()
        losses = []
        for place, batch in self._visit("validation", validation):
            losses.append(self.loss(self.model, batch))
            _check_scalar(losses[-1], f"validation, {place}")
        mean = torch.stack(losses).mean().item()
        if not isfinite(mean):
            epoch = len(self.epochs) + 1
            raise FloatingPointError(f"the validation loss is {mean:.6g} after epoch {epoch}")
        return mean

    def _visit(self, name: str, batches: Batches) -> Iterator[tuple[str, Any]]:
        """Yield each batch with its place, for messages."""
        epoch, number = len(self.epochs) + 1, 0
        for number, batch in enumerate(batches(self.generator) if callable(batches) else batches, start=1):
            yield f"epoch {epoch}, batch {number}", batch
        if number == 0:
            raise ValueError(
                f"{name} held no batch in epoch {epoch}: give a list, a DataLoader, or a function "
                f"of a generator (an iterator is used up after one pass)"
            )


def _check_scalar(loss: Tensor, place: str) -> None:
    """Refuse a loss that is no scalar tensor; the place is such as `epoch 1, batch 1`."""
    if not isinstance(loss, Tensor):
        raise ValueError(f"loss must return a scalar tensor: got a {type(loss).__name__} in {place}")
    if loss.ndim != 0:
        raise ValueError(f"loss must return a scalar tensor: got shape {tuple(loss.shape)} in {place}")
    if not loss.is_floating_point():
        raise ValueError(f"loss must return a floating-point number: got {kind(loss)} in {place}")


def _check_update(model: nn.Module, update: Update, before: Update | None, place: str) -> None:
    """Refuse a loss or gradient that is not finite, with what is known about where it went wrong."""
    if isfinite(update.loss) and isfinite(update.gradient_norm):
        return
    step_before = f"the step before had {before}" if before else "no step was taken before"
    parameters = dict(model.named_parameters())
    gradients = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    raise FloatingPointError(
        f"training broke down in {place} with {update}; {step_before}. Parameters not finite: "
        f"{_list_not_finite(parameters)}. Gradients not finite: {_list_not_finite(gradients)}"
    )


def _list_not_finite(tensors: dict[str, Tensor]) -> str:
    return ", ".join(name for name, tensor in tensors.items() if not tensor.isfinite().all()) or "none"
