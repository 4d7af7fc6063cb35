"""How sure a mean over a few seeds is."""

from collections.abc import Iterable

import numpy as np
from scipy.stats import t


def mean_with_interval(values: Iterable[float]) -> dict:
    """Mean of independent values, its 95 % interval, and the values.

    ::

        x̄ ± t_{0.975, n-1} s / √n

    Parameters
    ----------
    values : iterable of float
        One for each seed, two or more; for a paired comparison their differences.

    Returns
    -------
    dict
        `mean`, `interval` and `seeds`.

    Source: Student (1908), The probable error of a mean, Biometrika 6:1-25.
    """
    seeds = [float(value) for value in values]
    if len(seeds) < 2:
        raise ValueError(f"values must be two or more: got {len(seeds)}")
    mean, n = float(np.mean(seeds)), len(seeds)
    half = float(t.ppf(0.975, n - 1) * np.std(seeds, ddof=1) / n**0.5)
    return {"mean": mean, "interval": [mean - half, mean + half], "seeds": seeds}
