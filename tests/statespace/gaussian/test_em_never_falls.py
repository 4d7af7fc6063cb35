"""EM's log-likelihood never falls, whatever the model: singular, tiny and huge noises, missing entries.

A sample runs here, the whole with `EM_MODELS=1000 pytest tests/statespace/gaussian/test_em_never_falls.py`.
"""

import os

import torch

from helpers.statespace import FitError, LinearGaussian, fit, kalman_filter, simulate

MODELS = int(os.environ.get("EM_MODELS", "30"))
COEFFICIENTS = {
    "transition_covariance": ("transition", "input"),
    "observation_covariance": ("observation", "observation_intercept"),
    "initial_covariance": ("initial_mean",),
}
UNKNOWN = "the likelihood is not known in float64"
REFUSALS = ("innovation covariance", UNKNOWN, "second moments", "positive semi-definite")


class Case:
    """A random model, data of its own or of another model's, and what EM may learn of it."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.H, self.D, self.U, B = (self.whole(*bounds) for bounds in ((1, 4), (1, 3), (0, 2), (1, 4)))
        T = self.whole(2, 40)
        self.model, ranks = self.draw_model(singular=0.25)
        source = self.model if self.chance(0.5) else self.draw_model(singular=0.0)[0]
        inputs = self.normal(B, T, self.U) if self.U else None
        y = simulate(source, T, B, inputs=inputs, generator=self.generator).observations
        mask = torch.rand(y.shape, generator=self.generator) < (1.0 if self.chance(0.5) else 0.7)
        regular = [noise for noise in COEFFICIENTS if ranks[noise]]
        names = [name for noise in regular for name in (*COEFFICIENTS[noise], noise)]
        learn = [name for name in names if getattr(self.model, name) is not None and self.chance(0.6)]
        if not ranks["observation_covariance"]:  # few first states seen exactly: the likelihood has no bound
            learn = [name for name in learn if name != "initial_covariance"]
        self.arguments = {"y": y, "mask": mask, "inputs": inputs, "learn": learn}

    def draw_model(self, singular):
        """A model, and for each of its noises whether it has full rank."""
        sizes = {name: self.D if name.startswith("observation") else self.H for name in COEFFICIENTS}
        whole = {name: not self.chance(singular) for name in sizes}
        noises = {name: self.covariance(size, whole[name]) for name, size in sizes.items()}
        A = self.normal(self.H, self.H)
        radius = torch.linalg.eigvals(A).abs().max()
        model = LinearGaussian(
            A * self.uniform(0.2, 1.05) / radius,
            self.normal(self.D, self.H),
            initial_mean=self.normal(self.H),
            input=self.normal(self.H, self.U) if self.U else None,
            observation_intercept=self.normal(self.D) if self.chance(0.5) else None,
            **noises,
        )
        return model, whole

    def covariance(self, size, whole):
        """Variances from 1e-6 to 1e6; where not whole, of any lower rank, in half the cases with zeros."""
        factor = self.normal(size, size + 1 if whole else self.whole(0, size - 1))
        if not whole and self.chance(0.5):
            factor = factor * torch.tensor([[float(self.chance(0.5))] for _ in range(size)])
        return factor @ factor.mT * 10 ** self.uniform(-6, 6)

    def normal(self, *shape):
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def uniform(self, least, most):
        return least + (most - least) * torch.rand((), generator=self.generator).item()

    def whole(self, least, most):
        return int(torch.randint(least, most + 1, (), generator=self.generator))

    def chance(self, share):
        return self.uniform(0, 1) < share


def test_the_log_likelihood_never_falls_in_random_models():
    outcomes = {}
    for seed in range(MODELS):
        case = Case(seed)
        if not case.arguments["learn"]:
            continue
        outcomes[seed] = outcome(case)
    refused = [seed for seed, words in outcomes.items() if words]
    assert {seed: outcomes[seed] for seed in refused if not any(w in outcomes[seed] for w in REFUSALS)} == {}
    assert len(refused) <= 0.15 * MODELS


def outcome(case):
    """The error that a fit ends in; nothing if it went well, without a fall."""
    try:
        fitted = fit(
            case.model, **case.arguments, method="em", iterations=6, tolerance=-torch.inf, progress=False
        )
    except ValueError as error:
        unknown = isinstance(error, FitError) and likelihood_is_unknown(error.fitted, case.arguments)
        return UNKNOWN if unknown else str(error)
    gains = torch.tensor(fitted.log_likelihoods, dtype=torch.float64).diff()
    assert (gains >= 0).all() and not fitted.converged
    return ""


def likelihood_is_unknown(fitted, arguments):
    """Whether rounding decides: an S is singular but for it, or two filters differ in the likelihood."""
    if fitted is None:
        return False
    data = {name: arguments[name] for name in ("y", "mask", "inputs")}
    try:
        filtered = kalman_filter(fitted.model, **data, plain=True)
    except ValueError:  # one filter has a likelihood where another has none
        return True
    S = filtered.innovation_covariance
    deviation = S.diagonal(dim1=-2, dim2=-1).sqrt().unsqueeze(-1)
    singular = torch.linalg.eigvalsh(S / deviation / deviation.mT) < 1e-10
    doubt = (filtered.log_likelihood.sum() / fitted.log_likelihood - 1).abs()
    return bool(singular.any() or doubt > 1e-10)
