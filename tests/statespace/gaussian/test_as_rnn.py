"""Linear recurrent networks against SciPy's linear systems, the Kalman filter and closed forms."""

import numpy as np
import pytest
import torch
from scipy import linalg, signal

from helpers.statespace import (
    LinearGaussian,
    LinearRNN,
    kalman_as_rnn,
    kalman_filter,
    state_space_to_linear_rnn,
    steady_state_covariance,
    varma_to_state_space,
)

EYE = torch.eye(2, dtype=torch.float64)


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def model(A, C, Q, R, B=None, m0=None):
    H = A.shape[-1]
    mean = torch.zeros(H, dtype=A.dtype, device=A.device) if m0 is None else m0
    return LinearGaussian(A, C, Q, R, mean, torch.eye(H, dtype=A.dtype, device=A.device), input=B)


def random_model(generator, H=3, D=2, U=None, radius=0.9):
    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator, device=generator.device)

    A = draw(H, H)
    A = radius * A / torch.linalg.eigvals(A).abs().max()
    Q, R = draw(H, H), draw(D, D)
    B = None if U is None else draw(H, U)
    return model(A, draw(D, H), Q @ Q.mT / H, R @ R.mT / D, B, draw(H))


def local_level(ratio):
    """A random walk of variance ``ratio`` seen through noise of variance 1."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return model(one, one, ratio * one, one)


def test_states_and_readout_are_those_of_scipys_linear_system(generator):
    """dlsim's x[k+1] = A x[k] + B u[k] starts with x[0]: its states are shifted by one."""
    system = random_model(generator, U=2)
    rnn = state_space_to_linear_rnn(system)
    u = torch.randn(4, 30, 2, dtype=torch.float64, generator=generator, device=generator.device)
    states = rnn(u[:, 1:])
    assert states.shape == (4, 29, 3)
    A, B, C, m0 = (
        part.cpu().numpy()
        for part in (system.transition, system.input, system.observation, system.initial_mean)
    )
    for series in range(4):
        drive = u[series, 1:].cpu().numpy()
        _, y, x = signal.dlsim((A, B, C, np.zeros((2, 2)), 1), np.vstack([drive, 0 * drive[:1]]), x0=m0)
        np.testing.assert_allclose(states[series].detach().cpu(), x[1:], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(rnn.readout(states)[series].detach().cpu(), y[1:], rtol=1e-10, atol=1e-10)


def test_without_input_the_state_only_decays():
    A = double([0.5, 1.0], [0.0, 0.25])
    rnn = state_space_to_linear_rnn(model(A, EYE, EYE, EYE, m0=double(1.0, 2.0)))
    last = rnn(torch.zeros(1, 7, 0, dtype=torch.float64))[0, -1].detach()
    expected = linalg.fractional_matrix_power(A.numpy(), 7) @ [1.0, 2.0]
    torch.testing.assert_close(last, torch.as_tensor(expected), rtol=1e-12, atol=1e-14)


def test_a_state_given_beats_the_models_own():
    rnn = LinearRNN(0.5 * EYE, EYE, EYE, h0=double(8.0, 8.0))
    x = torch.zeros(2, 1, 2, dtype=torch.float64)
    assert rnn(x)[0, 0].tolist() == [4.0, 4.0]
    assert rnn(x, h0=double([2.0, 0.0], [0.0, 6.0]))[:, 0].tolist() == [[1.0, 0.0], [0.0, 3.0]]
    assert rnn(x[:, :0]).shape == (2, 0, 2)


@pytest.mark.parametrize("ratio", [1e-6, 0.1, 1.0, 50.0])
def test_gain_of_the_local_level(ratio):
    """P² - qP - q = 0 for the predicted variance P of a random walk, and K = P / (P + 1)."""
    P = (ratio + (ratio**2 + 4 * ratio) ** 0.5) / 2
    rnn = kalman_as_rnn(local_level(ratio))
    torch.testing.assert_close(rnn.W_xh.detach(), double([P / (P + 1)]), rtol=1e-12, atol=0)
    torch.testing.assert_close(rnn.W_hh.detach(), double([1 / (P + 1)]), rtol=1e-12, atol=0)


def test_exponential_smoothing_is_the_local_levels_filter(generator):
    """SciPy's recursive filter h_t = K y_t + (1 - K) h_{t-1}."""
    rnn = kalman_as_rnn(local_level(0.5))
    K = rnn.W_xh.item()
    y = torch.randn(1, 40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = signal.lfilter([K], [1, K - 1], y[0, :, 0].numpy())
    np.testing.assert_allclose(rnn(y)[0, :, 0].detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("radius", [0.3, 0.99, 1.3])
def test_riccati_equation_is_solved_as_scipy_solves_it(radius, generator):
    for _ in range(5):
        m = random_model(generator, H=4, radius=radius)
        A, C, Q, R = m.transition, m.observation, m.transition_covariance, m.observation_covariance
        P = steady_state_covariance(A, C, Q, R).cpu()
        expected = linalg.solve_discrete_are(A.cpu().mT, C.cpu().mT, Q.cpu(), R.cpu())
        np.testing.assert_allclose(P, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("radius", [0.9, 1.1])
def test_hidden_state_is_the_filtered_mean_after_the_transient(radius, generator):
    m = random_model(generator, radius=radius)
    rnn = kalman_as_rnn(m)
    steps = rnn.transient(1e-12)
    assert 1 < steps < 150
    y = torch.randn(3, steps + 20, 2, dtype=torch.float64, generator=generator, device=generator.device)
    mean = kalman_filter(m, y).mean
    states = rnn(y).detach()
    assert (states[:, 0] - mean[:, 0]).abs().max() > 1e-3
    torch.testing.assert_close(states[:, steps:], mean[:, steps:], rtol=0, atol=1e-10)


def test_a_state_seen_without_noise_has_a_steady_filter_too():
    """An invertible MA(1) by hand: K recovers the shock, and the shock times θ is the forecast."""
    theta = 0.6
    ma = varma_to_state_space(double().reshape(0, 1, 1), double([[theta]]), double([1.0]))
    rnn = kalman_as_rnn(ma)
    torch.testing.assert_close(rnn.W_xh.detach(), double([1.0], [theta]), rtol=0, atol=1e-12)
    y = torch.randn(1, 80, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    shocks = signal.lfilter([1.0], [1.0, theta], y[0, :, 0].numpy())
    np.testing.assert_allclose(rnn(y)[0, :, 1].detach(), theta * shocks, rtol=0, atol=1e-12)


def test_transient_is_the_first_step_of_small_norm():
    W = double([0.9, 5.0], [0.0, 0.8])
    rnn = LinearRNN(W, EYE, EYE, EYE[0])
    norms = [np.linalg.norm(np.linalg.matrix_power(W.numpy(), t), 2) for t in range(400)]
    for tolerance in (1e-3, 1e-10):
        assert rnn.transient(tolerance) == next(t for t, norm in enumerate(norms) if norm <= tolerance)
    assert LinearRNN(0 * W, EYE, EYE, EYE[0]).transient() == 1


def test_it_learns_by_backpropagation(generator):
    """The gradient of every weight, through time."""
    rnn = state_space_to_linear_rnn(random_model(generator, U=1))
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in rnn.named_parameters()}
    x = torch.randn(2, 4, 1, dtype=torch.float64, generator=generator, device=generator.device)

    def output(*values):
        states = torch.func.functional_call(rnn, dict(zip(weights, values, strict=True)), (x,))
        return states @ values[list(weights).index("W_hy")].T

    assert set(weights) == {"W_hh", "W_xh", "W_hy", "h0"}
    assert torch.autograd.gradcheck(output, tuple(weights.values()))


def test_one_bad_series_leaves_the_others_alone(generator):
    rnn = kalman_as_rnn(random_model(generator))
    y = torch.randn(3, 10, 2, dtype=torch.float64, generator=generator, device=generator.device)
    broken = y.clone()
    broken[1, 4] = torch.nan
    torch.testing.assert_close(rnn(broken)[[0, 2]], rnn(y)[[0, 2]], rtol=0, atol=0)
    assert rnn(broken)[1, 4:].isnan().all() and not rnn(broken)[1, :4].isnan().any()


@pytest.mark.parametrize(
    "system, message",
    [
        (
            model(torch.diag(double(1.2, 0.5)), double([0.0, 1.0]), EYE, EYE[:1, :1]),
            r"eigenvalue 1.2\+0j is not seen in the observations \(not detectable\)",
        ),
        (
            model(
                torch.diag(double(1.0, 0.5)), double([1.0, 1.0]), torch.diag(double(0.0, 1.0)), EYE[:1, :1]
            ),
            r"eigenvalue 1\+0j receives no noise \(not stabilisable\)",
        ),
        (
            model(
                torch.diag(double(2.0, 0.5)), double([1.0, 1.0]), torch.diag(double(0.0, 1.0)), EYE[:1, :1]
            ),
            r"eigenvalue 2\+0j receives no noise \(not stabilisable\)",
        ),
        (
            model(EYE, EYE, 0 * EYE, torch.diag(double(1.0, 0.0))),
            "C Q C' \\+ R must be positive definite: its smallest eigenvalue is 0",
        ),
        (model(EYE, EYE, EYE, EYE, B=EYE), "model.input must be None: the network's only input is y"),
        (
            model(EYE.repeat(3, 1, 1), EYE, EYE, EYE),
            r"transition must be the same for all series and steps, with 2 dimensions: got shape \(3, 2, 2\)",
        ),
        (
            model(EYE, EYE, EYE, EYE, m0=torch.zeros(5, 2, dtype=torch.float64)),
            r"initial_mean must be the same for all series and steps, with 1 dimension: got shape \(5, 2\)",
        ),
    ],
    ids=[
        "not detectable",
        "unit root without noise",
        "explosive without noise",
        "observed without noise",
        "inputs",
        "A per step",
        "m0 per series",
    ],
)
def test_models_without_a_steady_filter_are_refused(system, message):
    with pytest.raises(ValueError, match=message):
        kalman_as_rnn(system)


def test_wrong_arguments_are_refused():
    rnn = LinearRNN(EYE, EYE, EYE, EYE[0])
    x = torch.zeros(2, 3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"x must have shape \(B, T, D\) = \(B, T, 2\): got \(2, 3, 1\)"):
        rnn(x[..., :1])
    with pytest.raises(
        ValueError, match="x must have the dtype of the weights: got torch.float32 and torch.float64"
    ):
        rnn(x.float())
    with pytest.raises(ValueError, match=r"h0 must have shape \(B, H\) = \(2, 2\): got \(2,\)"):
        rnn(x, h0=x[0, 0])
    with pytest.raises(ValueError, match="tolerance must lie strictly between 0 and 1: got 2"):
        rnn.transient(2)
    with pytest.raises(ValueError, match="only if the spectral radius of W_hh is below 1: got 1"):
        rnn.transient()
