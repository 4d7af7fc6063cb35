"""What a training run reports: its updates, its epochs, its history, and all that in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Update:
    """One update of the parameters.

    Attributes
    ----------
    loss : float
        Of its batch, before the update.
    gradient_norm : float
        Norm of the whole gradient, before clipping.
    """

    loss: float
    gradient_norm: float

    def __str__(self) -> str:
        return f"loss {self.loss:.6g} and gradient norm {self.gradient_norm:.6g}"


@dataclass(frozen=True)
class Epoch:
    """One pass over the batches.

    Attributes
    ----------
    updates : tuple of Update
        One for each batch.
    validation_loss : float or None
        After them; None without validation.
    """

    updates: tuple[Update, ...]
    validation_loss: float | None

    @property
    def train_loss(self) -> float:
        """Mean of the updates' losses."""
        return sum(update.loss for update in self.updates) / len(self.updates)

    def __str__(self) -> str:
        return _describe_losses(self.train_loss, self.validation_loss)


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


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """Epoch of the lowest validation loss, the earliest of equals; the last epoch without validation."""
    if not epochs or epochs[-1].validation_loss is None:
        return len(epochs)
    return 1 + min(range(len(epochs)), key=lambda index: epochs[index].validation_loss)


def reason_to_stop(epochs: Sequence[Epoch], most_epochs: int, patience: int | None) -> str | None:
    """Why no further epoch should follow, if none should."""
    if len(epochs) - best_epoch(epochs) >= (inf if patience is None else patience):
        return f"the validation loss has not fallen for {patience} epochs"
    return f"all {most_epochs} epochs are done" if len(epochs) >= most_epochs else None


def summarise(epochs: Sequence[Epoch], stopped_because: str) -> History:
    """Gather the epochs into the run's history."""
    validation_losses = (epoch.validation_loss for epoch in epochs)
    return History(
        train_losses=tuple(epoch.train_loss for epoch in epochs),
        validation_losses=tuple(loss for loss in validation_losses if loss is not None),
        gradient_norms=tuple(max(update.gradient_norm for update in epoch.updates) for epoch in epochs),
        best_epoch=best_epoch(epochs),
        stopped_because=stopped_because,
    )


def describe(history: History) -> str:
    """How long the run was, why it stopped, and which weights it kept."""
    best = history.best_epoch - 1
    validation = history.validation_losses[best] if history.validation_losses else None
    return (
        f"{len(history.train_losses)} epochs, stopped because {history.stopped_because}. "
        f"Kept epoch {history.best_epoch}: {_describe_losses(history.train_losses[best], validation)}"
    )


def _describe_losses(train: float, validation: float | None) -> str:
    return f"training loss {train:.4g}" + (
        "" if validation is None else f", validation loss {validation:.4g}"
    )
