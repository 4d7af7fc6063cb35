"""The replayed gradient is that of autograd through the steps, in every situation, and in little memory."""

import gc
import weakref

import pytest
import torch
from gradient_problems import (
    WAYS_BACK,
    Pulsed,
    assert_same,
    gradients_of,
    logistic,
    per_sample_logistic,
    starts,
    weighted,
)
from ode_problems import FIXED, double, times
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.fields import ControlledField, LinearInterpolation, MLPField, ZeroOrderHold
from helpers.odes import TABLEAUX, AdjointReport, solve
from helpers.odes.checkpoints import optimal_advances
from helpers.systems import LotkaVolterra


def how_of(method):
    if method in FIXED:
        return {"method": method, "step": 0.11}
    return {"method": method, "rtol": 1e-3 if method == "heun" else 1e-5, "atol": 1e-7}


@pytest.mark.parametrize("checkpoints", [2, 3, 7, 64])
@pytest.mark.parametrize("method", TABLEAUX)
def test_it_equals_direct(method, checkpoints):
    field, y0, t = Pulsed(), starts(), times(0.0, 4.0, 13)
    inputs = (y0, *field.parameters())
    for per_sample in (True, False):
        how = {**how_of(method), "per_sample": per_sample}
        expected = gradients_of(inputs, "direct", field, y0, t, **how)
        assert_same(gradients_of(inputs, "replay", field, y0, t, checkpoints=checkpoints, **how), expected)


def test_two_checkpoints_and_ten_thousand_steps():
    """y' = -r y by Euler's method: (1 - r h)^n exactly, and its derivative."""
    steps, rate = 10_000, double(0.7).requires_grad_()
    y0, t = double([1.3]).requires_grad_(), double(0.0, 5.0)
    how = {"method": "euler", "step": 5.0 / steps, "max_steps": steps}
    solution = solve(lambda t, y: -rate * y, y0, t, gradient="replay", checkpoints=2, **how)
    by_y0, by_rate = torch.autograd.grad(solution.y[0, 1].sum(), (y0, rate))
    factor = 1 - 0.7 * 5.0 / steps
    torch.testing.assert_close(by_y0, double([factor**steps]), rtol=1e-12, atol=0)
    torch.testing.assert_close(by_rate, -5.0 * 1.3 * double(factor ** (steps - 1)), rtol=1e-12, atol=0)
    report = solution.adjoint_report
    assert report.steps == optimal_advances(steps, 2) + 1 and report.stored_states <= 3


