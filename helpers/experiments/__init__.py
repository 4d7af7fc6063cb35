"""Experiments that take longer than a chapter may, run from the command line; their results are committed.

`python -m helpers.experiments.NAME` runs one, and writes `results/NAME.json` with its settings, seeds,
versions, and where and when it ran; a chapter reads that file by `load_results`.
"""

from helpers.experiments.results import load_results, write_results

__all__ = ["load_results", "write_results"]
