"""Exact discretisation against closed forms, SciPy's quadrature, and gradcheck."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import expm

from helpers.statespace import LinearGaussian, discretise

ONE = torch.ones(1, 1, dtype=torch.float64)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(0.0, 1e3))
def test_ornstein_uhlenbeck(rate, gap):
    """dh = -κ h dt + u dt + σ dβ, also over gaps so long that e^(κ Δ) overflows."""
    A, Q, B = discretise(-rate * ONE, 2 * ONE, 3 * ONE, torch.tensor(gap, dtype=torch.float64), ONE)
    assert A.item() == pytest.approx(math.exp(-rate * gap), rel=1e-9, abs=1e-300)
    assert Q.item() == pytest.approx(-12 * math.expm1(-2 * rate * gap) / (2 * rate), rel=1e-11)
    assert B.item() == pytest.approx(-math.expm1(-rate * gap) / rate, rel=1e-11)


@pytest.mark.parametrize("gap", [1e-4, 1e-3, 0.01, 0.03, 0.049, 0.3])
def test_one_gap_has_all_digits(gap):
    """A rotation: torch's exponential of a single matrix is off by up to 1e-9 where ‖F‖ Δ < 0.05."""
    F = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    A, _, _ = discretise(F, torch.zeros(2, 1).double(), ONE, torch.tensor(gap, dtype=torch.float64))
    expected = torch.tensor(
        [[math.cos(gap), -math.sin(gap)], [math.sin(gap), math.cos(gap)]], dtype=torch.float64
    )
    torch.testing.assert_close(A, expected, rtol=8 * torch.finfo(torch.float64).eps, atol=0)


@pytest.mark.parametrize("gap", [1e-6, 0.3, 1.0, 50.0])
def test_integrated_wiener_process(gap):
    """Constant velocity: Q = q [[Δ³/3, Δ²/2], [Δ²/2, Δ]], with a singular F."""
    F, L = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).double(), torch.tensor([[0.0], [1.0]]).double()
    A, Q, B = discretise(F, L, 0.7 * ONE, torch.tensor(gap, dtype=torch.float64), L)
    expected = 0.7 * torch.tensor([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]], dtype=torch.float64)
    torch.testing.assert_close(
        A, torch.tensor([[1.0, gap], [0.0, 1.0]], dtype=torch.float64), rtol=1e-14, atol=0
    )
    torch.testing.assert_close(Q, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        B, torch.tensor([[gap**2 / 2], [gap]], dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_one_compartment_chain():
    """A dose absorbed at rate a and eliminated at rate e (Bateman's function)."""
    a, e = 1.5, 0.2
    F = torch.tensor([[-a, 0.0], [a, -e]], dtype=torch.float64)
    gaps = torch.tensor([0.0, 0.25, 2.0, 2.0, 30.0], dtype=torch.float64)
    A, _, _ = discretise(F, torch.zeros(2, 1).double(), ONE, gaps)
    central = a / (a - e) * ((-e * gaps).exp() - (-a * gaps).exp())
    torch.testing.assert_close(A[:, 1, 0], central, rtol=1e-12, atol=1e-15)


def test_a_general_model_equals_quadrature():
    generator = torch.Generator().manual_seed(0)
    F, L, drive = (torch.randn(3, n, generator=generator, dtype=torch.float64) for n in (3, 2, 1))
    q = torch.tensor([[1.0, 0.3], [0.3, 2.0]], dtype=torch.float64)
    A, Q, B = discretise(F, L, q, torch.tensor(2.5).double(), drive)
    noise = (L @ q @ L.T).numpy()
    flow = lambda s: expm(F.numpy() * s)  # noqa: E731
    np.testing.assert_allclose(A, flow(2.5), rtol=1e-11)
    np.testing.assert_allclose(Q, quad_vec(lambda s: flow(s) @ noise @ flow(s).T, 0, 2.5)[0], rtol=1e-9)
    np.testing.assert_allclose(B, quad_vec(lambda s: flow(s) @ drive.numpy(), 0, 2.5)[0], rtol=1e-9)


def test_gaps_are_those_of_each_series_and_the_first_is_not_read():
    gaps = torch.tensor([[torch.nan, 1.0, 0.0], [-5.0, 2.0, 1.0]], dtype=torch.float64)
    A, Q, B = discretise(-ONE, ONE, ONE, gaps)
    assert A.shape == Q.shape == (2, 3, 1, 1) and B is None
    expected = torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 1.0]], dtype=torch.float64).neg().exp()
    torch.testing.assert_close(A[..., 0, 0], expected, rtol=1e-14, atol=0)
    assert Q[0, 2] == 0