@pytest.mark.parametrize("checkpoints", [2, 5, 64])
def test_the_report_counts(checkpoints):
    """Known steps: as many as the optimum; unknown: within twice."""
    field, y0, t = Pulsed(), starts(), times(0.0, 4.0, 31)
    fixed = solve(field, y0, t, method="rk4", gradient="replay", checkpoints=checkpoints)
    adaptive = solve(field, y0, t, rtol=1e-9, gradient="replay", checkpoints=checkpoints)
    assert fixed.adjoint_report is None
    for solution in (fixed, adaptive):
        weighted(solution.y).backward()
        assert isinstance(solution.adjoint_report, AdjointReport)
        assert solution.adjoint_report.stored_states <= checkpoints + 1
    assert fixed.adjoint_report.steps == optimal_advances(30, checkpoints) + 1
    assert fixed.adjoint_report.evaluations == 4 * fixed.adjoint_report.steps
    steps = adaptive.interpolant.dense.steps
    assert steps > 20
    assert adaptive.adjoint_report.steps <= 2 * (optimal_advances(steps, checkpoints) + 1)
    assert solve(field, y0, t).adjoint_report is None


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made within held at one time."""

    def __init__(self):
        super().__init__()
        self.live, self.most, self.sizes = 0, 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor)
        return result

    def _note(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.sizes:
            self.sizes[key] = [storage.nbytes(), 0]
            self.live += storage.nbytes()
            self.most = max(self.most, self.live)
        self.sizes[key][1] += 1
        weakref.finalize(tensor, self._forget, key)

    def _forget(self, key):
        self.sizes[key][1] -= 1
        if not self.sizes[key][1]:
            self.live -= self.sizes.pop(key)[0]


def most_bytes(steps, gradient, adaptive):
    """Of a solution and its gradient, in so many steps."""
    field = torch.nn.Linear(300, 300, dtype=torch.float64)
    with torch.no_grad():
        field.weight.copy_(-torch.eye(300)).add_(0.01)
    y0 = torch.linspace(-1, 1, 600, dtype=torch.float64).reshape(2, 300).requires_grad_()
    how = (
        {"method": "bosh3", "max_step": 1 / steps} if adaptive else {"method": "midpoint", "step": 1 / steps}
    )
    gc.collect()
    with LiveBytes() as memory:
        answers = solve(
            lambda t, y: torch.tanh(field(y)), y0, times(0.0, 1.0, 5), gradient=gradient, checkpoints=8, **how
        ).y
        answers.square().mean().backward()
    return memory.most


@pytest.mark.parametrize("adaptive", [False, True], ids=["fixed steps", "adaptive steps"])
def test_memory_is_flat_in_the_number_of_steps(adaptive):
    """From 100 to 1000 steps: beside a state of 4800 bytes, the time of a step is 8."""
    few, many = (most_bytes(steps, "replay", adaptive) for steps in (100, 1000))
    assert many < 1.1 * few
    assert most_bytes(1000, "direct", adaptive) > 5 * few


# Whatever can be solved can be replayed.


def test_per_sample_parameters():
    y0, rate, capacity = per_sample_logistic()
    inputs, field = (y0, rate, capacity), logistic(rate, capacity)
    t = times(0.0, 2.0, 7)
    assert_same(gradients_of(inputs, "replay", field, y0, t), gradients_of(inputs, "direct", field, y0, t))


@pytest.mark.parametrize("way", ["forwards", "backwards"])
def test_times_of_each_sample_with_lengths_and_repeats(way):
    """A sample of one time, one whose times are the same, repeated ones; and gradients by the times."""
    t = double(
        [0.0, 0.0, 0.7, 0.7, 1.9, 2.0],
        [0.3, 0.5, 0.6, 1.0, 9.0, 9.0],
        [1.0, 9.0, 9.0, 9.0, 9.0, 9.0],
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    )
    t = (t if way == "forwards" else -t).requires_grad_()
    field, y0, lengths = Pulsed(), starts(4), torch.tensor([6, 4, 1, 6])
    inputs = (y0, t, *field.parameters())
    for method in ("dopri5", "dopri8", "rk4"):
        how = {"method": method, "lengths": lengths, "checkpoints": 2}
        expected = gradients_of(inputs, "direct", field, y0, t, **how)
        assert_same(gradients_of(inputs, "replay", field, y0, t, **how), expected)


@pytest.mark.parametrize("gradient", WAYS_BACK)
@pytest.mark.parametrize("t", [(0.7,), (1.0, 1.0), (0.0, 2.0)], ids=["one time", "no span", "one answer"])
def test_few_times(t, gradient):
    """Where no step is taken the answers are the start, and parameters have no gradient, or zeros."""
    field, y0, t = Pulsed(), starts(), double(*t)
    y, by_y0, *by_parameters = gradients_of((y0, *field.parameters()), gradient, field, y0, t)
    expected = gradients_of((y0, *field.parameters()), "direct", field, y0, t)
    assert_same((y, by_y0), expected[:2], rtol=1e-6, atol=1e-6)
    for ours, other in zip(by_parameters, expected[2:], strict=True):
        torch.testing.assert_close(
            *(double(0.0) if x is None else x for x in (ours, other)), rtol=1e-5, atol=1e-5
        )


def test_states_of_several_parts():
    rate = double(0.4).requires_grad_()

    def field(t, y):
        return {"prey": rate * y["prey"] - y["hunter"][:, None], "hunter": y["prey"].mean(1) - rate**2}

    y0 = {"prey": starts(2), "hunter": double(0.3, 0.2).requires_grad_()}
    inputs = (*y0.values(), rate)

    def outcome(gradient):
        y = solve(field, y0, times(0.0, 2.0, 5), gradient=gradient, checkpoints=3).y
        return torch.autograd.grad(weighted(y["prey"]) + weighted(y["hunter"]), inputs)

    assert_same(outcome("replay"), outcome("direct"))


def test_one_state_without_a_batch():
    rate, y0 = double(0.4).requires_grad_(), double(1.0, 2.0).requires_grad_()
    inputs = (y0, rate)

    def field(t, y):
        return -rate * y * torch.cos(t)

    t = double(0.0, 1.0, 2.0)
    assert_same(gradients_of(inputs, "replay", field, y0, t), gradients_of(inputs, "direct", field, y0, t))


def test_single_precision():
    field, y0, t = Pulsed(torch.float32), starts(dtype=torch.float32), torch.linspace(0, 4, 9)
    inputs = (y0, *field.parameters())
    expected = gradients_of(inputs, "direct", field, y0, t, rtol=1e-4, atol=1e-5)
    actual = gradients_of(inputs, "replay", field, y0, t, rtol=1e-4, atol=1e-5, checkpoints=3)
    assert all(each.dtype == torch.float32 for each in actual)
    assert_same(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("held", [ZeroOrderHold, LinearInterpolation], ids=["held", "interpolated"])
def test_a_driven_field_with_breaks_and_learnt_inputs(held):
    samples = torch.nn.Parameter(double([0.0], [1.0], [-0.5], [0.3]))
    inner = MLPField(2, 6, 1, inputs=1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field = ControlledField(inner, held(double(0.0, 0.8, 1.4, 3.0), samples))
    y0, t = starts(), times(0.0, 3.0, 6)
    inputs = (y0, *field.parameters())
    assert len(inputs) > 4
    for method in ("dopri5", "dopri8", "midpoint"):
        how = {"method": method, "checkpoints": 4}
        expected = gradients_of(inputs, "direct", field, y0, t, **how)
        assert_same(gradients_of(inputs, "replay", field, y0, t, **how), expected)


def test_a_known_system():
    rates = double(1.1, 0.9, 1.3).requires_grad_()
    system = LotkaVolterra(alpha=rates, beta=0.5, delta=0.3, gamma=0.8)
    y0, t = double([1.0, 0.5], [2.0, 1.0], [0.3, 0.4]).requires_grad_(), times(0.0, 4.0, 9)
    inputs = (y0, rates)
    assert_same(gradients_of(inputs, "replay", system, y0, t), gradients_of(inputs, "direct", system, y0, t))


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_the_interpolant(method):
    field, y0 = Pulsed(), starts()
    inputs, between = (y0, *field.parameters()), double(0.05, 3.9, 1.3, 1.3, 0.0, 4.0)

    def outcome(gradient):
        how = {"method": method, "checkpoints": 3, "gradient": gradient}
        solution = solve(field, y0, times(0.0, 4.0, 5), **how)
        answers = solution.interpolant(between)
        return answers, *torch.autograd.grad(weighted(answers) + weighted(solution.y), inputs)

    assert_same(outcome("replay"), outcome("direct"))


# What failed.


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_a_sample_that_fails_leaves_the_others_their_gradients(per_sample):
    """y' = r y² ends at t = 1/(r y0); a start at which the field is NaN never moves."""

    def outcome(gradient, chosen):
        y0 = double([1.0], [0.25], [-1.0], [0.3])[chosen].requires_grad_()
        rate = double(1.0).requires_grad_()
        how = {"on_failure": "return", "per_sample": per_sample}

        def field(t, y):
            return rate * y.square() + 0 * y.clamp(min=-0.9).add(0.9).sqrt().log()

        solution = solve(field, y0, double(0.0, 0.5, 1.5), gradient=gradient, **how)
        y = solution.y
        return solution.status, *torch.autograd.grad(y.nan_to_num(0.0).sum(), (y0, rate))

    crowd = outcome("replay", [0, 1, 2, 3])
    assert crowd[0].ne(0).tolist() == [True, False, True, False]
    assert crowd[1].isfinite().all() and crowd[2].isfinite()
    torch.testing.assert_close(crowd[1][2], double(1.0))  # of the first answer alone
    if per_sample:
        alone = outcome("replay", [1, 3])
        torch.testing.assert_close(crowd[1][[1, 3]], alone[1], rtol=1e-12, atol=0)
        assert_same(crowd[1:], outcome("direct", [0, 1, 2, 3])[1:])


