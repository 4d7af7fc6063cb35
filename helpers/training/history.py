"""What a training run reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Step:
    """The loss of one batch, and the norm of the whole gradient before clipping."""

    loss: float
    gradient_norm: float

    def __str__(self) -> str:
        return f"loss {self.loss:.6g} and gradient norm {self.gradient_norm:.6g}"


@dataclass(frozen=True)
class Epoch:
    """One pass over the batches: its steps, and the validation loss after them."""

    steps: tuple[Step, ...]
    validation_loss: float | None

    @property
    def train_loss(self) -> float:
        """Mean of the steps' losses."""
        return sum(step.loss for step in self.steps) / len(self.steps)


@dataclass(frozen=True)
class History:
    """How a training run went, epoch by epoch; epochs count from 1.

    Attributes
    ----------
    train_losses : tuple of float
        Mean loss of each epoch's batches, each taken just before its own update.
    validation_losses : tuple of float
        Mean loss of the validation batches after each epoch; empty without validation.
    gradient_norms : tuple of float
        Largest norm of the whole gradient in each epoch, before clipping.
    best_epoch : int
        Epoch whose weights the model has now: of the lowest validation loss; without validation, the last.
    stopped_because : str
        Why the run ended.
    """

    train_losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    best_epoch: int
    stopped_because: str


def best_epoch(done: Sequence[Epoch]) -> int:
    """Epoch of the lowest validation loss, the earliest of equals; the last epoch without validation."""
    if not done or done[-1].validation_loss is None:
        return len(done)
    return 1 + min(range(len(done)), key=lambda index: done[index].validation_loss)


def reason_to_stop(done: Sequence[Epoch], epochs: int, patience: int | None) -> str | None:
    """Say why no further epoch should follow, if none should."""
    if len(done) - best_epoch(done) >= (inf if patience is None else patience):
        return f"the validation loss has not fallen for {patience} epochs"
    return f"all {epochs} epochs are done" if len(done) >= epochs else None


def summarise(done: Sequence[Epoch], stopped_because: str) -> History:
    """Gather the epochs into the run's history."""
    return History(
        train_losses=tuple(epoch.train_loss for epoch in done),
        validation_losses=tuple(epoch.validation_loss for epoch in done if epoch.validation_loss is not None),
        gradient_norms=tuple(max(step.gradient_norm for step in epoch.steps) for epoch in done),
        best_epoch=best_epoch(done),
        stopped_because=stopped_because,
    )
