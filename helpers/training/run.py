"""One training run under way: a step, an epoch, and the weights worth keeping."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from helpers.training.breakdown import check_scalar, check_step, check_validation_loss, take_gradient
from helpers.training.history import Epoch, Step, best_epoch

Batches = Iterable[Any] | Callable[[torch.Generator], Iterable[Any]]


@dataclass
class Run:
    """A model, what trains it, and the epochs done so far."""

    model: nn.Module
    loss: Callable[[nn.Module, Any], Tensor]
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    clip: float | None = None
    done: list[Epoch] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def epoch(self, batches: Batches, validation: Batches | None) -> Epoch:
        """Pass over the batches once; note the epoch, and copy the weights if they are the best so far."""
        epoch = Epoch(self._train(batches), None if validation is None else self._validate(validation))
        self.done.append(epoch)
        if validation is not None and best_epoch(self.done) == len(self.done):
            self.best = deepcopy(self.model.state_dict())
        return epoch

    def restore_best(self) -> None:
        """Give the model its best weights back, if there was a validation to judge by."""
        if self.best is not None:
            self.model.load_state_dict(self.best)

    def _train(self, batches: Batches) -> tuple[Step, ...]:
        """Take one step per batch."""
        self.model.train()
        steps, last_good = [], self.done[-1].steps[-1] if self.done else None
        for place, batch in self._visit("batches", batches):
            step = self._gradient(batch, place)
            check_step(self.model, step, last_good, place)
            self._update(step)
            steps.append(step)
            last_good = step
        return tuple(steps)

    def _gradient(self, batch: Any, place: str) -> Step:
        """Leave the gradient of one batch's loss on the parameters."""
        self.optimiser.zero_grad()
        loss = self.loss(self.model, batch)
        check_scalar(loss, place)
        take_gradient(loss, self._parameters, place)
        norm = get_total_norm(
            [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        )
        return Step(*torch.stack([loss.detach(), norm]).tolist())  # the step's one poll of the device

    def _update(self, step: Step) -> None:
        """Move the parameters along their gradient, clipped."""
        if self.clip is not None:
            clip_grads_with_norm_(self._parameters, self.clip, torch.tensor(step.gradient_norm))
        self.optimiser.step()

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
            check_scalar(losses[-1], f"validation, {place}")
        mean = torch.stack(losses).mean().item()
        check_validation_loss(mean, len(self.done) + 1)
        return mean

    def _visit(self, name: str, batches: Batches) -> Iterator[tuple[str, Any]]:
        """Yield each batch with its place, for messages."""
        epoch, number = len(self.done) + 1, 0
        for number, batch in enumerate(batches(self.generator) if callable(batches) else batches, start=1):
            yield f"epoch {epoch}, batch {number}", batch
        if number == 0:
            raise ValueError(
                f"{name} held no batch in epoch {epoch}: give a list, a DataLoader, or a function "
                f"of a generator (an iterator is used up after one pass)"
            )
