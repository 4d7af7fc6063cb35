"""VARMA models against statsmodels, stationary covariances against SciPy, and impulse responses."""

import numpy as np
import pytest
import torch
from scipy import linalg
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.varmax import VARMAX

from helpers.statespace import impulse_response, kalman_filter, stationary_covariance, varma_to_state_space

# statsmodels warns that a VARMA(p, q) is not identified in general, which matters to fits only.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Estimation of VARMA:statsmodels.tools.sm_exceptions.EstimationWarning"
)

PHI = torch.tensor([[[0.5, 0.1], [-0.2, 0.4]], [[0.2, 0.0], [0.1, -0.3]]], dtype=torch.float64)
THETA = torch.tensor([[[0.4, -0.1], [0.3, 0.2]], [[0.1, 0.2], [0.0, 0.3]]], dtype=torch.float64)
SIGMA = torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=torch.float64)


def series(features, steps=60):
    return torch.randn(1, steps, features, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def varmax(y, p, q):
    """statsmodels' model at our parameters, of which it takes the Cholesky factor of Σ."""
    model = VARMAX(y, order=(p, q), trend="n")
    coefficients = [lags.permute(1, 0, 2).flatten() for lags in (PHI[:p], THETA[:q]) if len(lags)]
    factor = torch.linalg.cholesky(SIGMA)[tuple(torch.tril_indices(2, 2))]
    return model, torch.cat([*coefficients, factor]).numpy()


@pytest.mark.parametrize("p, q", [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_log_likelihood_is_statsmodels(p, q, missing):
    y = series(2)
    mask = torch.ones_like(y, dtype=torch.bool)
    if missing:
        mask[0, 3:6, 0], mask[0, 10, :], mask[0, 0, 1] = False, False, False
    model, parameters = varmax(torch.where(mask, y, torch.nan)[0].numpy(), p, q)
    ours = kalman_filter(varma_to_state_space(PHI[:p], THETA[:q], SIGMA), y, mask).log_likelihood
    assert abs(ours.item() - model.loglike(parameters)) < 1e-8


@pytest.mark.parametrize(
    "phi, theta",
    [((0.7, -0.2), (0.5,)), ((), (0.3, 0.4, -0.2)), ((0.95,), ())],
    ids=["ARMA(2, 1)", "MA(3)", "AR(1)"],
)
def test_a_single_series_is_statsmodels_sarimax(phi, theta):
    y = series(1)
    model = SARIMAX(y[0].numpy(), order=(len(phi), 0, len(theta)))
    lags = [torch.tensor(numbers, dtype=torch.float64).reshape(-1, 1, 1) for numbers in (phi, theta)]
    ours = kalman_filter(varma_to_state_space(*lags, SIGMA[:1, :1]), y).log_likelihood.item()
    assert abs(ours - model.loglike([*phi, *theta, 2.0])) < 1e-8


def test_impulse_responses_are_statsmodels():
    model, parameters = varmax(series(2)[0].numpy(), 2, 1)
    expected = model.impulse_responses(parameters, steps=12, orthogonalized=False)
    ours = varma_to_state_space(PHI, THETA[:1], SIGMA)
    loading = torch.cat([torch.eye(2, dtype=torch.float64), THETA[0]])
    response = ours.observation @ impulse_response(ours.transition, loading, 12)
    # statsmodels returns one impulse's responses unless told otherwise: compare each in turn
    for impulse in range(2):
        expected = model.impulse_responses(parameters, steps=12, impulse=impulse, orthogonalized=False)
        np.testing.assert_allclose(response[..., impulse], expected, rtol=1e-10, atol=1e-12)


def test_impulse_responses_are_powers(generator):
    A = torch.randn(5, 3, 3, dtype=torch.float64, generator=generator, device=generator.device) / 2
    B = torch.randn(3, 2, dtype=torch.float64, generator=generator, device=generator.device)
    for horizon in (0, 1, 6, 7, 8):
        response = impulse_response(A, B, horizon)
        assert response.shape == (5, horizon + 1, 3, 2) and response.device == A.device
        for k in range(horizon + 1):
            expected = torch.linalg.matrix_power(A, k) @ B
            torch.testing.assert_close(response[:, k], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.999, 1 - 1e-7])
def test_stationary_covariance_is_scipys(radius, generator):
    A = torch.randn(3, 3, dtype=torch.float64, generator=generator, device=generator.device)
    A = A * (radius / torch.linalg.eigvals(A).abs().max())
    Q = torch.diag(torch.arange(3.0, dtype=torch.float64, device=A.device))
    P = stationary_covariance(A, Q)
    expected = torch.as_tensor(
        linalg.solve_discrete_lyapunov(A.cpu().numpy(), Q.cpu().numpy()), device=A.device
    )
    torch.testing.assert_close(P, expected, rtol=1e-6, atol=1e-6 * expected.abs().max().item())


def test_stationary_variance_of_an_autoregression():
    """σ² / (1 - φ²), also very near to 1; batched."""
    phi = torch.tensor([0.0, -0.5, 0.9, 1 - 1e-9], dtype=torch.float64).reshape(-1, 1, 1)
    Q = torch.full_like(phi, 3.0)
    torch.testing.assert_close(stationary_covariance(phi, Q), Q / ((1 - phi) * (1 + phi)), rtol=1e-6, atol=0)


def test_a_process_that_starts_from_rest():
    """A random walk without a past: y_t is the sum of its shocks, and its density theirs."""
    walk = varma_to_state_space(
        torch.ones(1, 1, 1, dtype=torch.float64), PHI[:0, :1, :1], SIGMA[:1, :1], stationary=False
    )
    y = series(1)
    shocks = y.diff(dim=1, prepend=torch.zeros_like(y[:, :1]))
    expected = torch.distributions.Normal(0.0, SIGMA[0, 0].sqrt()).log_prob(shocks).sum((1, 2))
    torch.testing.assert_close(kalman_filter(walk, y).log_likelihood, expected, rtol=1e-12, atol=0)


def test_gradients_reach_the_coefficients():
    inputs = tuple(tensor.clone().requires_grad_() for tensor in (PHI[:1], THETA[:1], SIGMA))
    y = series(2, steps=5)

    def log_likelihood(phi, theta, sigma):
        return kalman_filter(varma_to_state_space(phi, theta, (sigma + sigma.mT) / 2), y).log_likelihood

    assert torch.autograd.gradcheck(log_likelihood, inputs)


def test_device_and_dtype_follow(device):
    lags = torch.zeros(1, 2, 2, device=device)
    model = varma_to_state_space(lags, lags[:0], torch.eye(2, device=device))
    assert model.transition.device.type == device.type and model.initial_covariance.dtype == torch.float32


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: varma_to_state_space(PHI[0], THETA, SIGMA),
            r"autoregressive must have shape \(p, D, D\) with D = 2: got \(2, 2\)",
        ),
        (
            lambda: varma_to_state_space(PHI, THETA[..., :1], SIGMA),
            r"moving_average must have shape \(q, D, D\) with D = 2: got \(2, 2, 1\)",
        ),
        (lambda: varma_to_state_space(PHI, THETA / 0, SIGMA), "moving_average must be finite: lag 1 is not"),
        (
            lambda: varma_to_state_space(PHI, THETA, -SIGMA),
            "noise_covariance must be positive definite: its smallest eigenvalue is -2.28",
        ),
        (
            lambda: varma_to_state_space(PHI, THETA, SIGMA[0]),
            r"noise_covariance must be square: got shape \(2,\)",
        ),
        (
            lambda: varma_to_state_space(torch.ones(1, 1, 1), torch.ones(0, 1, 1), torch.ones(1, 1)),
            "needs a transition of spectral radius below 1: got 1$",
        ),
        (
            lambda: stationary_covariance(torch.diag(torch.tensor([0.5, -1.5])), torch.eye(2)),
            "spectral radius below 1: got 1.5",
        ),
        (lambda: impulse_response(PHI[0, :1], PHI[0], 3), r"A must be square: got shape \(1, 2\)"),
        (
            lambda: impulse_response(PHI[0], PHI[0, :1], 3),
            r"B must have shape \(…, H, U\) = \(…, 2, U\) to follow A: got \(1, 2\)",
        ),
        (
            lambda: impulse_response(PHI[0], PHI[0], -1),
            "horizon must be a whole number of at least 0: got -1",
        ),
        (
            lambda: impulse_response(PHI[0], PHI[0], 2.0),
            "horizon must be a whole number of at least 0: got 2.0",
        ),
    ],
    ids=[
        "one lag without its axis",
        "not square lags",
        "infinite lag",
        "negative noise",
        "noise a vector",
        "unit root",
        "explosive",
        "A not square",
        "B of other states",
        "negative horizon",
        "fractional horizon",
    ],
)
def test_what_is_no_model_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
