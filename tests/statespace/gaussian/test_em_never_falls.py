"""EM's log-likelihood never falls, whatever the model: singular, tiny and huge noises, missing entries.

A sample runs here; the whole with `EM_MODELS=1000 pytest tests/statespace/gaussian/test_em_never_falls.py`.
"""

import os

import pytest
import torch

from helpers.statespace import LinearGaussian, fit, simulate

MODELS = int(os.environ.get("EM_MODELS", "40"))
FIELDS = {
    "transition_covariance": ("transition", "input"),
    "observation_covariance": ("observation", "observation_intercept"),
    "initial_covariance": ("initial_mean",),
}


class Draw:
    """A random model and data, and what EM may learn of it."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.H, self.D, self.B = self.whole(1, 4), self.whole(1, 3), self.whole(1, 4)
        self.T = self.whole(2, 40)
        U = self.whole(0, 2)
        self.learn, self.fixed = [], {}
        noises = {name: self.covariance(name) for name in FIELDS}
        self.model = self.make(noises, U)
        truth = self.make(
            {name: self.covariance(None, self.D if name[0] == "o" else self.H) for name in FIELDS}, U
        )
        source = truth if self.chance(0.5) else self.model
        self.inputs = self.normal(self.B, self.T, U) if U else None
        self.y = simulate(source, self.T, self.B, inputs=self.inputs, generator=self.generator).observations
        self.mask = torch.rand(self.y.shape, generator=self.generator) < (1.0 if self.chance(0.5) else 0.7)
        for name, coefficients in FIELDS.items():
            if name not in self.singular:
                self.learn += [
                    field
                    for field in (*coefficients, name)
                    if getattr(self.model, field) is not None and self.chance(0.6)
                ]

    def whole(self, least, most):
        return int(torch.randint(least, most + 1, (), generator=self.generator))

    def chance(self, share):
        return bool(torch.rand((), generator=self.generator) < share)

    def normal(self, *shape):
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def covariance(self, name, size=None):
        """Wishart, in a unit from 1e-6 to 1e6 (variances 1e-12 to 1e12); singular in a quarter of the cases."""
        self.singular = getattr(self, "singular", set())
        size = size or (self.D if name[0] == "o" else self.H)
        rank = size
        if name and self.chance(0.25):
            rank = self.whole(0, size - 1)
            self.singular.add(name)
        factor = self.normal(size, max(rank, 1) + (rank == size)) * (rank > 0)
        if rank < size and self.chance(0.5):
            factor = factor * (torch.rand(size, 1, generator=self.generator, dtype=torch.float64) < 0.5)
        return (
            factor
            @ factor.mT
            * 10.0 ** float(12 * torch.rand((), generator=self.generator) - 6)
            * 10.0 ** float(12 * torch.rand((), generator=self.generator) - 6)
        )

    def make(self, noises, U):
        A = self.normal(self.H, self.H)
        A = (
            A
            / torch.linalg.eigvals(A).abs().max()
            * float(0.2 + 0.85 * torch.rand((), generator=self.generator))
        )
        return LinearGaussian(
            A,
            self.normal(self.D, self.H),
            noises["transition_covariance"],
            noises["observation_covariance"],
            self.normal(self.H),
            noises["initial_covariance"],
            input=self.normal(self.H, U) if U else None,
            observation_intercept=self.normal(self.D) if self.chance(0.5) else None,
        )
