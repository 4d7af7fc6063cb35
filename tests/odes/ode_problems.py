"""Equations with known answers, and the answers of SciPy, that the tests of helpers.odes share."""

import math

import torch
from scipy.integrate import solve_ivp

from helpers.odes import TABLEAUX, solve

FIXED = tuple(name for name, tableau in TABLEAUX.items() if not tableau.adaptive)
ADAPTIVE = tuple(name for name, tableau in TABLEAUX.items() if tableau.adaptive)
ORDER = {name: tableau.order for name, tableau in TABLEAUX.items()}
LOW = tuple(name for name in ADAPTIVE if ORDER[name] < 5)
HIGH = tuple(name for name in ADAPTIVE if ORDER[name] >= 5)


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def times(start, end, count):
    return torch.linspace(start, end, count, dtype=torch.float64)


class ForcedPendulum:
    """x'' = -k sin x + g(t), pushed by such a g that x = sin(t + φ): neither linear nor autonomous.

    One sample for each phase φ.
    """

    def __init__(self, stiffness=10.0, samples=8):
        self.stiffness = stiffness
        self.phase = 2 * math.pi * torch.arange(samples, dtype=torch.float64) / samples

    def __call__(self, t, y):
        x, v = y.unbind(-1)
        target = torch.sin(t + self.phase)
        push = self.stiffness * torch.sin(target) - target
        return torch.stack((v, push - self.stiffness * torch.sin(x)), dim=-1)

    def solution(self, t):
        """The state at the times t (T,) or (B, T), shape (B, T, 2)."""
        angle = t + self.phase.unsqueeze(-1)
        return torch.stack((angle.sin(), angle.cos()), dim=-1)

    def state(self, t):
        """The state of all samples at one time, shape (B, 2)."""
        return self.solution(double(t)).squeeze(1)


def lotka_volterra(t, y):
    """Prey x and predator z: x' = x - x z, z' = x z - z."""
    prey, predator = y.unbind(-1)
    return torch.stack((prey - prey * predator, prey * predator - predator), dim=-1)


def lotka_volterra_invariant(y):
    """x + z - log x - log z, the same all along a trajectory."""
    return (y - y.log()).sum(-1)


def driven_gene(t, y):
    """x' = (1 + sin 2t) / (1 + x⁴) - x/2: made by a clock, held back by its own product."""
    return (1 + torch.sin(2 * t)).unsqueeze(-1) / (1 + y**4) - y / 2


def relaxing(t, y):
    """y' = A y with the eigenvalues -1 and -20: two time scales."""
    matrix = double([-10.5, 9.5], [9.5, -10.5])
    return y @ matrix.mT


def reference(field, y0, t, rtol=1e-12, atol=1e-13):
    """SciPy's DOP853 on all samples at once, as one large system: shape (B, T, ...)."""

    def flat(now, y):
        state = torch.from_numpy(y).reshape(y0.shape)
        return field(torch.full((len(y0),), now, dtype=torch.float64), state).reshape(-1).numpy()

    span = (t[0].item(), t[-1].item())
    answer = solve_ivp(flat, span, y0.reshape(-1).numpy(), "DOP853", t.numpy(), rtol=rtol, atol=atol)
    return torch.from_numpy(answer.y.T.copy()).reshape(len(t), *y0.shape).movedim(0, 1)


def forced_steps(field, y0, start, end, count, method):
    """So many equal steps of an adaptive method: one call for each, at a tolerance that never binds."""
    step = (end - start) / count
    y = y0
    for k in range(count):
        t = double(start + k * step, start + (k + 1) * step)
        solution = solve(field, y, t, method=method, rtol=1e12, atol=1e12, first_step=step)
        assert solution.stats.accepted.eq(1).all() and solution.stats.rejected.eq(0).all()
        y = solution.y[:, -1]
    return y


def root_mean_square(error):
    return error.square().mean().sqrt().item()


def slope(x, y):
    """The slope of the straight line of least squares through (log x, log y)."""
    x, y = torch.tensor(x, dtype=torch.float64).log(), torch.tensor(y, dtype=torch.float64).log()
    x = x - x.mean()
    return ((x * y).sum() / x.square().sum()).item()
