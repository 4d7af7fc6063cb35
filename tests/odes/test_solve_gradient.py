"""Gradients through the steps: gradcheck, closed forms, sensitivity equations, torchdiffeq."""

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, ORDER, double, times
from scipy.integrate import solve_ivp
from torch.autograd import gradcheck, gradgradcheck
from torchdiffeq import odeint

from helpers.odes import solve

T = double(0.0, 0.4, 1.0)


def logistic(rate, capacity):
    """Growth slowed by a clock: y' = r (1 + cos t) y (1 - y/K)."""
    return lambda t, y: rate * (1 + torch.cos(t)).unsqueeze(-1) * y * (1 - y / capacity)


def logistic_solution(y0, rate, capacity, t):
    """K / (1 + (K/y0 - 1) exp(-r (t + sin t))) from t = 0, shape (B, T, D); t is (T,)."""
    decay = torch.exp(-rate.unsqueeze(-2) * (t + t.sin()).unsqueeze(-1))
    capacity, y0 = capacity.unsqueeze(-2), y0.unsqueeze(-2)
    return capacity / (1 + (capacity / y0 - 1) * decay)


def requiring_gradient(*tensors):
    return tuple(tensor.clone().requires_grad_() for tensor in tensors)


def per_sample_logistic():
    """Start, rate and capacity of three samples, two entries each."""
    return requiring_gradient(
        double([0.3, 0.5], [0.9, 0.2], [1.2, 2.0]),
        double([1.0, 2.0], [0.5, 0.8], [1.5, 0.1]),
        double([1.0, 3.0], [2.0, 1.5], [1.0, 1.0]),
    )


@pytest.mark.parametrize("method", FIXED)
def test_gradcheck_of_fixed_steps(method):
    y0, rate, capacity = per_sample_logistic()
    shared = double(0.7).requires_grad_()

    def outputs(y0, rate, shared):
        return solve(logistic(rate * shared, capacity.detach()), y0, T, method=method, step=0.3).y

    assert gradcheck(outputs, (y0, rate, shared))


