"""Where a solve runs: on each device of this machine, and compiled."""

import math

import pytest
import torch
import torch._inductor.config
from ode_problems import ADAPTIVE, FIXED, double, times
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler

from helpers.odes import solve
from helpers.odes.stepper import compile_function
from helpers.systems import ToggleSwitch


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_results_live_where_the_start_does(method, dtype, per_sample, device):
    alpha = torch.tensor([1.0, 3.0, 6.0], dtype=dtype, device=device)
    y0 = torch.tensor([[1.0, 2.0], [2.0, 0.1], [0.3, 0.4]], dtype=dtype, device=device)
    t = torch.linspace(0.0, 3.0, 5, dtype=dtype, device=device)
    how = {"rtol": 1e-4, "atol": 1e-5, "per_sample": per_sample}
    solution = solve(ToggleSwitch(alpha), y0, t, method=method, **how)
    results = (solution.y, solution.t, solution.interpolant(t[:2] + 0.1))
    assert all(result.device.type == device.type and result.dtype == dtype for result in results)
    stats = (solution.status, solution.stats.accepted, solution.stats.rejected, solution.stats.evaluations)
    assert all(count.device.type == device.type for count in stats)
    on_cpu = solve(ToggleSwitch(alpha.cpu()), y0.cpu(), t.cpu(), method=method, **how)
    torch.testing.assert_close(solution.y.cpu(), on_cpu.y, rtol=1e-3, atol=1e-3)


def test_gradients_on_the_device(device):
    y0 = double([1.0, 2.0]).to(device).requires_grad_()
    solve(lambda t, y: -y, y0, times(0.0, 1.0, 3).to(device)).y[:, -1].sum().backward()
    torch.testing.assert_close(y0.grad, torch.full_like(y0, -1.0).exp(), rtol=1e-5, atol=1e-6)


def test_a_failure_on_the_device(device):
    y0 = double([1.0], [0.1]).to(device)
    solution = solve(lambda t, y: y**2, y0, double(0.0, 2.0).to(device), on_failure="return")
    assert solution.y[0, 1].isnan().all() and solution.y[1, 1].item() == pytest.approx(1 / 8, rel=1e-4)


@pytest.fixture
def compiler():
    """The compiler that torch.compile would call; where there is none, the test is skipped."""
    try:
        return get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("no C++ compiler: torch.compile needs g++ or clang++ (or CXX)")


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_step_is_the_same_step(compiler):
    """Answers, gradients and counts, for a network that all samples share and a parameter of each."""
    network = torch.nn.Linear(2, 2, dtype=torch.float64, bias=False)
    with torch.no_grad():
        network.weight.copy_(double([-0.5, 2.0], [-2.0, -0.5]))
    y0, rate = double([1.0, 0.2], [0.3, -0.7], [2.0, 0.1]), double([0.5], [1.0], [2.0]).requires_grad_()

    def field(t, y):
        return rate * torch.tanh(network(y)) * torch.cos(t).unsqueeze(-1)

    def answer(**how):
        solution = solve(field, y0, times(0.0, 3.0, 5), method="bosh3", rtol=1e-4, **how)
        loss = solution.y.square().mean()
        return solution.y, *torch.autograd.grad(loss, (rate, network.weight)), solution.stats.accepted

    for actual, expected in zip(answer(compile=True), answer(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_with_breaks_and_without_second_derivatives(compiler):
    """Steps end at a jump as without; a gradient that shall be differentiated again is refused by name."""
    y0 = double([1.0, 0.2], [0.3, -0.7]).requires_grad_()

    def answer(**how):
        def field(t, y):
            return (t >= 0.5).to(y.dtype)[:, None] - torch.tanh(y)

        return solve(field, y0, double(0.0, 2.0), method="bosh3", rtol=1e-4, breaks=double(0.5), **how).y

    compiled = answer(compile=True)
    torch.testing.assert_close(compiled, answer(), rtol=1e-11, atol=1e-12)
    with pytest.raises(ValueError, match=r"compile must be False for second derivatives"):
        torch.autograd.grad(compiled.sum(), y0, create_graph=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_states_of_several_parts(compiler):
    def field(t, y):
        return {"gut": -y["gut"], "blood": y["gut"].sum(1) - 0.1 * y["blood"] + torch.cos(t)}

    y0 = {"gut": double([1.0, 0.2], [0.3, 0.7]).requires_grad_(), "blood": double(0.0, 1.0)}

    def answer(**how):
        blood = solve(field, y0, times(0.0, 3.0, 5), method="bosh3", rtol=1e-4, **how).y["blood"]
        return blood, *torch.autograd.grad(blood.square().mean(), y0["gut"])

    for actual, expected in zip(answer(compile=True), answer(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("gradient", ["replay", "adjoint"])
def test_compiled_and_back_another_way(compiler, gradient):
    rate = double([0.5], [1.0]).requires_grad_()

    def answer(**how):
        def field(t, y):
            return rate * torch.cos(t)[:, None] - torch.tanh(y)

        y0 = double([1.0, 0.2], [0.3, -0.7]).requires_grad_()
        y = solve(field, y0, times(0.0, 2.0, 4), method="bosh3", rtol=1e-6, **how).y
        return y, *torch.autograd.grad(y.square().sum(), (y0, rate))

    within = 1e-11 if gradient == "replay" else 1e-4
    for actual, expected in zip(answer(compile=True, gradient=gradient), answer(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=within, atol=within)


def test_without_a_compiler_the_message_says_so():
    compile_function.cache_clear()
    missing = torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)})
    with missing, pytest.raises(ValueError, match=r"compile=True needs a C\+\+ compiler.*CXX"):
        solve(lambda t, y: -y, double([1.0]), double(0.0, 1.0), compile=True)


def test_a_torch_that_knows_fewer_options_compiles_too(monkeypatch, compiler):
    """As torch 2.8, whose `compile` takes no `isolate_recompiles`."""
    calls = []

    def plain_compile(function, *, dynamic=None):
        calls.append(dynamic)
        return function

    monkeypatch.setattr(torch, "compile", plain_compile)
    compile_function.cache_clear()
    solution = solve(lambda t, y: -y, double([1.0]), double(0.0, 1.0), compile=True)
    compile_function.cache_clear()
    assert calls and set(calls) == {False}
    assert solution.y[0, 1].item() == pytest.approx(1 / math.e, rel=1e-6)
