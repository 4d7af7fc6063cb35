"""Models and independent answers that the tests of helpers.statespace share."""

import math

import numpy as np
import torch
from statsmodels.tsa.statespace.mlemodel import MLEModel

from helpers.statespace import LinearGaussian

SHAPES = {"constant": lambda series, steps: (), "step": lambda s, t: (t,), "series": lambda s, t: (s, t)}


def random_covariance(size, generator, shape=()):
    factor = torch.randn(*shape, size, 2 * size, generator=generator, dtype=torch.float64)
    return factor @ factor.mT / (2 * size)


def random_model(
    per="constant",
    series=2,
    steps=6,
    states=3,
    entries=2,
    inputs=0,
    dtype=torch.float64,
    device="cpu",
    **more,
):
    """A model whose matrices are constant, per step, or per series and step; always the same one."""
    generator = torch.Generator().manual_seed(1)
    shape = SHAPES[per](series, steps)

    def matrix(*size):
        return torch.randn(*shape, *size, generator=generator, dtype=torch.float64) / math.sqrt(states)

    parts = [
        0.7 * matrix(states, states),
        matrix(entries, states),
        random_covariance(states, generator, shape),
        random_covariance(entries, generator, shape),
        torch.randn(states, generator=generator, dtype=torch.float64),
        random_covariance(states, generator, shape[:-1]),
        matrix(states, inputs) if inputs else None,
    ]
    return LinearGaussian(*(None if part is None else part.to(device, dtype) for part in parts), **more)


def moving_model(dtype):
    """Position, speed, acceleration and jerk; the position is seen almost without noise."""
    gap = 0.1
    A = torch.linalg.matrix_exp(gap * torch.diag(torch.ones(3, dtype=torch.float64), 1))
    Q = 1e-4 * torch.diag(torch.tensor([gap**7, gap**5, gap**3, gap], dtype=torch.float64))
    C, R = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64), torch.tensor([[1e-8]], dtype=torch.float64)
    P = 100 * torch.eye(4, dtype=torch.float64)
    return LinearGaussian(*(part.to(dtype) for part in (A, C, Q, R, torch.zeros(4), P)))


def at(matrix, series, step):
    """The matrix of one series at one step."""
    if matrix.ndim == 4:
        matrix = matrix[series if len(matrix) > 1 else 0]
    return matrix if matrix.ndim == 2 else matrix[step if len(matrix) > 1 else 0]


def dense_moments(model, series, steps, inputs=None):
    """Joint mean and covariance of all states and of all observations of one series, written out.

    Each state is a linear map of h_0, w_1, … w_{T-1}, whose covariance is block diagonal.
    """
    H = model.state_size
    P = model.initial_covariance if model.initial_covariance.ndim == 2 else model.initial_covariance[series]
    noise = torch.block_diag(P, *(at(model.transition_covariance, series, t) for t in range(1, steps)))
    mean, maps = [model.initial_mean], [torch.eye(H, steps * H, dtype=torch.float64)]
    for t in range(1, steps):
        A = at(model.transition, series, t)
        drift = 0.0 if inputs is None else at(model.input, series, t) @ inputs[series, t]
        mean.append(A @ mean[-1] + drift)
        own = torch.zeros(H, steps * H, dtype=torch.float64)
        own[:, t * H : (t + 1) * H] = torch.eye(H)
        maps.append(A @ maps[-1] + own)
    mean, maps = torch.cat(mean), torch.cat(maps)
    C = torch.block_diag(*(at(model.observation, series, t) for t in range(steps)))
    R = torch.block_diag(*(at(model.observation_covariance, series, t) for t in range(steps)))
    covariance = maps @ noise @ maps.T
    crossed = {"hh": covariance, "hy": covariance @ C.T}
    return mean, crossed, C @ mean, C @ covariance @ C.T + R


def statsmodels_results(model, y, mask, initialization=None):
    """What statsmodels' smoother says of one series (T, D); its transition leads out of t, ours into t."""
    steps = len(y)
    endog = torch.where(mask, y, torch.nan).numpy()
    their = MLEModel(endog, k_states=model.state_size)
    names = {
        "transition": model.transition,
        "state_cov": model.transition_covariance,
        "design": model.observation,
        "obs_cov": model.observation_covariance,
    }
    for name, matrix in names.items():
        sequence = np.stack([at(matrix, 0, t).numpy() for t in range(steps)], -1)
        if name in ("transition", "state_cov"):
            sequence = np.roll(sequence, -1, -1)
        their.ssm[name] = sequence if matrix.ndim > 2 else sequence[..., 0]
    their.ssm["selection"] = np.eye(model.state_size)
    if initialization is None:
        their.ssm.initialize_known(model.initial_mean.numpy(), model.initial_covariance.numpy())
    else:
        their.ssm.initialize(initialization)
    their.ssm.tolerance = 0  # no early steady state
    return their.ssm.smooth()
