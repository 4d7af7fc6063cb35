"""The LSTM's memory against closed forms: the highway, impulse and frequency response, starts."""

import math

import pytest
import torch
from gated_cells import make, normal

from helpers.recurrent import (
    LSTM,
    chrono_,
    cutoff_frequency,
    forget_bias_for,
    frequency_response,
    gradient_profile,
    memory_time_constant,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
OPEN = 40.0
"""A bias at which 1 - σ is 4e-18, so that the gate is 1 in float64."""


def frozen_gates(f, units=1):
    """c_t = f c_{t-1} + (1 - f) x_t, nearly: gates stand still, the candidate is in tanh's linear part."""
    model = LSTM(units, units, dtype=torch.float64)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        i, forget, _, o = model.b.view(4, units)
        i.copy_(torch.logit(1 - f)), forget.copy_(torch.logit(f)), o.fill_(OPEN)
        model.W_xh.view(4, units, units)[2] = torch.eye(units)
    return model


def cells(model, x, *arguments):
    """c of every step, (B, T, H)."""
    return model(x, *arguments, return_gates=True).c


def test_the_memory_is_multiplied_by_the_forget_gate_alone():
    """∂c_t/∂c_{t-1} = f_t along the highway, and nothing comes back on it to h_{t-1}."""
    model, x = make("LSTM", units=5), normal(3, 9, 3)
    trace = model(x, return_gates=True)
    for unit in range(5):
        profile = gradient_profile(model, x, lambda s, unit=unit: s[:, -1, 5 + unit], by_path=True)
        c = profile.highway[..., 5 + unit]
        products = trace.f[..., unit].flip(1).cumprod(1).flip(1).detach()  # f_T ⋯ f_{k+1} for k = 0 … T - 1
        torch.testing.assert_close(c[:, :-1], products, **EXACT)
        others = profile.highway.clone()
        others[..., 5 + unit] = 0
        assert not others.any() and (c[:, -1] == 1).all()
    assert profile.through_gates.abs().max() > 1e-3


def test_without_recurrent_weights_the_highway_is_the_whole_gradient():
    model = make("LSTM")
    torch.nn.init.zeros_(model.W_hh)
    profile = gradient_profile(model, normal(2, 6, 3), lambda states: states[:, -1].sum(-1), by_path=True)
    torch.testing.assert_close(profile.highway, profile.gradients, **EXACT)
    assert not profile.through_gates.any()


def test_a_constant_forget_gate_makes_the_impulse_response_its_powers():
    f = torch.tensor([0.0, 0.3, 0.9, 0.99, 1.0], dtype=torch.float64)
    model = frozen_gates(f, 5)
    start = torch.ones(1, 10, dtype=torch.float64)
    with torch.no_grad():
        c = cells(model, torch.zeros(1, 50, 5, dtype=torch.float64), start)[0]
    powers = f ** torch.arange(1, 51, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(c, powers, **EXACT)
    tau = memory_time_constant(f, dt=0.5)
    torch.testing.assert_close(c[19], torch.exp(-20 * 0.5 / tau), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0, 3.0], ids=lambda share: f"{share} of the cutoff")
@pytest.mark.parametrize("f", [0.5, 0.9, 0.98])
def test_frozen_gates_are_the_low_pass_filter_of_the_formula(f, share):
    """A small sine through the LSTM itself, amplitude and phase by least squares once the start is gone."""
    dt, size = 0.1, 1e-4
    f = torch.tensor(f, dtype=torch.float64)
    frequency = share * cutoff_frequency(f, dt)
    angle = 2 * math.pi * frequency * dt * torch.arange(4000, dtype=torch.float64)
    with torch.no_grad():
        c = cells(frozen_gates(f), size * angle.cos().reshape(1, -1, 1))[0, :, 0] / size
    waves = torch.stack([angle.cos(), angle.sin()], -1)[2000:]
    waves = waves if share else waves[:, :1]
    found = torch.linalg.lstsq(waves, c[2000:].unsqueeze(-1)).solution[:, 0]
    response = frequency_response(f, frequency, dt)
    expected = torch.stack([response.real, -response.imag])[: len(found)]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    if share == 1:
        assert found.norm().item() == pytest.approx(2**-0.5, rel=1e-6)  # half of the power: -3.01 dB


def test_a_forget_bias_for_a_time_constant_keeps_a_memory_that_long():
    model = make("LSTM", forget_bias=forget_bias_for(30.0, dt=0.5))
    torch.nn.init.zeros_(model.W_xh)
    torch.nn.init.zeros_(model.W_hh)
    trace = model(normal(1, 3, 3), return_gates=True)
    torch.testing.assert_close(
        memory_time_constant(trace.f, 0.5), torch.full((1, 3, 4), 30.0).double(), **EXACT
    )


def test_chrono_start_spreads_time_constants_over_the_delays():
    """1 / (1 - f) = 1 + u with u ~ U(1, T_max - 1), i = 1 - f, and the other two biases as they were."""
    model = LSTM(2, 4000, dtype=torch.float64)
    before = model.b.detach().clone().view(4, -1)
    assert chrono_(model, 100.0, generator=torch.Generator().manual_seed(0)) is model
    i, f, g, o = model.b.detach().view(4, -1)
    u = f.exp()
    assert 1 <= u.min() < 1.2 and 98.8 < u.max() <= 99
    assert u.mean().item() == pytest.approx(50, abs=3 * 98 / math.sqrt(12 * 4000))
    assert torch.equal(i, -f) and torch.equal(g, before[2]) and torch.equal(o, before[3])
    again = chrono_(LSTM(2, 4000, dtype=torch.float64), 100.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.b[:8000], model.b[:8000])
