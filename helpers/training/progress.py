"""A progress bar that leaves one line behind, in a terminal and in a stored notebook alike."""

from IPython import get_ipython
from IPython.display import Pretty, display
from tqdm import tqdm

from helpers.training.history import Epoch, History


class NotebookLine:
    """A text stream that shows its latest line in one output of the cell.

    tqdm's own notebook bar is a widget, blank once the notebook is stored, and its text bar writes to
    stderr. This one is plain text that is replaced in place, so the stored notebook keeps the last line.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self.shown = display(Pretty(""), display_id=True)

    def write(self, text: str) -> None:
        """Show ``text`` instead of what was shown before."""
        line = text.strip()
        if line:
            self.shown.update(Pretty(line))

    def flush(self) -> None:
        """Do nothing: every line is shown at once."""


class ProgressBar:
    """Epochs done, of those wanted, with the latest losses; at the end, one line that sums up."""

    def __init__(self, epochs: int, done: int, shown: bool) -> None:
        self.shown = shown
        self.line = NotebookLine() if shown and hasattr(get_ipython(), "kernel") else None
        self.bar = tqdm(
            total=epochs,
            initial=done,
            unit="epoch",
            disable=not shown,
            leave=False,
            ncols=100,
            file=self.line,
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def advance(self, epoch: Epoch) -> None:
        """Count one epoch."""
        self.bar.set_postfix_str(_losses(epoch.train_loss, epoch.validation_loss), refresh=False)
        self.bar.update()

    def finish(self, history: History) -> None:
        """Leave one line in the bar's place."""
        self.bar.close()
        if self.shown:
            (self.line.write if self.line else print)(_summary(history))


def _losses(train: float, validation: float | None) -> str:
    return f"training loss {train:.4g}" + (
        "" if validation is None else f", validation loss {validation:.4g}"
    )


def _summary(history: History) -> str:
    best = history.best_epoch - 1
    validation = history.validation_losses[best] if history.validation_losses else None
    return (
        f"{len(history.train_losses)} epochs, stopped because {history.stopped_because}. "
        f"Kept epoch {history.best_epoch}: {_losses(history.train_losses[best], validation)}"
    )