def test_a_derivative_that_is_infinite_where_a_sample_waits():
    """√y has no derivative at 0, where the first sample begins and stays: its time does not go on."""
    y0, t = double([0.0], [4.0]).requires_grad_(), double([1.0, 1.0], [0.0, 1.0])
    y = solve(lambda t, y: y.sqrt(), y0, t, gradient="replay", rtol=1e-10).y
    (gradient,) = torch.autograd.grad(y[:, 1].sum(), y0)
    torch.testing.assert_close(gradient, double([1.0], [1.25]), rtol=1e-8, atol=0)  # y = (√y0 + t/2)²


# Which tensors a gradient goes to.


@pytest.mark.parametrize("gradient", WAYS_BACK)
class TestParameters:
    T = times(0.0, 1.0, 4)
    HOW = {"rtol": 1e-8, "atol": 1e-10}
    NEAR = {"rtol": 1e-5, "atol": 1e-6}

    def check(self, gradient, inputs, field, y0, **how):
        expected = gradients_of(inputs, "direct", field, y0, self.T, **self.HOW)
        assert_same(
            gradients_of(inputs, gradient, field, y0, self.T, **self.HOW, **how), expected, **self.NEAR
        )

    def test_of_a_closure_a_bound_method_and_a_module_within(self, gradient):
        network, rate = Pulsed(), double(0.3).requires_grad_()

        class Model:
            def slopes(self, t, y):
                return rate * network(t, y)

        y0 = starts()
        self.check(gradient, (y0, rate, *network.parameters()), Model().slopes, y0)

    def test_computed_outside(self, gradient):
        """An encoder's output: its gradient arrives at the output and at the encoder's weights, once."""
        weights, y0 = double(0.2, -0.4).requires_grad_(), starts()
        rates = torch.exp(weights)
        self.check(gradient, (y0, weights, rates), lambda t, y: -rates * y, y0)
        self.check(gradient, (y0, weights, rates), lambda t, y: -rates * y, y0, params=[rates])
        self.check(gradient, (y0, weights), lambda t, y: -rates * y, y0, params=[weights])

    def test_of_a_module_that_has_computed_something_from_its_parameters(self, gradient):
        """An encoder within the module, whose output f reads, gets its gradient once."""

        class Encoded(Pulsed):
            def __init__(self):
                super().__init__()
                self.encoder = torch.nn.Parameter(double(0.3, -0.2))
                self.context = self.encoder.exp()

            def forward(self, t, y):
                return super().forward(t, y) - self.context * y

        field, y0 = Encoded(), starts()
        self.check(gradient, (y0, *field.parameters()), field, y0)

    def test_unused_frozen_and_listed_ones(self, gradient):
        """One that f does not read has no gradient, as with autograd; a frozen one none either."""
        field, y0 = Pulsed(unused=True), starts()
        field.inner.bias.requires_grad_(False)
        inputs = [y0, *(p for p in field.parameters() if p.requires_grad)]
        self.check(gradient, inputs[:-1], field, y0)
        self.check(gradient, inputs, field, y0, params=field.parameters())
        answers = solve(field, y0.detach(), self.T, gradient=gradient).y
        weighted(answers).backward()
        assert field.idle.grad is None and field.inner.bias.grad is None and field.outer.bias.grad is not None

    def test_start_without_gradient(self, gradient):
        field, y0 = Pulsed(), starts().detach()
        self.check(gradient, tuple(field.parameters()), field, y0)

    def test_a_field_that_ignores_its_state(self, gradient):
        push, y0 = double(0.3, 0.1).requires_grad_(), starts()
        self.check(gradient, (y0, push), lambda t, y: push * torch.cos(t)[:, None] * torch.ones_like(y), y0)
        y0 = starts()
        self.check(gradient, (y0,), lambda t, y: torch.ones_like(y), y0)

    def test_one_that_is_read_in_the_middle_only_is_refused_or_named(self, gradient):
        y0, kick = starts(), double(0.5).requires_grad_()

        def field(t, y):
            return -y + kick if 0.4 < t[0] < 0.6 else -y

        with pytest.raises(
            ValueError, match=r"params must hold every tensor .* at t = 0\.\d+ .* shape \(1?,?\)"
        ):
            gradients_of((y0,), gradient, field, y0, self.T, method="rk4", step=0.05)
        how = {"method": "rk4", "step": 0.01}
        expected = gradients_of((y0, kick), "direct", field, y0, self.T, **how)
        actual = gradients_of((y0, kick), gradient, field, y0, self.T, params=[kick], **how)
        assert_same(actual, expected, rtol=0.1, atol=0.1)
        free = y0.detach()  # nothing else has a gradient
        (by_kick,) = gradients_of((kick,), gradient, field, free, self.T, **how)[1:]
        torch.testing.assert_close(by_kick, expected[2], rtol=0.1, atol=0.1)

    def test_a_named_one_that_does_not_suffice(self, gradient):
        rate, other, y0 = double(0.5).requires_grad_(), double(0.5).requires_grad_(), starts()
        with pytest.raises(ValueError, match=r"params must hold every tensor"):
            gradients_of((y0,), gradient, lambda t, y: -rate * other * y, y0, self.T, params=[rate])

    def test_one_computed_from_another_is_refused(self, gradient):
        rate, y0 = double(0.5).requires_grad_(), starts()
        square = rate.square()
        with pytest.raises(ValueError, match=r"params must not be computed from each other"):
            solve(lambda t, y: -rate * y + square, y0, self.T, gradient=gradient)

    @pytest.mark.parametrize(
        "params, message",
        [
            (3, r"params must be several tensors: got int"),
            (torch.ones(2), r"params must be several tensors, as \(theta,\): got a torch.float32 tensor"),
            ([1.0], r"params\[0\] must be a tensor: got float"),
        ],
        ids=["a number", "a tensor", "no tensors"],
    )
    def test_what_params_must_be(self, gradient, params, message):
        with pytest.raises(ValueError, match=message):
            solve(lambda t, y: -y, starts(), self.T, gradient=gradient, params=params)

    def test_second_derivatives_are_refused(self, gradient):
        """Also where the first is linear in the answers, and nothing would be missed."""
        y0, rate = starts(), double(0.5).requires_grad_()
        y = solve(lambda t, y: -rate * y, y0, self.T, gradient=gradient).y
        for loss in (y.sum(), y.square().sum()):
            with pytest.raises(ValueError, match=r'gradient must be "direct" for second derivatives'):
                torch.autograd.grad(loss, y0, create_graph=True)

    def test_no_graph_where_none_is_wanted(self, gradient):
        y0, rate = starts(), double(0.5).requires_grad_()
        for context in (torch.no_grad(), torch.inference_mode()):
            with context:
                solution = solve(lambda t, y: -rate * y, y0, self.T, gradient=gradient)
                assert not solution.y.requires_grad and not solution.interpolant(self.T).requires_grad
        free = solve(lambda t, y: -y, y0.detach(), self.T, gradient=gradient)
        assert not free.y.requires_grad

    def test_twice_back_and_changed_in_between(self, gradient):
        y0, rate = starts(), double(0.5).requires_grad_()
        y = solve(lambda t, y: -rate * y, y0, self.T, gradient=gradient).y
        first = torch.autograd.grad(y.sum(), (y0, rate), retain_graph=True)
        assert_same(torch.autograd.grad(y.sum(), (y0, rate), retain_graph=True), first)
        with torch.no_grad():
            rate.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(y.sum(), (y0, rate))

    def test_a_gradient_that_is_not_finite_stays_with_its_sample(self, gradient):
        """A loss that is NaN for one sample: its start and its own rate, as with `direct`."""
        y0, rate = starts(), double([0.3], [0.4], [0.5]).requires_grad_()

        def outcome(gradient):
            y = solve(lambda t, y: -rate * y, y0, self.T, gradient=gradient, **self.HOW).y
            return torch.autograd.grad(
                (y[:, 1:] * double(1.0, float("nan"), 2.0)[:, None, None]).sum(), (y0, rate)
            )

        actual, expected = outcome(gradient), outcome("direct")
        for ours, theirs in zip(actual, expected, strict=True):
            torch.testing.assert_close(ours, theirs, equal_nan=True, **self.NEAR)
            assert ours.isnan().any(1).tolist() == [False, True, False]

    def test_a_field_that_reads_its_own_start(self, gradient):
        y0 = starts()
        self.check(gradient, (y0,), lambda t, y: y0 - y, y0)

    def test_torch_func_is_told_no(self, gradient):
        """Its transforms need the graph of the steps."""

        def loss(rate):
            return solve(lambda t, y: -rate * y, starts().detach(), self.T, gradient=gradient).y.sum()

        with pytest.raises((ValueError, RuntimeError), match="direct|functorch"):
            torch.func.grad(loss)(double(0.5)[0])

    def test_the_scale_of_the_loss_does_not_matter(self, gradient):
        field, y0 = Pulsed(), starts()
        inputs = (y0, *field.parameters())
        y = solve(field, y0, self.T, gradient=gradient).y
        small, large = (
            torch.autograd.grad(scale * y.square().sum(), inputs, retain_graph=True)
            for scale in (1e-30, 1e30)
        )
        assert_same([each * 1e60 for each in small], large, rtol=1e-9, atol=1e15)


def test_a_field_that_is_not_the_same_again_is_refused():
    generator = torch.Generator().manual_seed(0)
    y0 = starts()

    def field(t, y):
        return -y + 0.1 * torch.randn(y.shape, dtype=y.dtype, generator=generator)

    y = solve(field, y0, times(0.0, 1.0, 5), gradient="replay", method="rk4").y
    with pytest.raises(ValueError, match=r"f must return the same slopes whenever it is asked .* dropout"):
        y.sum().backward()


@pytest.mark.parametrize("checkpoints", [1, 2.5, True], ids=str)
def test_how_many_checkpoints_there_can_be(checkpoints):
    with pytest.raises(ValueError, match=r"checkpoints must be a whole number of at least 2: got"):
        solve(lambda t, y: -y, starts(), times(0.0, 1.0, 4), gradient="replay", checkpoints=checkpoints)
