"""Fits against the Nile's published variances, statsmodels, each other and known truths."""

import csv
from dataclasses import replace

import pytest
import torch
from statsmodels.tsa.statespace.varmax import VARMAX

from helpers.statespace import (
    HMM,
    GaussianEmission,
    HMMPrior,
    LinearGaussian,
    baum_welch,
    covariance_from_unconstrained,
    fit,
    log_likelihood,
    maximise_likelihood,
    varma_to_state_space,
)

ONE = torch.ones(1, 1, dtype=torch.float64)
NOISES = ("transition_covariance", "observation_covariance")


def local_level(q, r, diffuse=True):
    return LinearGaussian(
        ONE, ONE, q * ONE, r * ONE, 0 * ONE[0], ONE, diffuse=torch.tensor([True]) if diffuse else None
    )


def autoregression(phi, q, r):
    """A state that fades by φ, seen twice through correlated noise."""
    C = torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    R = r * torch.tensor([[1.0, 0.4], [0.4, 2.0]], dtype=torch.float64)
    return LinearGaussian(phi * ONE, C, q * ONE, R, 0 * ONE[0], ONE)


def simulated(model, series, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def noise(covariance):
        size = len(covariance)
        white = torch.randn(series, size, dtype=torch.float64, generator=generator)
        return white @ torch.linalg.cholesky(covariance).mT

    h = model.initial_mean + noise(model.initial_covariance)
    y = []
    for _ in range(steps):
        y.append(h @ model.observation.mT + noise(model.observation_covariance))
        h = h @ model.transition.mT + noise(model.transition_covariance)
    return torch.stack(y, 1)


@pytest.fixture
def nile(real_data):
    """Annual flow of the Nile at Aswan 1871-1970, 10⁸ m³."""
    with open(real_data / "tables" / "nile.csv") as table:
        flow = [float(row["flow_1e8_m3"]) for row in csv.DictReader(table)]
    return torch.tensor(flow, dtype=torch.float64).reshape(1, -1, 1)


def test_nile_by_gradient(nile):
    """Durbin and Koopman (2012), section 2.10.3: 1469.1 and 15099, log-likelihood -632.54563."""
    fitted = fit(local_level(1e4, 1e4), nile, learn=NOISES, progress=False)
    assert fitted.converged and fitted.collapsed == ()
    assert abs(fitted.model.observation_covariance.item() / 15098.5 - 1) < 0.002
    assert abs(fitted.model.transition_covariance.item() / 1469.2 - 1) < 0.002
    assert abs(fitted.log_likelihood + 632.54563) < 1e-4
    assert fitted.iterations == len(fitted.log_likelihoods) - 1 < 20


@pytest.mark.parametrize("start", [1.0, 1e9])
def test_the_start_need_not_have_the_data_s_scale(nile, start):
    """The Nile again, with a very wide prior in place of the diffuse one."""
    wide = replace(local_level(start, start, diffuse=False), initial_covariance=1e9 * ONE)
    fitted = fit(wide, nile, learn=NOISES, progress=False)
    assert fitted.converged and fitted.iterations < 60
    assert abs(fitted.model.observation_covariance.item() / 15098.5 - 1) < 0.002
    assert abs(fitted.model.transition_covariance.item() / 1469.2 - 1) < 0.002


def test_nile_by_em(nile):
    """EM approaches the same maximum, and stays at it."""
    nearby = fit(local_level(1520.0, 15020.0), nile, method="em", learn=NOISES, iterations=20, progress=False)
    assert 15020 < nearby.model.observation_covariance.item() < 15098.5
    assert 1469.2 < nearby.model.transition_covariance.item() < 1510
    there = fit(local_level(1469.18, 15098.52), nile, method="em", learn=NOISES, progress=False)
    assert there.converged and there.iterations == 1
    assert abs(there.model.transition_covariance.item() / 1469.18 - 1) < 1e-5


@pytest.mark.filterwarnings("ignore:Estimation of VARMA:statsmodels.tools.sm_exceptions.EstimationWarning")
def test_a_vector_autoregression_is_fitted_as_by_statsmodels():
    truth = torch.tensor([[[0.6, 0.2], [-0.1, 0.4]]], dtype=torch.float64)
    y = simulated(varma_to_state_space_with_noise(truth), 1, 80)
    peer = VARMAX(y[0].numpy(), order=(1, 0), trend="n").fit(disp=False, maxiter=200)

    def build(parameters):
        Sigma = covariance_from_unconstrained(parameters["noise"])
        return varma_to_state_space(parameters["lags"], truth[:0], Sigma)

    start = {"lags": torch.zeros_like(truth), "noise": torch.zeros(3, dtype=torch.float64)}
    ours = maximise_likelihood(build, start, y, progress=False)
    assert ours.converged and ours.parameters.keys() == start.keys()
    assert ours.log_likelihood > peer.llf - 1e-6
    assert abs(ours.log_likelihood - peer.llf) < 1e-4
    found = torch.as_tensor(peer.params[:4]).reshape(2, 2)
    torch.testing.assert_close(ours.parameters["lags"][0], found, rtol=0, atol=2e-3)
    torch.testing.assert_close(ours.model.transition[:2, :2], ours.parameters["lags"][0], rtol=0, atol=0)


def varma_to_state_space_with_noise(lags):
    """The process, observed with almost no noise, so that it can be simulated by Cholesky factors."""
    model = varma_to_state_space(lags, lags[:0], torch.eye(2, dtype=torch.float64))
    tiny = 1e-12 * torch.eye(2, dtype=torch.float64)
    return LinearGaussian(
        model.transition,
        model.observation,
        model.transition_covariance,
        tiny,
        model.initial_mean,
        model.initial_covariance,
    )


def test_gradient_and_em_agree_where_entries_are_missing():
    """With correlated noise, a wrong imputation of the missing half would move R."""
    y = simulated(autoregression(0.8, 1.0, 1.0), 8, 25, seed=1)
    mask = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    start, learn = autoregression(0.5, 1.0, 0.5), ("transition", "observation", "observation_covariance")
    by_gradient = fit(start, y, mask, learn=learn, progress=False)
    by_em = fit(start, y, mask, method="em", learn=learn, tolerance=1e-5, progress=False)
    assert by_gradient.converged and by_em.converged
    assert (torch.tensor(by_em.log_likelihoods, dtype=torch.float64).diff() > 0).all()
    for name in learn:
        torch.testing.assert_close(
            getattr(by_em.model, name), getattr(by_gradient.model, name), rtol=0, atol=4e-3
        )
    assert torch.equal(by_em.model.transition_covariance, start.transition_covariance)


def test_truth_is_recovered_within_its_standard_errors():
    """Standard errors from the curvature of the log-likelihood, by differences of its gradient."""
    truth = torch.tensor([0.8, 0.0, 0.0], dtype=torch.float64)  # φ, log q, log r

    def build(parameters):
        phi, log_q, log_r = parameters["theta"]
        return autoregression(phi, log_q.exp(), log_r.exp())

    y = simulated(build({"theta": truth}), 20, 100, seed=3)
    start = torch.tensor([0.2, 1.0, -1.0], dtype=torch.float64)
    found = maximise_likelihood(build, {"theta": start}, y, progress=False).parameters["theta"]

    def score(theta):
        theta = theta.clone().requires_grad_()
        return torch.autograd.grad(log_likelihood(build({"theta": theta}), y).sum(), theta)[0]

    step = 1e-4 * torch.eye(3, dtype=torch.float64)
    information = -torch.stack([(score(found + d) - score(found - d)) / 2e-4 for d in step])
    standard_errors = torch.linalg.inv(information).diagonal().sqrt()
    assert (score(found).abs() * standard_errors < 0.01).all()
    assert (standard_errors < 0.1).all()
    assert ((found - truth).abs() < 3.5 * standard_errors).all()


def test_units_do_not_matter():
    """Data in a unit 1000 times smaller have a million times the variances, and the fit finds them."""
    y = simulated(autoregression(0.8, 1.0, 1.0), 4, 40, seed=4)
    metres, millimetres = (
        fit(
            replace(autoregression(0.5, scale, scale), initial_covariance=scale * ONE),
            scale**0.5 * y,
            learn=("transition", *NOISES),
            progress=False,
        )
        for scale in (1.0, 1e6)
    )
    ratio = millimetres.model.observation_covariance / metres.model.observation_covariance
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1e6), rtol=0.01, atol=0)
    torch.testing.assert_close(millimetres.model.transition, metres.model.transition, rtol=0, atol=1e-2)


