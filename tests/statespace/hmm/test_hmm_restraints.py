"""What Baum-Welch respects beside the data: a variance floor, priors, structure, fixed entries, its start."""

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM, GaussianHMM

from helpers.series import IrregularBatch
from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    HMMPrior,
    PoissonEmission,
    baum_welch,
    hmm_log_likelihood,
    simulate_hmm,
)
from helpers.statespace.hmm.emissions import Belief

QUIET = {"progress": False}
ENDLESS = QUIET | {"tolerance": -torch.inf}
STAY = [[0.8, 0.2], [0.3, 0.7]]


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def model(emission, transition=STAY):
    return HMM(double([0.4, 0.6]), double(transition), emission)


def gaussian(means, variances, **structure):
    mean = double(means)
    covariance = double(variances)[:, None, None] * torch.eye(mean.shape[1], dtype=torch.float64)
    return GaussianEmission(mean, covariance, **structure)


PLANE = GaussianEmission(
    double([[0.0, 1.0], [2.0, -1.0]]), double([[[1.0, 0.5], [0.5, 2.0]], [[1.0, 0.0], [0.0, 0.5]]])
)
COUNTS = PoissonEmission(double([[1.0, 5.0], [4.0, 2.0]]))
SYMBOLS = CategoricalEmission(double([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]))
EMISSIONS = pytest.mark.parametrize(
    "emission", [PLANE, COUNTS, SYMBOLS], ids=["gaussian", "poisson", "categorical"]
)


def observed(emission, series=5, steps=40, seed=4):
    generator = torch.Generator().manual_seed(seed)
    y = simulate_hmm(model(emission), steps, series, generator).observations
    return y, torch.rand(y.shape, generator=generator) > 0.3


# The variance floor.


