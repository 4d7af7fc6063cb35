"""Time constants, frequency response and starts against their definitions."""

import math

import pytest
import torch

from helpers.recurrent import (
    GRU,
    LSTM,
    LeakyRNN,
    MinGRU,
    chrono_,
    cutoff_frequency,
    forget_bias_for,
    frequency_response,
    memory_time_constant,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def test_after_a_time_constant_one_in_e_is_left():
    f = torch.tensor([0.01, 0.5, 0.9, 0.999], dtype=torch.float64)
    tau = memory_time_constant(f, dt=0.25)
    torch.testing.assert_close(f ** (tau / 0.25), torch.full_like(f, math.exp(-1)), **EXACT)
    assert memory_time_constant(0.9).item() == pytest.approx(-1 / math.log(0.9), rel=1e-15)
    assert memory_time_constant(torch.tensor([0.0, 1.0])).tolist() == [0.0, math.inf]


def test_a_forget_bias_and_its_time_constant_are_inverse():
    tau = torch.logspace(-2, 12, 40, dtype=torch.float64)
    for dt in (0.1, 1.0):
        b = forget_bias_for(tau, dt)
        keeps = -torch.nn.functional.softplus(-b)  # ln σ(b)
        torch.testing.assert_close(keeps, -dt / tau, rtol=1e-10, atol=0)
    long = forget_bias_for(1000.0).item()
    assert long == pytest.approx(math.log(1000 - 0.5), abs=1e-6)
    assert forget_bias_for(1e300).item() == pytest.approx(math.log(1e300)) and forget_bias_for(1e-3) == -1000


def test_the_response_is_the_recurrence_driven_by_a_wave():
    f = torch.tensor([0.2, 0.7, 0.95], dtype=torch.float64)
    dt, frequency = 0.5, 0.13
    wave = torch.exp(2j * math.pi * frequency * dt * torch.arange(800, dtype=torch.float64))
    c = torch.zeros(3, dtype=torch.complex128)
    for g in wave:
        c = f * c + 0.4 * g
    torch.testing.assert_close(c / wave[-1], frequency_response(f, frequency, dt, gain=0.4), **EXACT)


def test_a_slow_signal_passes_and_the_response_repeats_beyond_the_fastest():
    f, nu = torch.tensor(0.8, dtype=torch.float64), torch.tensor([0.0, 0.1, 0.5], dtype=torch.float64)
    response = frequency_response(f, nu)
    assert response[0] == 1 and response[2].real.item() == pytest.approx(0.2 / 1.8)
    torch.testing.assert_close(frequency_response(f, nu + 1), response, **EXACT)
    torch.testing.assert_close(frequency_response(f, -nu), response.conj(), **EXACT)
    assert (response.angle()[1:2] < 0).all()


def test_a_leaky_unit_is_that_filter():
    """A LeakyRNN of linear units without recurrence: f = 1 - α and gain α."""
    model = LeakyRNN(1, 1, "linear", tau=5.0, dt=1.0, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.W_xh.fill_(1.0), model.W_hh.zero_()
        angle = 2 * math.pi * 0.07 * torch.arange(600, dtype=torch.float64)
        h = model(torch.stack([angle.cos(), angle.sin()]).unsqueeze(-1))[:, -1, 0]
    found = torch.complex(h[0], h[1]) / torch.exp(1j * angle[-1])
    torch.testing.assert_close(found, frequency_response(0.8, 0.07), **EXACT)


@pytest.mark.parametrize("dt", [1.0, 0.05])
def test_at_the_cutoff_half_of_the_power_is_left(dt):
    f = torch.tensor([0.18, 0.5, 0.9, 0.9999], dtype=torch.float64)
    power = frequency_response(f, cutoff_frequency(f, dt), dt).abs().square()
    torch.testing.assert_close(power, torch.full((4,), 0.5).double(), rtol=1e-10, atol=0)
    slow = cutoff_frequency(0.9999, dt) * 2 * math.pi * memory_time_constant(0.9999, dt)
    assert slow.item() == pytest.approx(1, abs=1e-4)


def test_no_cutoff_where_even_the_fastest_oscillation_passes():
    edge = 3 - 2 * math.sqrt(2)
    assert frequency_response(edge, 0.5).abs().item() ** 2 == pytest.approx(0.5)
    assert cutoff_frequency(torch.tensor([0.0, edge - 1e-6]).double()).tolist() == [math.inf] * 2
    assert cutoff_frequency(edge + 1e-12).item() == pytest.approx(0.5, abs=1e-3)
    assert cutoff_frequency(1.0) == 0


def test_dtypes_follow_tensors_and_numbers_are_float64():
    single, numbers = torch.tensor([0.5, 0.9]), torch.linspace(0, 0.5, 2)
    for function in (memory_time_constant, forget_bias_for, cutoff_frequency):
        assert function(single).dtype == torch.float32 and function(0.5).dtype == torch.float64
    assert frequency_response(0.9, numbers).dtype == frequency_response(single, 0.1).dtype == torch.complex64
    assert frequency_response(0.9, 0.1).dtype == torch.complex128
    mixed = frequency_response(single, torch.tensor([0.1, 0.3], dtype=torch.float64))
    exact = frequency_response(single.double(), torch.tensor([0.1, 0.3], dtype=torch.float64))
    assert torch.equal(mixed, exact)
    assert frequency_response(single.unsqueeze(-1), torch.zeros(3)).shape == (2, 3)


def test_gradients():
    f = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    for function in (memory_time_constant, cutoff_frequency, lambda f: frequency_response(f, 0.1)):
        assert torch.autograd.gradcheck(function, f)
    assert torch.autograd.gradcheck(forget_bias_for, (10 * f).detach().requires_grad_())


BAD = {
    "more than everything kept": (
        lambda: memory_time_constant(torch.tensor([0.5, 1.5])),
        r"f must lie between 0 and 1: f\[1\] = 1.5",
    ),
    "NaN": (lambda: memory_time_constant(math.nan), "f must lie between 0 and 1: f = nan"),
    "a list": (lambda: memory_time_constant([0.5]), "f must be one number or a tensor: got list; torch.as_t"),
    "a truth": (lambda: cutoff_frequency(True), "f must be one number or a tensor: got bool"),
    "whole numbers": (
        lambda: cutoff_frequency(torch.ones(2).long()),
        "f must be a floating-point tensor: got a torch.in",
    ),
    "half precision": (
        lambda: cutoff_frequency(torch.ones(2).half()),
        "f must be a float32 or float64 tensor",
    ),
    "no step": (lambda: memory_time_constant(0.5, dt=0.0), "dt must be positive and finite: got 0.0"),
    "no time": (
        lambda: forget_bias_for(torch.tensor([1.0, 0.0])),
        r"tau must be positive and finite: tau\[1\] = 0.0",
    ),
    "a step back": (lambda: forget_bias_for(1.0, dt=-1.0), "dt must be positive and finite: got -1.0"),
    "a memory that never ends": (lambda: frequency_response(1.0, 0.1), "f must be less than 1: f = 1.0"),
    "a memory that ends beyond the dtype": (
        lambda: frequency_response(1 - 1e-9, torch.zeros(1)),
        "f must be less than 1: f = 1.0",
    ),
    "infinite frequency": (
        lambda: frequency_response(0.5, math.inf),
        "frequency must be finite: frequency = inf",
    ),
    "gain of NaN": (lambda: frequency_response(0.5, 0.1, gain=math.nan), "gain must be finite: gain = nan"),
    "shapes": (
        lambda: frequency_response(torch.full((2,), 0.5), torch.zeros(3)),
        r"frequency must broadcast with f: shapes \(3,\) and \(2,\)",
    ),
    "shape of gain": (
        lambda: frequency_response(torch.full((2,), 0.5), 0.1, gain=torch.zeros(3)),
        r"gain must broadcast with f: shapes \(3,\) and \(2,\)",
    ),
    "no gates": (lambda: chrono_(MinGRU(1, 2), 9.0), "cell must be an LSTM or a GRU: got MinGRU"),
    "no bias": (
        lambda: chrono_(LSTM(1, 2, bias=False), 9.0),
        "cell must have a bias to start its gates with: got none",
    ),
    "no delay": (lambda: chrono_(GRU(1, 2), 2.0), "longest must be more than 2 steps: got 2.0"),
    "delay of NaN": (lambda: chrono_(GRU(1, 2), math.nan), "longest must be positive and finite: got nan"),
    "delay beyond the dtype": (
        lambda: chrono_(GRU(1, 2, dtype=torch.float16), 1e20),
        "longest must be a number that torch.float16 can hold: got 1e",
    ),
    "a seed": (lambda: chrono_(GRU(1, 2), 9.0, generator=3), "generator must be a torch.Generator: got int"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
