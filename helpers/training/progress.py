"""The losses of a run in words, while it goes on and when it is over."""

from helpers.training.history import Epoch, History


def news(epoch: Epoch) -> str:
    """The losses of one epoch."""
    return _losses(epoch.train_loss, epoch.validation_loss)


def summary(history: History) -> str:
    """How long the run was, why it stopped, and which weights it kept."""
    best = history.best_epoch - 1
    validation = history.validation_losses[best] if history.validation_losses else None
    return (
        f"{len(history.train_losses)} epochs, stopped because {history.stopped_because}. "
        f"Kept epoch {history.best_epoch}: {_losses(history.train_losses[best], validation)}"
    )


def _losses(train: float, validation: float | None) -> str:
    return f"training loss {train:.4g}" + (
        "" if validation is None else f", validation loss {validation:.4g}"
    )
