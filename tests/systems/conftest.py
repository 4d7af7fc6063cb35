"""What these tests share: SciPy's answer to where a system goes."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp


@pytest.fixture
def scipy_path():
    """A function of a system, one state (D,) and times (T,): the states (T, D) by DOP853, to 1e-12."""

    def path(system, y0, times):
        solution = solve_ivp(
            lambda t, y: system(t, torch.from_numpy(y)).numpy(),
            (float(times[0]), float(times[-1])),
            np.asarray(y0, dtype=float),
            method="DOP853",
            t_eval=np.asarray(times),
            rtol=1e-12,
            atol=1e-14,
        )
        return torch.from_numpy(solution.y.T.copy())

    return path
