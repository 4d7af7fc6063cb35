"""The scans against the loops, and against what they promise."""

import pytest
import torch

from helpers.statespace import LinearGaussian, kalman_filter, log_likelihood, rts_smoother

BATCH, STATE, OUTPUT = 3, 4, 2
FILTERED = (
    "mean covariance predicted_mean predicted_covariance innovation innovation_covariance step_log_likelihood"
)
KINDS = ["constant", "per step", "per series", "per series and step"]


def example(kind, steps, missing, rank=STATE):
    """A model driven by inputs, with noise of the given rank, and data for it."""
    generator = torch.Generator().manual_seed(steps)
    leading = dict(zip(KINDS, [(), (steps,), (BATCH, 1), (BATCH, steps)], strict=True))[kind]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    noise, root = normal(*leading, STATE, rank), normal(*leading, OUTPUT, OUTPUT)
    model = LinearGaussian(
        transition=0.95 * torch.linalg.qr(normal(*leading, STATE, STATE)).Q,
        observation=normal(*leading, OUTPUT, STATE),
        transition_covariance=noise @ noise.mT,
        observation_covariance=root @ root.mT,
        initial_mean=normal(STATE),
        initial_covariance=2 * torch.eye(STATE, dtype=torch.float64),
        input=normal(*leading, STATE, 1),
    )
    y, inputs = 3 * normal(BATCH, steps, OUTPUT), normal(BATCH, steps, 1)
    mask = torch.rand(BATCH, steps, OUTPUT, generator=generator) > (0.4 if missing else -1)
    return model, y, mask, inputs


def largest_difference(one, other, names):
    return max(
        float((getattr(one, name) - getattr(other, name)).abs().max().detach()) for name in names.split()
    )


@pytest.mark.parametrize("rank", [STATE, OUTPUT], ids=["full noise", "singular noise"])
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_loop(kind, missing, rank):
    """The issue asks for 1e-8; 300 steps give 1e-11."""
    model, y, mask, inputs = example(kind, 300, missing, rank)
    loop, scan = (
        kalman_filter(model, y, mask, inputs=inputs, parallel=parallel) for parallel in (False, True)
    )
    assert largest_difference(scan, loop, FILTERED) < 1e-11
    smoothed, scanned = rts_smoother(model, loop), rts_smoother(model, scan, parallel=True)
    assert largest_difference(scanned, smoothed, "mean covariance lag_covariance") < 1e-11


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9])
def test_short_series(steps):
    model, y, mask, inputs = example("constant", steps, missing=True)
    loop, scan = (
        kalman_filter(model, y, mask, inputs=inputs, parallel=parallel) for parallel in (False, True)
    )
    assert largest_difference(scan, loop, FILTERED) < 1e-12
    smoothed, scanned = rts_smoother(model, loop), rts_smoother(model, scan, parallel=True)
    assert largest_difference(scanned, smoothed, "mean covariance lag_covariance") < 1e-12


def test_gradient_is_the_exact_score():
    """Through 500 steps of the scan's graph, 1e-10 of the gradient's size."""
    model, y, mask, inputs = example("constant", 500, missing=True)
    parameters = model.transition, model.observation, model.observation_covariance
    for parameter in parameters:
        parameter.requires_grad_()
    scan = kalman_filter(model, y, mask, inputs=inputs, parallel=True).log_likelihood.sum()
    exact = log_likelihood(model, y, mask, inputs=inputs).sum()
    gradients = (torch.autograd.grad(value, parameters) for value in (scan, exact))
    for ours, score in zip(*gradients, strict=True):
        difference = ours - score if ours.shape != (OUTPUT, OUTPUT) else (ours + ours.mT) / 2 - score
        assert difference.abs().max() < 1e-10 * score.abs().max()


def test_float32_covariances_stay_positive_definite():
    """Nearly exact observations of a state with little noise, from a vague start."""
    generator = torch.Generator().manual_seed(0)
    eye = torch.eye(2)
    model = LinearGaussian(
        torch.tensor([[1.0, 1.0], [0.0, 1.0]]), eye[:1], 1e-6 * eye, 1e-2 * eye[:1, :1], eye[0], 1e3 * eye
    )
    y = torch.randn(2, 200, 1, generator=generator).cumsum(1)
    filtered = kalman_filter(model, y, parallel=True)
    for covariance in (filtered.covariance, filtered.predicted_covariance):
        assert torch.equal(covariance, covariance.mT)
        assert torch.linalg.cholesky_ex(covariance).info.eq(0).all()


def test_a_step_without_noise_of_its_own_is_refused():
    """y = h₂ exactly, and h₂ follows h₁ without noise: one step alone gives y no density."""
    double = {"dtype": torch.float64}
    model = LinearGaussian(
        torch.tensor([[0.5, 0.0], [1.0, 0.0]], **double),
        torch.tensor([[0.0, 1.0]], **double),
        torch.diag(torch.tensor([1.0, 0.0], **double)),
        torch.zeros(1, 1, **double),
        torch.zeros(2, **double),
        torch.eye(2, **double),
    )
    y = torch.randn(1, 4, 1, generator=torch.Generator().manual_seed(0), **double)
    assert kalman_filter(model, y).log_likelihood.isfinite().all()
    with pytest.raises(
        ValueError,
        match="parallel=True needs C Q C' \\+ R to be positive definite at every step after the first: "
        "it is not at step 1 of series 0",
    ):
        kalman_filter(model, y, parallel=True)


def test_on_every_device(device):
    model, y, mask, inputs = example("constant", 20, missing=True)
    here = kalman_filter(model, y, mask, inputs=inputs, parallel=True)
    moved = LinearGaussian(
        **{name: part.to(device) for name, part in vars(model).items() if part is not None}
    )
    there = kalman_filter(
        moved, *(part.to(device) for part in (y, mask)), inputs=inputs.to(device), parallel=True
    )
    assert there.mean.device.type == device.type
    torch.testing.assert_close(there.mean.cpu(), here.mean)