@pytest.mark.parametrize("constant", [0.1, 0.3, 1e6 / 3, 0.0])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_a_state_that_collapses_stops_at_the_floor_and_is_named(constant, scale):
    """Half of the readings are the same number, whatever rounding makes of their variance."""
    generator = torch.Generator().manual_seed(0)
    rest = constant + torch.randn(60, dtype=torch.float64, generator=generator)
    y = scale * torch.cat([torch.full_like(rest, constant), rest]).reshape(1, -1, 1)
    start = model(gaussian([[scale * constant], [scale * (constant + 0.1)]], [scale**2, 2 * scale**2]))
    fit = baum_welch(start, y, **QUIET)
    assert fit.converged and fit.collapsed == ("emission.covariance[0]",)
    eps = torch.finfo(torch.float64).eps
    floor = max(eps**0.5 * y.var(correction=0), (eps**0.65 * y.abs().max()) ** 2)
    assert fit.model.emission.covariance[0].item() == pytest.approx(floor.item(), rel=1e-3)
    assert (torch.tensor(fit.log_likelihoods, dtype=torch.float64).diff() > -1e-8).all()
    wide = baum_welch(start, y, variance_floor=0.01, **QUIET)
    assert wide.collapsed == ("emission.covariance[0]",)
    assert wide.model.emission.covariance[0].item() == pytest.approx(0.01 * y.var(correction=0).item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_one_feature_that_repeats_another_collapses_in_one_direction(dtype):
    y = torch.randn(2, 50, 1, dtype=dtype, generator=torch.Generator().manual_seed(1))
    y = torch.cat([y, 1e3 * y + 5], -1)
    emission = GaussianEmission(
        torch.tensor([[-1.0, -1e3], [1.0, 1e3]], dtype=dtype),
        torch.tensor([[1.0, 0.0], [0.0, 1e6]], dtype=dtype).repeat(2, 1, 1),
    )
    start = HMM(torch.full((2,), 0.5, dtype=dtype), torch.full((2, 2), 0.5, dtype=dtype), emission)
    fit = baum_welch(start, y, iterations=30, **QUIET)
    assert fit.collapsed == ("emission.covariance[0]", "emission.covariance[1]")
    unit = y.flatten(0, 1).std(0, correction=0)
    smallest = torch.linalg.eigvalsh(fit.model.emission.covariance / unit / unit[:, None])[:, 0]
    floor = torch.finfo(dtype).eps ** 0.5
    assert ((smallest > 0.3 * floor) & (smallest < 3 * floor)).all()


def test_the_floor_is_the_likeliest_covariance_above_it():
    """Against a search over all covariances L Lᵀ + floor."""
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(1, 40, 2, dtype=torch.float64, generator=generator) * double([1.0, 0.1])
    y = y @ double([[1.0, 1.0], [-1.0, 1.0]])
    seen, weight = torch.ones_like(y, dtype=torch.bool), torch.ones(1, 40, 1, dtype=torch.float64)
    whole = HMM(double([1.0]), double([[1.0]]), gaussian([[0.0, 0.0]], [5.0]))
    fit = baum_welch(whole, y, variance_floor=0.2, iterations=2, **QUIET)
    floor = 0.2 * y[0].var(0, correction=0)
    root = torch.eye(2, dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.LBFGS([root], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        covariance = (root @ root.mT + floor.diag()).unsqueeze(0)
        value = -GaussianEmission(fit.model.emission.mean, covariance).log_prob(y, seen).mean()
        value.backward()
        return value

    optimiser.step(loss)
    reached = fit.model.emission.log_prob(y, seen).mean()
    assert reached.item() == pytest.approx(-loss().item(), abs=1e-9)
    torch.testing.assert_close(
        fit.model.emission.covariance[0], (root @ root.mT + floor.diag()).detach(), rtol=1e-3, atol=1e-4
    )
    assert weight.sum() == 40 and fit.collapsed == ("emission.covariance[0]",)


def test_an_honest_fit_has_not_collapsed():
    y, mask = observed(PLANE)
    assert baum_welch(model(PLANE), y, mask, iterations=20, **QUIET).collapsed == ()


NO_FLOOR = {
    "constant": (double([0.1] * 5), {}, "y must vary for covariances .*: the variance of feature 0 is 0"),
    "one reading": (double([2.0]), {}, "y must vary for covariances .*: the variance of feature 0 is 0"),
    "overflow": (double([1e200, -1e200]), {}, "the variance of y must be finite: .*= inf"),
    "start below": (
        double([1e6, 0.0, 1.0]),
        {"variance_floor": 1e-3},
        "covariance must start above the variance floor: state 0 has",
    ),
    "no share": (
        double([1.0, 0.0]),
        {"variance_floor": 0.0},
        "variance_floor must lie strictly between 0 and 1: got 0.0",
    ),
}


@pytest.mark.parametrize("y, arguments, message", NO_FLOOR.values(), ids=NO_FLOOR)
def test_data_without_a_floor_are_refused(y, arguments, message):
    with pytest.raises(ValueError, match=message):
        baum_welch(model(gaussian([[0.0], [1.0]], [1.0, 2.0])), y.reshape(1, -1, 1), **arguments, **QUIET)


def test_a_feature_that_nobody_saw_keeps_its_variance():
    y, mask = observed(PLANE)
    mask[..., 1] = False
    fit = baum_welch(model(gaussian([[0.0, 1.0], [2.0, -1.0]], [1.0, 2.0])), y, mask, iterations=5, **QUIET)
    torch.testing.assert_close(fit.model.emission.covariance[:, 1, 1], double([1.0, 2.0]))
    torch.testing.assert_close(fit.model.emission.mean[:, 1], double([1.0, -1.0]))


# Priors.

PRIORS = {
    "gaussian": (PLANE, HMMPrior(0.5, 2.0, double([[3.0, 1.0], [1.0, 2.0]]), 4.0)),
    "diagonal": (
        gaussian([[0.0, 1.0], [2.0, -1.0]], [1.0, 2.0], diagonal=True),
        HMMPrior(emission=torch.eye(2, dtype=torch.float64), steps=double([3.0, 0.5])),
    ),
    "tied": (
        gaussian([[0.0, 1.0], [2.0, -1.0]], [1.5, 1.5], tied=True),
        HMMPrior(emission=double([[3.0, 1.0], [1.0, 2.0]]), steps=4.0),
    ),
    "poisson": (
        COUNTS,
        HMMPrior(1.0, double([[5.0, 0.0], [0.0, 5.0]]), double([[3.0, 1.0], [0.0, 9.0]]), 2.0),
    ),
    "categorical": (SYMBOLS, HMMPrior(double([1.0, 0.0]), 1.0, 3.0)),
}


@pytest.mark.parametrize("emission, prior", PRIORS.values(), ids=PRIORS)
def test_the_penalised_likelihood_never_falls_and_ends_without_slope(emission, prior):
    """The slope of log p(y) + log p(θ), written out here, by every free parameter."""
    y, mask = observed(PLANE if isinstance(emission, GaussianEmission) else emission)
    fit = baum_welch(model(emission), y, mask, prior=prior, iterations=4000, tolerance=1e-11, **QUIET)
    trace = torch.tensor(fit.log_likelihoods, dtype=torch.float64)
    assert fit.converged and (trace.diff() > -1e-8).all() and trace[-1] > trace[0] + 0.5
    leaves = leaves_of(fit.model)

    def objective(*leaves):
        hmm, density = rebuilt(fit.model.emission, leaves), 0.0
        for pseudo, probability in ((prior.initial, hmm.initial), (prior.transition, hmm.transition)):
            density = density + (pseudo * probability.log()).sum()
        match hmm.emission:
            case CategoricalEmission(probabilities):
                density = density + (prior.emission * probabilities.log()).sum()
            case PoissonEmission(rate):
                density = density + (prior.emission * rate.log() - prior.steps * rate).sum()
            case GaussianEmission(_, covariance):
                steps = torch.as_tensor(prior.steps).expand(2)
                for n, Sigma in zip(steps, covariance, strict=True):
                    density = density - 0.5 * (
                        n * Sigma.logdet() + (prior.emission @ Sigma.inverse()).trace()
                    )
        return hmm_log_likelihood(hmm, y, mask).sum() + density

    value = objective(*leaves)
    slopes = torch.autograd.grad(value, leaves)
    assert value.item() == pytest.approx(fit.log_likelihood, abs=1e-9)
    for slope in slopes:
        assert slope.abs().max() < 2e-3


def leaves_of(hmm):
    """Unconstrained parameters: logits, log rates, means, and roots of covariances of the right structure."""
    emission = hmm.emission
    leaves = [hmm.initial.clamp(min=1e-300).log(), hmm.transition.log()]
    match emission:
        case CategoricalEmission(probabilities):
            leaves += [probabilities.log()]
        case PoissonEmission(rate):
            leaves += [rate.log()]
        case GaussianEmission(mean, covariance):
            covariance = covariance[:1] if emission.tied else covariance
            leaves += [
                mean,
                covariance.diagonal(dim1=-2, dim2=-1)
                if emission.diagonal
                else torch.linalg.cholesky(covariance),
            ]
    return [leaf.detach().clone().requires_grad_() for leaf in leaves]


def rebuilt(emission, leaves):
    initial, transition, *rest = leaves
    match emission:
        case CategoricalEmission():
            new = CategoricalEmission(rest[0].softmax(-1))
        case PoissonEmission():
            new = PoissonEmission(rest[0].exp())
        case GaussianEmission():
            covariance = torch.diag_embed(rest[1]) if emission.diagonal else rest[1] @ rest[1].mT
            new = GaussianEmission(rest[0], covariance.expand(2, 2, 2))
    return HMM(initial.softmax(-1), transition.softmax(-1), new)


def test_one_m_step_with_a_prior_is_a_weighted_average():
    """One state: everything is known, and the posterior mode is a closed form."""
    one = double([1.0]), double([[1.0]])
    counts = torch.tensor([[[3], [0], [4], [1]]])
    fit = baum_welch(
        HMM(*one, PoissonEmission(double([[1.0]]))), counts, prior=HMMPrior(emission=5.0, steps=2.0), **QUIET
    )
    assert fit.model.emission.rate.item() == pytest.approx((8 + 5) / (4 + 2))
    y = double([1.0, 3.0, 8.0]).reshape(1, 3, 1)
    fit = baum_welch(
        HMM(*one, gaussian([[0.0]], [1.0])), y, prior=HMMPrior(emission=double([[6.0]]), steps=4.0), **QUIET
    )
    assert fit.model.emission.covariance.item() == pytest.approx((26 + 6) / (3 + 4))
    symbols = torch.tensor([[0, 0, 1]])
    fit = baum_welch(
        HMM(*one, CategoricalEmission(double([[0.4, 0.3, 0.3]]))),
        symbols,
        prior=HMMPrior(emission=2.0),
        **QUIET,
    )
    torch.testing.assert_close(fit.model.emission.probabilities, double([[4 / 9, 3 / 9, 2 / 9]]))


def test_dirichlet_priors_are_hmmlearns():
    y, _ = observed(SYMBOLS)
    theirs = CategoricalHMM(
        2,
        n_features=3,
        init_params="",
        n_iter=8,
        tol=-np.inf,
        startprob_prior=3.0,
        transmat_prior=np.array([[6.0, 1.5], [1.0, 4.0]]),
        emissionprob_prior=2.5,
    )
    start = model(SYMBOLS)
    theirs.startprob_, theirs.transmat_ = start.initial.numpy(), start.transition.numpy()
    theirs.emissionprob_ = SYMBOLS.probabilities.numpy()
    theirs.fit(y.reshape(-1, 1).numpy(), [40] * 5)
    prior = HMMPrior(2.0, double([[5.0, 0.5], [0.0, 3.0]]), 1.5)
    fit = baum_welch(start, y, prior=prior, iterations=8, **ENDLESS).model
    np.testing.assert_allclose(fit.initial, theirs.startprob_, rtol=1e-9)
    np.testing.assert_allclose(fit.transition, theirs.transmat_, rtol=1e-9)
    np.testing.assert_allclose(fit.emission.probabilities, theirs.emissionprob_, rtol=1e-9)


def test_pseudo_counts_open_nothing_that_is_forbidden():
    left_right = [[0.6, 0.4], [0.0, 1.0]]
    emission = CategoricalEmission(double([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]))
    y = simulate_hmm(model(emission, left_right), 20, 4, torch.Generator().manual_seed(0)).observations
    fit = baum_welch(model(emission, left_right), y, prior=HMMPrior(1.0, 1.0, 1.0), iterations=30, **ENDLESS)
    assert fit.model.transition[1, 0] == 0 and fit.model.emission.probabilities[0, 2] == 0
    assert (torch.tensor(fit.log_likelihoods, dtype=torch.float64).diff() > -1e-10).all()


@pytest.mark.parametrize(
    "build, emission, message",
    [
        (lambda: HMMPrior(initial=[1.0]), COUNTS, r"prior.initial must be a finite number: got \[1.0\]"),
        (lambda: HMMPrior(transition=-1.0), COUNTS, r"prior.transition must be finite and not negative"),
        (
            lambda: HMMPrior(initial=double([1.0])),
            COUNTS,
            r"prior.initial must have shape \(2,\): got \(1,\)",
        ),
        (lambda: HMMPrior(initial=torch.ones(2)), COUNTS, "prior.initial must have the dtype of the model"),
        (lambda: HMMPrior(steps=1.0), SYMBOLS, "prior.steps must be left out for a categorical emission"),
        (lambda: HMMPrior(emission=1.0), PLANE, r"prior.emission must be a tensor \(D, D\) or \(K, D, D\)"),
        (
            lambda: HMMPrior(emission=double([[1.0, 2.0], [2.0, 1.0]])),
            PLANE,
            "prior.emission must be positive semi-definite",
        ),
        (lambda: 1.0, PLANE, "prior must be an HMMPrior: got float"),
    ],
    ids=[
        "a list",
        "negative",
        "shape",
        "dtype",
        "steps of symbols",
        "a number as scatter",
        "indefinite",
        "no prior",
    ],
)
def test_priors_that_do_not_fit_are_refused(build, emission, message):
    y, mask = observed(emission)
    with pytest.raises(ValueError, match=message):
        baum_welch(model(emission), y, mask, prior=build(), **QUIET)


# Diagonal and tied covariances.


@pytest.mark.parametrize("kind", ["diag", "tied"])
def test_diagonal_and_tied_covariances_are_hmmlearns(kind):
    y, _ = observed(PLANE)
    start = model(
        gaussian([[0.0, 1.0], [2.0, -1.0]], [1.5, 1.5], diagonal=kind == "diag", tied=kind == "tied")
    )
    theirs = GaussianHMM(
        2, kind, init_params="", n_iter=12, tol=-np.inf, min_covar=0.0, covars_prior=0.0, covars_weight=0.0
    )
    theirs.startprob_, theirs.transmat_ = start.initial.numpy(), start.transition.numpy()
    theirs.means_ = start.emission.mean.numpy()
    theirs.covars_ = 1.5 * (np.ones((2, 2)) if kind == "diag" else np.eye(2))
    theirs.fit(y.flatten(0, 1).numpy(), [40] * 5)
    fit = baum_welch(start, y, iterations=12, **ENDLESS)
    np.testing.assert_allclose(fit.log_likelihoods[:-1], theirs.monitor_.history, rtol=1e-10)
    np.testing.assert_allclose(fit.model.emission.mean, theirs.means_, rtol=1e-8)
    expected = theirs.covars_ if kind == "diag" else np.broadcast_to(theirs.covars_, (2, 2, 2))
    np.testing.assert_allclose(fit.model.emission.covariance, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True], ids=["full", "diagonal"])
@pytest.mark.parametrize("tied", [False, True], ids=["each", "tied"])
def test_structure_survives_missing_entries_and_the_likelihood_never_falls(diagonal, tied):
    y, mask = observed(PLANE)
    start = model(gaussian([[0.0, 1.0], [2.0, -1.0]], [1.5, 1.5], diagonal=diagonal, tied=tied))
    fit = baum_welch(start, y, mask, iterations=40, **ENDLESS)
    assert (torch.tensor(fit.log_likelihoods, dtype=torch.float64).diff() > -1e-10).all()
    covariance = fit.model.emission.covariance
    assert (covariance[:, 0, 1] == 0).all() if diagonal else (covariance[:, 0, 1] != 0).all()
    assert torch.equal(covariance[0], covariance[1]) == tied


# What is fixed.


@EMISSIONS
def test_what_is_fixed_stays_and_the_rest_climbs(emission):
    """Held at the start by a mask, or at a value; the rest reaches the maximum given that."""
    y, mask = observed(emission)
    name = {PLANE: "mean", COUNTS: "rate", SYMBOLS: "probabilities"}[emission]
    value = getattr(emission, name)
    state = torch.zeros_like(value, dtype=torch.bool)
    state[1] = True
    held = torch.tensor([[True, False], [False, False]])
    fit = baum_welch(
        model(emission), y, mask, fixed={name: state, "transition": held}, iterations=25, **ENDLESS
    )
    assert (torch.tensor(fit.log_likelihoods, dtype=torch.float64).diff() > -1e-10).all()
    found = getattr(fit.model.emission, name)
    assert torch.equal(found[1], value[1]) and not torch.isclose(found[0], value[0]).any()
    torch.testing.assert_close(fit.model.transition[0], double([0.8, 0.2]))
    assert not torch.isclose(fit.model.transition[1], double([0.3, 0.7])).any()
    moved = 1.1 * value / (1.1 * value).sum(-1, keepdim=True) if emission is SYMBOLS else 1.1 * value
    fit = baum_welch(model(emission), y, mask, fixed={name: moved}, iterations=3, **QUIET)
    assert torch.equal(getattr(fit.model.emission, name), moved)


def test_free_shares_divide_what_fixed_ones_leave():
    """One state: of three symbols, the first is held at 0.5, and the data divide the rest 3 to 1."""
    start = HMM(double([1.0]), double([[1.0]]), CategoricalEmission(double([[0.5, 0.3, 0.2]])))
    y = torch.tensor([[0, 1, 1, 1, 2, 0, 0, 0]])
    fixed = {"probabilities": torch.tensor([[True, False, False]])}
    fit = baum_welch(start, y, fixed=fixed, **QUIET)
    torch.testing.assert_close(fit.model.emission.probabilities, double([[0.5, 0.375, 0.125]]))


def test_a_covariance_that_is_fixed_may_be_below_the_floor():
    y = double([0.0, 0.0, 0.0, 1.0, 3.0, 0.0]).reshape(1, 6, 1)
    start = model(gaussian([[0.0], [2.0]], [1e-14, 1.0]))
    held = torch.tensor([True, False]).reshape(2, 1, 1)
    fit = baum_welch(start, y, fixed={"covariance": held}, **QUIET)
    assert fit.collapsed == () and fit.model.emission.covariance[0].item() == 1e-14
    with pytest.raises(ValueError, match="covariance must start above the variance floor: state 0"):
        baum_welch(start, y, **QUIET)


def test_a_state_with_features_that_determine_each_other_has_collapsed_whatever_its_size():
    """A start 1e4 deviations away with missing entries leaves such a state far above the data's floor."""
    wide = 1e14 * double([[1.0, 1.0], [1.0, 1.0 + 1e-12]])
    emission = GaussianEmission(double([[0.0, 0.0], [1.0, 1.0]]), torch.stack([torch.eye(2).double(), wide]))
    assert emission.collapsed(Belief(floor=double([1e-8, 1e-8]))) == [1]


def test_a_prior_without_a_scatter_says_nothing_of_tiny_covariances():
    hmm = model(gaussian([[0.0], [1.0]], [1e-310, 1.0]))
    assert HMMPrior().fit_to(hmm).log_density(hmm) == 0


@pytest.mark.parametrize("tied", [False, True], ids=["own", "tied"])
@pytest.mark.parametrize("diagonal", [False, True], ids=["full", "diagonal"])
def test_single_entries_of_means_and_variances_may_be_fixed(diagonal, tied):
    """The rest ends where the likelihood has no slope left by the entries that are free."""
    y, mask = observed(PLANE, steps=60)
    covariance = double([[2.0, 0.0 if diagonal else 0.6], [0.0 if diagonal else 0.6, 1.0]]).repeat(2, 1, 1)
    start = model(GaussianEmission(PLANE.mean, covariance, diagonal=diagonal, tied=tied))
    fixed = {"mean": torch.tensor([[True, False], [False, True]])}
    if diagonal:
        variance = torch.tensor([[True, False], [False, False]])
        fixed["covariance"] = torch.stack([variance, variance if tied else torch.zeros_like(variance)])
    fit = baum_welch(start, y, mask, fixed=fixed, tolerance=1e-11, iterations=2000, **QUIET)
    assert (torch.tensor(fit.log_likelihoods, dtype=torch.float64).diff() >= 0).all() and fit.converged
    for name, held in fixed.items():
        found, before = getattr(fit.model.emission, name), getattr(start.emission, name)
        assert torch.equal(found[held], before[held]) and not torch.isclose(found[~held], before[~held]).all()
    mean = fit.model.emission.mean.clone().requires_grad_()
    emission = GaussianEmission(mean, fit.model.emission.covariance, diagonal=diagonal, tied=tied)
    hmm = HMM(fit.model.initial, fit.model.transition, emission)
    (slope,) = torch.autograd.grad(hmm_log_likelihood(hmm, y, mask).sum(), mean)
    free = ~fixed["mean"]
    assert (slope[free].abs() < 1e-3).all() and (slope[~free].abs() > 1e-2).all()


@pytest.mark.parametrize(
    "fixed, message",
    [
        (
            {"rate": double([1.0])},
            "fixed must name fields among initial, transition, mean, covariance: got 'rate'",
        ),
        (
            {"initial": [True, False]},
            r"fixed\['initial'\] must be a bool mask or a floating-point value: got list",
        ),
        (
            {"initial": torch.tensor([True])},
            r"fixed\['initial'\] must have the shape \(2,\) of initial: got \(1,\)",
        ),
        ({"transition": double([[1.0, 0.5], [0.0, 1.0]])}, "row 0 of transition must sum to 1: got 1.5"),
        (
            {"covariance": torch.tensor([[[True, False], [False, False]]] * 2)},
            r"fixed\['covariance'\] must hold whole states, but for a diagonal emission: of state 0",
        ),
        (["mean"], "fixed must be a dict of masks or values by field: got list"),
    ],
    ids=["unknown", "a list", "shape", "no rows", "part of a covariance", "names only"],
)
def test_what_cannot_be_fixed_is_refused(fixed, message):
    y, mask = observed(PLANE)
    with pytest.raises(ValueError, match=message):
        baum_welch(model(PLANE), y, mask, fixed=fixed, **QUIET)


# The start.

THIRD = 0.1 + 0.2  # which is not quite 0.3
TWINS = {
    "all alike": ([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [1.0, 1.0, 1.0], (0, 1)),
    "rows alike": ([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.2, 0.3, 0.5]], [1.0, 2.0, 1.0], (0, 2)),
    "mirror images": ([[0.6, 0.2, 0.2], [0.3, 0.6, 0.1], [0.3, 0.1, 0.6]], [2.0, 1.0, 1.0], (1, 2)),
    "rounding": ([[0.3, 0.3, 0.4], [THIRD, 0.3, 0.4], [0.2, 0.2, 0.6]], [0.3, THIRD, 2.0], (0, 1)),
}


@pytest.mark.parametrize("transition, rates, twins", TWINS.values(), ids=TWINS)
def test_states_that_nothing_can_tell_apart_are_refused(transition, rates, twins):
    start = HMM(double([0.2, 0.3, 0.5]), double(transition), PoissonEmission(double(rates).unsqueeze(-1)))
    y = torch.tensor([[0, 3, 1, 0, 5, 2]]).unsqueeze(-1)
    with pytest.raises(
        ValueError, match="start from states that differ: states {} and {} emit alike".format(*twins)
    ):
        baum_welch(start, y, **QUIET)


def test_states_that_differ_only_in_where_they_lead_may_start():
    """A chain of two states that emit alike, as one builds for a dwell time that is not geometric."""
    chain = [[0.7, 0.3, 0.0], [0.0, 0.7, 0.3], [0.2, 0.0, 0.8]]
    start = HMM(double([1.0, 0.0, 0.0]), double(chain), PoissonEmission(double([[1.0], [1.0], [6.0]])))
    y = simulate_hmm(start, 200, 2, torch.Generator().manual_seed(0)).observations
    fit = baum_welch(start, y, iterations=10, **QUIET)
    assert fit.log_likelihood > fit.log_likelihoods[0] + 1


@EMISSIONS
def test_a_batch_is_fitted_as_its_values(emission):
    y, mask = observed(emission)
    lengths = torch.tensor([40, 17, 1, 33, 0])
    columns = y.unsqueeze(-1) if emission is SYMBOLS else y
    seen = (mask.unsqueeze(-1) if emission is SYMBOLS else mask) & (torch.arange(40) < lengths[:, None])[
        ..., None
    ]
    times = torch.arange(40, dtype=torch.float64).expand(5, 40)
    batch = IrregularBatch(times, columns.double(), seen, lengths)
    together = baum_welch(model(emission), batch, iterations=3, **QUIET)
    apart = baum_welch(model(emission), y, mask, lengths, iterations=3, **QUIET)
    assert together.log_likelihoods == apart.log_likelihoods
