"""From a key on a slider to its new picture on the screen: the book's explorer beside ipywidgets' ``interact``.

Both draw the same picture of the same model, in one JupyterLab and one Chromium, in alternating rounds.

    python benchmarks/explorer_latency.py
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from jupyter_browser import ShownExplorer, open_page, run_notebook, running_lab  # noqa: E402

ROUNDS, MOVES_PER_ROUND = 3, 10
DRAG_MOVES, DRAG_INTERVALS = 40, (0.025, 0.033, 0.050)

EXPLORER = """
from helpers.explorers import missingness

missingness.explorer().show()
"""

INTERACT = """
import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, interact
from helpers.explorers.missingness import BY_LIMIT, Picture, model

def plot(threshold):
    picture = Picture()
    picture.draw(model(BY_LIMIT, threshold, 0.2))
    figure = plt.figure(figsize=picture.figure.get_size_inches())
    figure_manager = plt.get_current_fig_manager()
    picture.figure.set_dpi(150)
    picture.figure.set_canvas(figure_manager.canvas)
    figure_manager.canvas.figure = picture.figure
    plt.show()

interact(plot, threshold=FloatSlider(value=3.0, min=0.5, max=10.0, step=0.25));
"""
