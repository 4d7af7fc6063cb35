"""From a key on a slider to its new picture: the book's explorer beside ipywidgets' `interact`.

Both draw the same picture of the same model, in one JupyterLab and one Chromium, in alternating rounds.

    python benchmarks/explorer_latency.py
"""

import statistics
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from jupyter_browser import ShownExplorer, open_page, run_notebook, running_lab

ROUNDS, MOVES_PER_ROUND = 3, 10
DRAG_MOVES, DRAG_INTERVALS = 40, (0.025, 0.033, 0.050, 0.066)
SLOWEST_PICTURE = 3.0
"""Seconds after which no picture of a drag is still to come."""

EXPLORER = """
from helpers.explorers import missingness

missingness.explorer().show()
"""

INTERACT = """
%matplotlib inline
from ipywidgets import FloatSlider, interact
from helpers.explorers.missingness import BY_LIMIT, Picture, model
from helpers.figures import PIXELS_PER_INCH

def plot(threshold):
    picture = Picture()
    picture.figure.set_dpi(PIXELS_PER_INCH)
    picture.draw(model(BY_LIMIT, threshold, 0.2))
    display(picture.figure)

interact(plot, threshold=FloatSlider(value=3.0, min=0.5, max=10.0, step=0.25));
"""

WAYS = {"explorer": "limit", "interact": "threshold"}
"""Each way, and the words with which its slider's label begins."""


def write_notebook(path: Path) -> None:
    """One cell for each way."""
    cells = [nbformat.v4.new_code_cell(source) for source in (EXPLORER, INTERACT)]
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": python}), path)


def latencies(shown: ShownExplorer) -> list[float]:
    """Milliseconds from each of ten keys, pressed one at a time, to a decoded new picture."""
    measured = []
    for move in range(MOVES_PER_ROUND):
        shown.settled_picture()
        shown.pictures()
        shown.press("ArrowRight" if move < MOVES_PER_ROUND // 2 else "ArrowLeft")
        measured.append(shown.next_picture() - shown.time_of_key())
    return measured


def drag(shown: ShownExplorer, interval: float) -> int:
    """How many pictures were decoded during and after a drag of forty moves."""
    shown.settled_picture()
    shown.pictures()
    turning_point = DRAG_MOVES // 2
    shown.press("ArrowRight", turning_point, seconds_apart=interval)
    shown.press("ArrowLeft", DRAG_MOVES - turning_point, seconds_apart=interval)
    shown.settled_picture(SLOWEST_PICTURE)
    return len(shown.pictures())


def measure() -> tuple[dict[str, list[float]], dict[str, dict[float, list[int]]]]:
    """Latencies and pictures per drag of each way, in alternating rounds."""
    milliseconds = {way: [] for way in WAYS}
    pictures = {way: {interval: [] for interval in DRAG_INTERVALS} for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        workplace = Path(folder)
        write_notebook(workplace / "benchmark.ipynb")
        with running_lab(workplace, workplace) as address, open_page() as page:
            run_notebook(page, address, "benchmark.ipynb")
            for _ in range(ROUNDS):
                for way, label in WAYS.items():
                    shown = ShownExplorer(page, label)
                    milliseconds[way] += latencies(shown)
                    for interval in DRAG_INTERVALS:
                        pictures[way][interval].append(drag(shown, interval))
    return milliseconds, pictures


def main() -> None:
    """Print one row for each way."""
    milliseconds, pictures = measure()
    intervals = "".join(f"{f'drag, {interval * 1000:.0f} ms':>14s}" for interval in DRAG_INTERVALS)
    print(f"{'':10s}{'key to picture, ms':>26s}{intervals}")
    for way in WAYS:
        lower, median, upper = statistics.quantiles(milliseconds[way], n=4)
        counts = "".join(
            f"{statistics.median(pictures[way][interval]):>14.0f}" for interval in DRAG_INTERVALS
        )
        print(f"{way:10s}{f'{median:.0f} (quartiles {lower:.0f}-{upper:.0f})':>26s}{counts}")
    ratio = statistics.median(milliseconds["interact"]) / statistics.median(milliseconds["explorer"])
    print(
        f"\n{ROUNDS * MOVES_PER_ROUND} single moves each; the explorer answers {ratio:.1f} times as fast. "
        f"Drags: pictures shown in {DRAG_MOVES} moves at that interval, median of {ROUNDS}."
    )


if __name__ == "__main__":
    main()
