"""log_likelihood in compiled steps: the number that it is without, and what is computed as without."""

import pytest
import torch
import torch._inductor.config
from statespace_models import random_model
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler

from helpers.arguments import compile_function
from helpers.statespace import LinearGaussian, kalman_filter, log_likelihood
from helpers.statespace.gaussian import compiled

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture
def uncompiled(monkeypatch):
    """The same steps, run as they are written; counted."""
    calls = []

    def count(function):
        return lambda *arguments: calls.append(len(arguments)) or function(*arguments)

    monkeypatch.setattr(compiled, "compile_function", count)
    return calls


def series(count=3, steps=150, entries=2, seed=5):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(count, steps, entries, generator=generator, dtype=torch.float64).cumsum(1)
    return y, torch.rand(y.shape, generator=generator) > 0.3


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("per", ["constant", "step", "series"])
@pytest.mark.parametrize("entries", [1, 2, 3])
def test_is_the_number_of_the_plain_loop(per, entries, missing, uncompiled):
    y, mask = series(entries=entries)
    mask = mask | (not missing)
    model = random_model(per, series=3, steps=150, entries=entries, inputs=1)
    inputs = torch.linspace(-1, 1, 450, dtype=torch.float64).reshape(3, 150, 1)
    expected = kalman_filter(model, y, mask, inputs=inputs, plain=True).log_likelihood
    found = log_likelihood(model, y, mask, inputs=inputs, compile=True)
    assert bool(uncompiled) == (missing or per != "constant")  # otherwise covariances come to rest
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-10)


def test_a_state_that_never_forgets_is_followed_step_by_step(uncompiled):
    eye = torch.eye(2, dtype=torch.float64)
    y, mask = series()
    model = LinearGaussian(eye, eye, 0 * eye, 0.1 * eye, 0 * eye[0], 10 * eye)
    expected = kalman_filter(model, y, mask, plain=True).log_likelihood
    torch.testing.assert_close(log_likelihood(model, y, mask, compile=True), expected, rtol=1e-11, atol=0)
    assert len(uncompiled) >= 149


def test_exact_readings_are_followed_without_compiling(uncompiled):
    """Whether what is read was known to the last digit is judged by all readings before it."""
    one = torch.ones(1, 1)
    model = LinearGaussian(one, torch.ones(2, 1), one, torch.diag(torch.tensor([0.0, 1.0])), one[0], 0 * one)
    y, mask = series(steps=20)
    mask[:, 0] = torch.tensor([False, True])
    expected = kalman_filter(model, y.float(), mask, plain=True).log_likelihood
    torch.testing.assert_close(log_likelihood(model, y.float(), mask, compile=True), expected)
    assert not uncompiled


def test_what_is_not_definite_is_refused_as_without(uncompiled):
    zero = torch.zeros(1, 1, dtype=torch.float64)
    model = LinearGaussian(zero + 1, zero + 1, zero, zero, zero[0], zero)
    mask = torch.tensor([[[True], [True], [False]], [[True], [False], [True]]])
    with pytest.raises(ValueError, match="series 0 at step 0 has smallest eigenvalue 0"):
        log_likelihood(model, torch.zeros(2, 3, 1, dtype=torch.float64), mask, compile=True)
    assert not uncompiled


def test_a_reading_without_digits_is_refused_as_without(uncompiled):
    """Two states are driven together by 1e10, each alone by 1: rounding leaves no difference."""
    eye, one = torch.eye(2, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    difference, driven = torch.tensor([[1.0, -1.0]], dtype=torch.float64), 1e20 * torch.ones_like(eye) + eye
    model = LinearGaussian(eye, difference, driven, one, 0 * eye[0], 0 * eye)
    mask = torch.tensor([[[True], [True], [False]], [[True], [False], [True]]])
    with pytest.raises(ValueError, match="positive only by rounding.*: series 0 at step 1"):
        log_likelihood(model, torch.zeros(2, 3, 1, dtype=torch.float64), mask, compile=True)
    assert uncompiled


@pytest.mark.parametrize("what", ["gradient", "flat prior", "many states"])
def test_what_is_computed_as_without(what, uncompiled):
    y, mask = series(steps=10)
    states = 5 if what == "many states" else 3
    flat = {"diffuse": torch.arange(states) < 1} if what == "flat prior" else {}
    model = random_model("constant", states=states, **flat)
    if what == "gradient":
        model.transition.requires_grad_()
    found = log_likelihood(model, y, mask, compile=True)
    assert torch.equal(found, log_likelihood(model, y, mask)) and not uncompiled
    assert found.requires_grad == (what == "gradient")


def test_compiled_it_is_the_same():
    """One state and one observation, which compile in seconds."""
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("no C++ compiler: torch.compile needs g++ or clang++ (or CXX)")
    y, mask = series(entries=1)
    model = random_model("constant", states=1, entries=1)
    expected = kalman_filter(model, y, mask, plain=True).log_likelihood
    torch.testing.assert_close(log_likelihood(model, y, mask, compile=True), expected, rtol=1e-12, atol=1e-10)


def test_without_a_compiler_the_message_says_so():
    compile_function.cache_clear()
    y, mask = series()
    missing = torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)})
    with missing, pytest.raises(ValueError, match=r"compile=True needs a C\+\+ compiler.*CXX"):
        log_likelihood(random_model("constant"), y, mask, compile=True)