@pytest.mark.parametrize(
    "gaps",
    [torch.tensor(0.5), torch.tensor([0.0, 0.5, 2.0]), torch.rand(2, 3)],
    ids=["one gap", "gaps per step", "gaps per series"],
)
def test_each_series_may_have_its_own_rates(gaps):
    gaps, rates = gaps.double(), torch.tensor([0.3, 2.0]).double().reshape(2, 1, 1)
    together = discretise(-rates, ONE, ONE, gaps, ONE)
    for series in range(2):
        own = gaps if gaps.ndim < 2 else gaps[series]
        for found, expected in zip(together, discretise(-rates[series], ONE, ONE, own, ONE), strict=True):
            torch.testing.assert_close(found[series], expected.expand(found.shape[1:]), rtol=1e-13, atol=0)


def test_two_people_together_are_each_person_alone():
    """Compartments whose rates differ from person to person."""
    rates = torch.tensor([[0.5, 2.0], [1.5, 0.1]], dtype=torch.float64)
    F = torch.diag_embed(-rates)
    L, q = torch.eye(2, dtype=torch.float64), torch.diag(torch.tensor([0.3, 0.7], dtype=torch.float64))
    gaps = torch.tensor([[0.0, 0.4, 3.0], [0.0, 1.0, 0.2]], dtype=torch.float64)
    A, Q, _ = discretise(F, L, q, gaps)
    decay = torch.exp(-rates[:, None] * gaps[..., None])
    torch.testing.assert_close(A, torch.diag_embed(decay))
    expected = q.diagonal() * (1 - decay.square()) / (2 * rates[:, None])
    torch.testing.assert_close(Q, torch.diag_embed(expected))


def test_series_must_be_equally_many():
    F, one = torch.eye(2, dtype=torch.float64).expand(3, 2, 2), torch.eye(2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"F must be one matrix or one per series.*F 3, deltas 2"):
        discretise(F, one, one, torch.zeros(2, 5, dtype=torch.float64))


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    F, L, drive = (torch.randn(2, n, generator=generator, dtype=torch.float64) for n in (2, 1, 1))
    arguments = [F, L, ONE.clone(), torch.tensor([0.0, 0.4, 3.0]).double(), drive]
    assert torch.autograd.gradcheck(discretise, [part.requires_grad_() for part in arguments])


def test_from_sde_builds_the_model():
    gaps = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    model = LinearGaussian.from_sde(-ONE, ONE, ONE, ONE, ONE, ONE[0], ONE, gaps, input=ONE)
    assert model.steps == 3 and model.series is None
    torch.testing.assert_close(model.transition[:, 0, 0], (-gaps).exp())
    torch.testing.assert_close(model.input[:, 0, 0], 1 - (-gaps).exp())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"F": torch.ones(1, 2).double()}, r"F must be square: got shape \(1, 2\)"),
        (
            {"F": torch.ones(2, 1, 1).double(), "deltas": torch.zeros(3, 2).double()},
            r"F must be one matrix or one per series, .* got shape \(2, 1, 1\) \(series: F 2, deltas 3\)",
        ),
        ({"F": ONE * torch.inf}, r"F must be finite: F\[0, 0\] = inf"),
        ({"L": torch.ones(2, 1).double()}, r"L must have shape \(…, H, S\) = \(…, 1, 1\) as F and"),
        ({"L": ONE.float()}, "L must have the dtype of F: got torch.float32 and torch.float64"),
        ({"spectral_density": -ONE}, "spectral_density must be positive semi-definite: .* is -1"),
        (
            {"deltas": ONE.unsqueeze(0)},
            r"deltas must have shape \(\), \(T,\) or \(B, T\), with .* one gap: got \(1, 1, 1\)",
        ),
        (
            {"deltas": torch.tensor([[0.0, -1.0]]).double()},
            r"not negative: series 0, step 1, deltas\[0, 1\] = -1",
        ),
        ({"deltas": torch.tensor([0.0, torch.nan]).double()}, r"finite .*: step 1, deltas\[1\] = nan"),
        ({"input": torch.ones(2, 1).double()}, r"input must have shape \(…, H, U\) = \(…, 1, U\)"),
    ],
    ids=[
        "F not square",
        "F of other series",
        "infinite F",
        "L of other states",
        "L of another dtype",
        "negative density",
        "shape of deltas",
        "negative gap",
        "nan gap",
        "B of other states",
    ],
)
def test_misuse_is_refused(change, message):
    arguments = {
        "F": ONE,
        "L": ONE,
        "spectral_density": ONE,
        "deltas": torch.zeros(2).double(),
        "input": None,
    }
    with pytest.raises(ValueError, match=message):
        discretise(**{**arguments, **change})


@pytest.mark.parametrize("gap", [1e20, 1e35, 1e200, 1e300], ids=str)
def test_gaps_beyond_all_memory_forget(gap):
    """A = 0 and Q = q / 2 rate, also where rate × gap is beyond 2¹²⁷, or overflows."""
    one = torch.ones(1, 1, dtype=torch.float64)
    A, Q, _ = discretise(-1e10 * one, one, 2e9 * one, torch.tensor([0.0, gap], dtype=torch.float64))
    assert A[1].item() == 0.0 and Q[1].item() == pytest.approx(0.1, rel=1e-12)
