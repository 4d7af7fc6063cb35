"""A progress bar that leaves one line behind, in a terminal and in a stored notebook alike."""

import sys

from tqdm import tqdm


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process; IPython is asked only if it has been loaded already."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class NotebookLine:
    """A text stream that shows its latest line in one output of the cell.

    tqdm's own notebook bar is a widget, blank once the notebook is stored, and its text bar writes to
    stderr. This one is plain text that is replaced in place, so the stored notebook keeps the last line.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        from IPython.display import display  # only here, so that models load without IPython

        self.shown = display({"text/plain": ""}, raw=True, display_id=True)

    def write(self, text: str) -> None:
        """Show `text` instead of what was shown before."""
        line = text.strip()
        if line:
            self.shown.update({"text/plain": line}, raw=True)

    def flush(self) -> None:
        """Do nothing: every line is shown at once."""


class ProgressBar:
    """What is done, of what is wanted, with the latest news; at the end, one line that sums up.

    Parameters
    ----------
    total, done : int
        How many units are wanted, and how many there are at the start.
    unit : str
        What is counted, for example "epoch".
    shown : bool
        Otherwise nothing is printed.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, shown: bool = True) -> None:
        self.shown = shown
        self.line = NotebookLine() if shown and in_notebook() else None
        self.bar = tqdm(
            total=total, initial=done, unit=unit, disable=not shown, leave=False, ncols=100, file=self.line
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def advance(self, news: str) -> None:
        """Count one more."""
        self.bar.set_postfix_str(news, refresh=False)
        self.bar.update()

    def finish(self, summary: str) -> None:
        """Leave one line in the bar's place."""
        self.bar.close()
        if self.shown:
            (self.line.write if self.line else print)(summary)