@pytest.mark.parametrize(
    "method, per_sample", [("dopri5", True), ("dopri5", False), ("tsit5", True), ("dopri8", True)]
)
def test_gradcheck_of_adaptive_steps(method, per_sample):
    """So tight a tolerance that what finite differences see of the steps themselves is below theirs."""
    y0, rate, capacity = per_sample_logistic()
    shared = double(0.7).requires_grad_()

    def outputs(y0, rate, shared):
        field = logistic(rate * shared, capacity.detach())
        return solve(field, y0, T, method=method, rtol=1e-11, atol=1e-12, per_sample=per_sample).y

    assert gradcheck(outputs, (y0, rate, shared), eps=1e-4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_gradient_equals_the_closed_forms(method):
    """At many outputs, several to a step, so that the gradient of the dense output counts."""
    t = times(0.0, 3.0, 31)
    weights = torch.randn(3, 31, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, exact = per_sample_logistic(), per_sample_logistic()
    tolerance = {2: 1e-5, 3: 1e-7}.get(ORDER[method], 1e-9)
    solution = solve(logistic(*ours[1:]), ours[0], t, method=method, rtol=tolerance, atol=tolerance)
    (solution.y * weights).sum().backward()
    (logistic_solution(*exact, t) * weights).sum().backward()
    for leaf, expected in zip(ours, exact, strict=True):
        torch.testing.assert_close(leaf.grad, expected.grad, rtol=1e3 * tolerance, atol=1e3 * tolerance)


@pytest.mark.parametrize("direction", [1, -1], ids=["forwards", "backwards"])
def test_gradient_equals_the_sensitivity_equations(direction):
    """S' = ∂f/∂y S + ∂f/∂(y0, α) beside y' = f, for x' = α x - x z, z' = x z - z; SciPy solves both."""

    def augmented(t, state):
        (x, z), S = state[:2], state[2:].reshape(2, 3)
        jacobian = double([alpha.item() - z, -x], [z, x - 1]).numpy()
        S_slope = jacobian @ S
        S_slope[0, 2] += x
        return [alpha.item() * x - x * z, x * z - z, *S_slope.reshape(-1)]

    y0, alpha = requiring_gradient(double([1.5, 1.0]), double(1.3).squeeze())
    end = 5.0 * direction
    start = [1.5, 1.0, 1, 0, 0, 0, 1, 0]
    answer = solve_ivp(augmented, (0, end), start, "DOP853", [end], rtol=1e-12, atol=1e-13)
    expected = torch.from_numpy(answer.y[2:, 0]).reshape(2, 3)

    def field(t, y):
        x, z = y.unbind(-1)
        return torch.stack((alpha * x - x * z, x * z - z), dim=-1)

    state = solve(field, y0, double(0.0, end), rtol=1e-10, atol=1e-10).y[0, -1]
    for k in range(2):
        of_y0, of_alpha = torch.autograd.grad(state[k], (y0, alpha), retain_graph=True)
        actual = torch.cat((of_y0.squeeze(0), of_alpha.reshape(1)))
        torch.testing.assert_close(actual, expected[k], rtol=1e-7, atol=1e-7)


class SmallNetwork(torch.nn.Module):
    """Two tanh layers, the same parameters for all samples; t is a number or (B,)."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.utils.skip_init(torch.nn.Linear, 2, 8, dtype=torch.float64)
        self.outer = torch.nn.utils.skip_init(torch.nn.Linear, 8, 2, dtype=torch.float64)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 0.5, generator=generator)

    def forward(self, t, y):
        return self.outer(torch.tanh(self.inner(y))) * torch.cos(t).reshape(-1, 1)


def gradients(network, y0, outputs):
    """Of the mean square of the outputs, for the start and for every parameter."""
    return torch.autograd.grad(outputs.square().mean(), (y0, *network.parameters()))


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_gradient_equals_torchdiffeqs(per_sample, method):
    """Its own backpropagation through the steps of dopri5."""
    network, t = SmallNetwork(), times(0.0, 4.0, 15)
    generator = torch.Generator().manual_seed(4)
    y0 = torch.randn(6, 2, dtype=torch.float64, generator=generator).requires_grad_()
    ours = solve(network, y0, t, method=method, rtol=1e-9, atol=1e-10, per_sample=per_sample).y
    theirs = odeint(network, y0, t, method="dopri5", rtol=1e-9, atol=1e-10).movedim(0, 1)
    for actual, expected in zip(gradients(network, y0, ours), gradients(network, y0, theirs), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)


def test_gradient_of_fixed_steps_equals_torchdiffeqs():
    network, t = SmallNetwork(), times(0.0, 4.0, 15)
    y0 = double([1.0, 0.2], [0.3, -0.7]).requires_grad_()
    ours = solve(network, y0, t, method="midpoint").y
    theirs = odeint(network, y0, t, method="midpoint").movedim(0, 1)
    for actual, expected in zip(gradients(network, y0, ours), gradients(network, y0, theirs), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_gradient_of_a_sample_is_the_same_alone_and_in_a_crowd(method):
    y0, rate, capacity = per_sample_logistic()
    solve(logistic(rate, capacity), y0, T, method=method).y.square().sum().backward()
    for k in range(3):
        own = requiring_gradient(*(leaf.detach()[k : k + 1] for leaf in (y0, rate, capacity)))
        solve(logistic(*own[1:]), own[0], T, method=method).y.square().sum().backward()
        for leaf, alone in zip((y0, rate, capacity), own, strict=True):
            torch.testing.assert_close(leaf.grad[k : k + 1], alone.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["rk4", "bosh3", "dopri5", "tsit5", "dopri8"])
def test_gradient_through_the_interpolant(method):
    y0, rate, capacity = per_sample_logistic()
    exact = per_sample_logistic()
    how = {"step": 5e-3} if method == "rk4" else {"rtol": 1e-9, "atol": 1e-9}
    t = double(0.11, 0.55, 0.93)
    solve(logistic(rate, capacity), y0, T, method=method, **how).interpolant(t).square().sum().backward()
    logistic_solution(*exact, t).square().sum().backward()
    for leaf, expected in zip((y0, rate, capacity), exact, strict=True):
        torch.testing.assert_close(leaf.grad, expected.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_gradient_of_the_first_output_is_that_of_the_start(method):
    y0, rate, capacity = per_sample_logistic()
    start = solve(logistic(rate, capacity), y0, T, method=method).y[:, 0]
    assert torch.autograd.grad(start.sum(), y0)[0].equal(torch.ones_like(y0))


def test_gradient_of_a_gradient():
    """d²y/dy0² of y' = y² is that of y0 / (1 - t y0): 2t / (1 - t y0)³."""
    y0 = double([0.5], [-1.0]).requires_grad_()
    end = solve(lambda t, y: y**2, y0, double(0.0, 1.0), rtol=1e-10, atol=1e-10).y[:, -1]
    (first,) = torch.autograd.grad(end.sum(), y0, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), y0)
    torch.testing.assert_close(first, (1 - y0) ** -2, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(second, 2 * (1 - y0) ** -3, rtol=1e-6, atol=1e-6)


def leak_gradient(first_step):
    """Of the end of y' = 1 - θ √y, for its two starts and for θ; and how many steps were rejected."""
    y0, leak = requiring_gradient(double([4.0], [9.0]), double(1.0).squeeze())
    t = double(0.0, 10.0)
    solution = solve(lambda t, y: 1 - leak * y.sqrt(), y0, t, rtol=1e-8, atol=1e-8, first_step=first_step)
    return torch.autograd.grad(solution.y[:, -1].sum(), (y0, leak)), solution.stats.rejected


def test_a_rejected_step_that_overflowed_does_not_spoil_the_gradient():
    """A trial of one step from 0 to 10 leaves the domain of √y; the steps that were taken do not."""
    rash, rejected = leak_gradient(first_step=10.0)
    assert (rejected > 0).all()
    careful, _ = leak_gradient(first_step=1e-3)
    torch.testing.assert_close(rash, careful, rtol=1e-5, atol=1e-6)


def test_no_graph_without_gradients():
    network = SmallNetwork()
    y0 = double([1.0, 0.2]).requires_grad_()
    with torch.no_grad():
        solution = solve(network, y0, T)
        within = solution.interpolant(double(0.1, 0.2))
    for result in (solution.y, within, solution.interpolant(double(0.1, 0.2))):
        assert not result.requires_grad and result.grad_fn is None
    free = solve(lambda t, y: -y, y0.detach(), T)
    assert not free.y.requires_grad and not free.interpolant(double(0.1)).requires_grad


def test_stats_and_status_are_not_differentiated():
    y0 = double([1.0, 0.2]).requires_grad_()
    solution = solve(lambda t, y: -y, y0, T)
    stats = solution.stats
    for result in (solution.status, stats.accepted, stats.rejected, stats.evaluations):
        assert not result.requires_grad


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_an_interpolant_asked_without_a_graph_gives_the_same_gradient_later(method):
    def gradient(asked_before):
        rate = double(1.0).requires_grad_()
        solution = solve(lambda t, y: -rate * y, double([1.0]), double(0.0, 1.0), method=method)
        between = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
        if asked_before:
            with torch.no_grad():
                solution.interpolant(between)
        return torch.autograd.grad(solution.interpolant(between).sum(), rate)[0]

    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-14, atol=0)


def driven(rate):
    """y' = r cos(t) (1 - y²) + t/5: neither linear nor autonomous."""
    return lambda t, y: rate * torch.cos(t).unsqueeze(-1) * (1 - y.square()) + t.unsqueeze(-1) / 5


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_gradcheck_by_the_times(method):
    """First and second derivatives by outputs, first time, start and parameter, and the mixed ones."""
    how = {"step": 0.005} if method == "rk4" else {"rtol": 1e-11, "atol": 1e-12}
    t = double([0.0, 0.4, 1.0], [1.0, 0.3, 0.2]).requires_grad_()
    y0, rate = requiring_gradient(double([0.3, -0.2], [0.9, 0.1]), double(0.7))

    def outputs(t, y0, rate):
        return solve(driven(rate), y0, t, method=method, **how).y

    assert gradcheck(outputs, (t, y0, rate), eps=1e-5, atol=1e-6)
    if method != "rk4":
        assert gradgradcheck(outputs, (t, y0, rate), eps=1e-5, atol=1e-5)


def test_gradient_by_the_times_in_closed_form():
    """y = y0 exp(-k (t - t0)), shared times: -k y at an output; k y, of every output, to the first time."""
    rate = double([0.5], [2.0])
    t, y0 = requiring_gradient(double(0.3, 1.0, 2.5), double([1.0], [3.0]))
    solution = solve(lambda t, y: -rate * y, y0, t, rtol=1e-9)
    weights = double([2.0, -1.0, 0.5], [1.0, 3.0, 0.7])
    (solution.y[..., 0] * weights).sum().backward()
    exact = y0.detach() * torch.exp(-rate * (t.detach() - 0.3))
    by_outputs = (weights * -rate * exact).sum(0)
    by_outputs[0] -= (weights * -rate * exact).sum()
    torch.testing.assert_close(t.grad, by_outputs, rtol=1e-7, atol=1e-9)


def test_the_interpolant_has_a_gradient_by_its_times():
    t = double(0.2, 1.7, 3.0).requires_grad_()
    y = solve(driven(0.7), double([0.3, -0.2]), double(0.0, 3.0), rtol=1e-10).interpolant(t)
    (slopes,) = torch.autograd.grad(y[0, :, 1].sum(), t)
    torch.testing.assert_close(slopes, driven(0.7)(t, y[0]).detach()[:, 1], rtol=1e-10, atol=0)
    with torch.no_grad():
        assert not solve(driven(0.7), double([0.3, -0.2]), t).y.requires_grad


def test_padding_adds_to_the_gradient_of_the_last_time():
    t = double([0.0, 1.0, 2.0], [0.0, 1.5, 9.0]).requires_grad_()
    y = solve(lambda t, y: -y, double([1.0], [1.0]), t, lengths=torch.tensor([3, 2]), rtol=1e-9).y
    y[1, 2].sum().backward()
    torch.testing.assert_close(t.grad[1], double(1.0, -1.0, 0.0) * torch.exp(double(-1.5)), rtol=1e-6, atol=0)


def test_times_of_a_sample_that_failed_have_no_gradient():
    """y' = y² ends at t = 1/y0; the other sample's gradients are its own."""
    t, y0 = requiring_gradient(double(0.0, 0.5, 1.5), double([1.0], [0.25]))
    y = solve(lambda t, y: y.square(), y0, t, on_failure="return", rtol=1e-9).y
    y[1].sum().backward()
    slopes = (1 / (4 - t.detach())).square()
    torch.testing.assert_close(t.grad, torch.cat((-slopes[1:].sum(0, True), slopes[1:])), rtol=1e-6, atol=0)
    assert y[0, 2].isnan().all() and y0.grad.isfinite().all()
