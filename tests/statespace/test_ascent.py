"""A fit never falls, keeps its last good model, and returns what its parameters give."""

from dataclasses import dataclass, replace

import pytest
import torch

from helpers.statespace import FitError, LinearGaussian, fit, log_likelihood, maximise_likelihood
from helpers.statespace.ascent import ascend, name_collapse

ONE = torch.ones(1, 1, dtype=torch.float64)


@dataclass
class Evidence:
    log_likelihood: torch.Tensor


def climb(heights, **more):
    """A fit whose models are 0, 1, 2 … with these log-likelihoods."""
    return ascend(
        0,
        lambda model: Evidence(torch.tensor([heights[model]], dtype=torch.float64)),
        lambda model, _: model + 1,
        **({"iterations": len(heights) - 1, "tolerance": 1e-6, "progress": False} | more),
    )


def test_a_fall_is_an_error_that_keeps_the_last_good_model():
    message = "iteration 2 of the fit: the log-likelihood must not fall: got -4.5 after -4"
    with pytest.raises(FitError, match=message) as caught:
        climb([-5.0, -4.0, -4.5, 0.0])
    fitted = caught.value.fitted
    assert fitted.model == 1 and fitted.log_likelihoods == (-5.0, -4.0) and not fitted.converged


def test_what_rounding_loses_is_not_taken():
    fitted = climb([-5.0, -4.0, -4.0 - 1e-9, 0.0])
    assert fitted.model == 1 and fitted.log_likelihoods == (-5.0, -4.0, -4.0) and fitted.converged
    assert not climb([-5.0, -4.0, -4.0 - 1e-9, 0.0], tolerance=1e-10).converged


def test_many_readings_may_lose_more_to_rounding():
    few, many = {"readings": 10}, {"readings": 10**6}
    with pytest.raises(FitError, match="must not fall"):
        climb([-5.0, -4.0, -4.01], **few)
    assert climb([-5.0, -4.0, -4.01, 0.0], **many).log_likelihoods == (-5.0, -4.0, -4.0)


@pytest.mark.parametrize("tolerance", [[1.0], None, "small", float("nan"), True, 1 + 2j], ids=repr)
def test_a_tolerance_that_is_no_number_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a number: got"):
        climb([-5.0, -4.0], tolerance=tolerance)


def test_a_failed_fit_names_what_had_collapsed():
    def fails():
        with name_collapse(lambda model: (f"variance of {model}",)):
            climb([-5.0, -4.0, -4.5, 0.0])

    with pytest.raises(FitError, match=r"iteration 2 .*fall.*; collapsed before it: variance of 1") as caught:
        fails()
    assert caught.value.fitted.model == 1 and caught.value.fitted.collapsed == ("variance of 1",)


def test_a_start_without_a_likelihood_has_no_last_good_model():
    with pytest.raises(FitError, match="iteration 0 of the fit: the log-likelihood must be finite") as caught:
        climb([float("nan"), 0.0])
    assert caught.value.fitted is None


@pytest.mark.parametrize("start", [None, "a", {}, {"a": [1.0]}, {"a": torch.tensor(True)}], ids=repr)
def test_a_start_that_holds_no_parameters_is_refused(start):
    with pytest.raises(ValueError, match="start"):
        maximise_likelihood(lambda parameters: local_level(1.0, 1.0), start, series(), progress=False)


def local_level(q, r):
    return LinearGaussian(ONE, ONE, q * ONE, r * ONE, 0 * ONE[0], ONE)


def series():
    return torch.randn(2, 30, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(1)


@pytest.mark.parametrize("edge", [0.1, 0.02, 3.0])
def test_after_a_rejected_point_all_that_is_returned_belongs_together(edge):
    """The model ends where a variance exceeds `edge`; towards the edge the likelihood rises."""
    y = series()

    def build(parameters):
        q = parameters["q"]
        if q.item() > edge:
            raise ValueError("beyond the edge")
        return local_level(q.exp() if edge > 1 else q.abs() + 1e-3, 1.0)

    for iterations in (1, 2, 3, 50):
        start = {"q": torch.tensor(-0.01, dtype=torch.float64)}
        fitted = maximise_likelihood(build, start, y, iterations=iterations, progress=False)
        again = log_likelihood(build(fitted.parameters), y).sum().item()
        assert fitted.log_likelihood == pytest.approx(again, abs=1e-10)
        assert torch.equal(fitted.model.transition_covariance, build(fitted.parameters).transition_covariance)
        assert (torch.tensor(fitted.log_likelihoods).diff() >= 0).all()


@pytest.mark.parametrize("method", ["gradient", "em"])
def test_inference_mode_changes_nothing(method):
    arguments = {"method": method, "iterations": 3, "progress": False}
    expected = fit(local_level(0.5, 2.0), series(), **arguments)
    with torch.inference_mode():
        model, y = local_level(0.5, 2.0 * ONE.clone()), series()
        within = fit(model, y, **arguments)
    after = fit(model, y, **arguments)
    assert expected.log_likelihoods == within.log_likelihoods == after.log_likelihoods


@pytest.mark.parametrize("method", ["gradient", "em"])
def test_one_step_says_nothing_of_how_the_state_moves(method):
    with pytest.raises(
        ValueError, match="y must be observed after step 0 to learn transition, transition_cov"
    ):
        fit(local_level(1.0, 1.0), series()[:, :1], method=method, progress=False)
    learn = ("observation_covariance", "initial_mean")
    fitted = fit(local_level(1.0, 1.0), series()[:, :1], method=method, learn=learn, progress=False)
    assert fitted.log_likelihood > fitted.log_likelihoods[0]


def rotation(q):
    A = torch.tensor([[0.6, 0.3], [0.2, 0.5]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    return LinearGaussian(A, eye[:1], q * eye, eye[:1, :1], eye.sum(0), eye)


def test_em_beside_a_state_without_noise():
    """EM cannot move its transition, and says so; it learns everything else, as the gradient does."""
    y, model = series()[:1], rotation(0.0)
    with pytest.raises(
        ValueError, match="EM cannot move row 0 of transition, where transition_covariance is"
    ):
        fit(model, y, method="em", learn=("transition",), progress=False)
    learn = ("observation_covariance",)
    by_em = fit(model, y, method="em", learn=learn, tolerance=1e-8, iterations=400, progress=False)
    by_gradient = fit(model, y, learn=learn, progress=False)
    assert by_em.converged and abs(by_em.log_likelihood - by_gradient.log_likelihood) < 1e-4


def test_a_flat_start_that_is_never_fixed_is_named():
    eye = torch.eye(2, dtype=torch.float64)
    model = LinearGaussian(eye, eye, 0.1 * eye, eye, 0 * eye[0], 0 * eye, diffuse=torch.tensor([True, True]))
    y = torch.randn(1, 20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[..., 1] = False
    with pytest.raises(ValueError, match="EM needs every diffuse component determined: series 0 leaves one"):
        fit(model, y, mask, method="em", progress=False)


def test_a_diffuse_start_by_em_is_a_wide_one():
    y = series()
    flat = replace(local_level(0.5, 1.0), diffuse=torch.tensor([True]))
    wide = replace(local_level(0.5, 1.0), initial_covariance=1e7 * ONE)
    one, other = (fit(m, y, method="em", iterations=3, progress=False).model for m in (flat, wide))
    for name in ("transition", "transition_covariance", "observation_covariance"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=0)