@pytest.mark.parametrize("method, variance", [("gradient", 1e-2), ("em", 1e-3)])
def test_a_variance_without_use_is_reported(method, variance):
    """White noise about a constant: the level does not move, and its variance goes to zero."""
    y = torch.randn(1, 60, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start = local_level(variance, 1.0, diffuse=False)
    fitted = fit(start, y, method=method, learn=NOISES, iterations=20, progress=False)
    assert fitted.collapsed == ("transition_covariance[0, 0]",)
    assert fitted.model.transition_covariance < start.transition_covariance


def test_an_hmm_is_fitted_by_baum_welch():
    hmm = HMM(
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64),
        GaussianEmission(
            torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.ones(2, 1, 1, dtype=torch.float64)
        ),
    )
    y = torch.randn(2, 50, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fitted = fit(hmm, 2 * y, iterations=5, progress=False)
    assert isinstance(fitted.model, HMM) and fitted.iterations == 5
    assert (torch.tensor(fitted.log_likelihoods).diff() > 0).all()
    prior, held = HMMPrior(transition=5.0), {"mean": torch.tensor([[True], [False]])}
    more = {"prior": prior, "variance_floor": 0.1, "fixed": held, "iterations": 4, "progress": False}
    ours, theirs = fit(hmm, y, **more), baum_welch(hmm, y, **more)
    assert ours.log_likelihoods == theirs.log_likelihoods and ours.model.emission.mean[0] == -1.0
    for name in ("prior", "variance_floor"):
        with pytest.raises(ValueError, match=f"{name} must be left out but for an HMM"):
            fit(local_level(1.0, 1.0), y, **{name: more[name]})
    for wrong in ({"method": "em"}, {"learn": ("initial",)}, {"inputs": y}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be left out for an HMM"):
            fit(hmm, y, **wrong)


def test_progress_leaves_one_line_or_nothing(capsys):
    y = simulated(autoregression(0.8, 1.0, 1.0), 1, 10)
    fit(autoregression(0.5, 1.0, 1.0), y, iterations=2, tolerance=0, method="em")
    shown = capsys.readouterr()
    assert (
        shown.out.startswith("2 iterations, not yet converged: log-likelihood -") and "iteration" in shown.err
    )
    fit(autoregression(0.5, 1.0, 1.0), y, iterations=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_float32_and_device_follow(device):
    model = LinearGaussian(
        *(torch.eye(1, device=device) for _ in range(4)),
        torch.zeros(1, device=device),
        torch.eye(1, device=device),
    )
    y = torch.randn(2, 20, 1, device=device)
    for method in ("gradient", "em"):
        fitted = fit(model, y, method=method, iterations=3, progress=False)
        assert fitted.model.transition.device.type == device.type
        assert fitted.model.transition_covariance.dtype == torch.float32
        assert not fitted.model.transition.requires_grad


Y = torch.zeros(1, 4, 1, dtype=torch.float64)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"learn": ("transition", "Q")},
            "learn must name fields among transition, observation, input, initial_mean, .*: got 'Q'",
        ),
        ({"learn": ()}, "learn must name at least one of transition, .*: got none"),
        ({"learn": ("input",)}, "learn names input, and the model has none"),
        ({"learn": ("initial_mean",)}, "initial_mean cannot be learned where the start is diffuse"),
        ({"method": "newton"}, "method must be one of gradient, em: got 'newton'"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1: got 0"),
        (
            {"mask": torch.zeros(1, 4, 1, dtype=torch.bool)},
            "y must have at least one observed entry: all are missing",
        ),
        ({"lengths": torch.tensor([0])}, "y must have at least one observed entry: all are missing"),
    ],
    ids=[
        "unknown field",
        "no field",
        "no input matrix",
        "diffuse start",
        "unknown method",
        "no iterations",
        "all missing",
        "all empty",
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(local_level(1.0, 1.0), Y, progress=False, **arguments)


@pytest.mark.parametrize(
    "model, method, learn, message",
    [
        (
            local_level(0.0, 1.0),
            "gradient",
            NOISES,
            "transition_covariance must be positive definite: its smallest eigenvalue is 0",
        ),
        (
            LinearGaussian(ONE.expand(4, 1, 1), ONE, ONE, ONE, ONE[0], ONE),
            "em",
            ("transition",),
            r"transition must be the same for all series and steps to be learned: got shape \(4, 1, 1\);",
        ),
        (
            LinearGaussian(ONE, ONE, ONE.expand(4, 1, 1), ONE, ONE[0], ONE),
            "em",
            ("transition",),
            r"EM learns transition only beside a constant transition_covariance: got shape \(4, 1, 1\)",
        ),
        (
            LinearGaussian(ONE, ONE, ONE, ONE.expand(4, 1, 1), ONE[0], ONE),
            "em",
            ("observation",),
            r"EM learns observation only beside a constant observation_covariance",
        ),
    ],
    ids=[
        "singular Q",
        "A per step",
        "Q per step",
        "R per step",
    ],
)
def test_models_that_cannot_be_learned(model, method, learn, message):
    with pytest.raises(ValueError, match=message):
        fit(model, Y, method=method, learn=learn, progress=False)


def test_a_start_that_is_no_start():
    with pytest.raises(ValueError, match="start must name at least one parameter: got none"):
        maximise_likelihood(lambda parameters: local_level(1.0, 1.0), {}, Y)
    with pytest.raises(ValueError, match=r"start\['q'\] must be finite: start\['q'\]\[0\] = nan"):
        maximise_likelihood(lambda parameters: local_level(1.0, 1.0), {"q": torch.tensor([torch.nan])}, Y)
    with pytest.raises(
        ValueError, match="iteration 0 of the fit: build must make a model that depends on its parameters"
    ):
        maximise_likelihood(lambda parameters: local_level(1.0, 1.0), {"q": ONE}, Y, progress=False)


@pytest.mark.parametrize("method", ["gradient", "em"])
def test_a_likelihood_that_is_not_finite_says_when(method):
    """(1e200)² overflows at once."""
    with pytest.raises(ValueError, match="iteration 0 of the fit: the log-likelihood.* must be finite"):
        fit(local_level(1.0, 1.0, diffuse=False), Y + 1e200, method=method, learn=NOISES, progress=False)


def test_em_says_at_which_iteration_it_failed():
    """A series that is exactly 0 lets every variance shrink until, soon from here, none is left."""
    tiny = 1e-300 * ONE
    with pytest.raises(ValueError, match=r"iteration [1-9]\d* of the fit: "):
        fit(
            LinearGaussian(0 * ONE, ONE, tiny, tiny, 0 * ONE[0], tiny),
            Y,
            method="em",
            learn=(*NOISES, "initial_covariance"),
            tolerance=-torch.inf,
            progress=False,
        )
