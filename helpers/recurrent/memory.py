"""How long a gate remembers, which frequencies it lets through, and how to begin with either."""

import math
from numbers import Real

import torch
from torch import Generator, Tensor

from helpers.arguments import (
    check_broadcastable,
    check_entries,
    check_finite,
    check_fits,
    check_generator,
    check_positive,
    check_positive_number,
    check_single_or_double,
    check_tensor,
    kind,
)
from helpers.recurrent.gru import GRU
from helpers.recurrent.lstm import LSTM

LEAST_WITH_CUTOFF = 3 - 2 * math.sqrt(2)
"""The f below which even the fastest oscillation passes with more than half of its power."""


def memory_time_constant(f: float | Tensor, dt: float = 1.0) -> Tensor:
    """Return the time after which 1/e of a memory is left, if a gate keeps the part f of it at each step.

    ::

        τ = -Δt / ln f,   f^k = e^(-k Δt/τ)

    Parameters
    ----------
    f : float or Tensor (...)
        Forget gate of an LSTM, 1 - z of a GRU, or 1 - α of a leaky unit, from 0 (τ = 0) to 1 (τ = ∞).
    dt : float
        Time Δt between two steps.

    Returns
    -------
    Tensor (...)
        In the unit of `dt`.

    Raises
    ------
    ValueError
        If f lies outside 0 … 1, or Δt is not positive.
    """
    f = _fraction("f", f)
    check_positive_number("dt", dt)
    return dt / f.log().abs()  # not -dt / ln f, which is -∞ for f = 1


def forget_bias_for(tau: float | Tensor, dt: float = 1.0) -> Tensor:
    """Return the bias b with which a gate σ(b) keeps a memory for the time τ.

    ::

        σ(b) = e^(-Δt/τ),   b = -ln(e^(Δt/τ) - 1)

    For τ ≫ Δt this is ln(τ/Δt - ½), nearly. For the update gate of a GRU take -b.

    Parameters
    ----------
    tau : float or Tensor (...)
        Time constant τ, in the unit of `dt`.
    dt : float
        Time Δt between two steps.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    ValueError
        If either is not positive and finite.
    """
    tau = _floating("tau", tau)
    check_positive("tau", tau)
    check_positive_number("dt", dt)
    steps = torch.full_like(tau, dt) / tau  # dt / tau would be dt (1 / tau), which overflows earlier
    return -steps - torch.log(-torch.expm1(-steps))


def frequency_response(
    f: float | Tensor, frequency: float | Tensor, dt: float = 1.0, gain: float | Tensor | None = None
) -> Tensor:
    """Return by what a memory c_t = f c_{t-1} + i g_t multiplies an oscillation of its input.

    ::

        g_t = e^(2πiν tΔt)   ⇒   c_t = H(ν) g_t,   H(ν) = gain / (1 - f e^(-2πiν Δt))

    once the start is forgotten. It holds for an LSTM whose gates stand still, with the input gate as gain,
    and for a linear `LeakyRNN` without recurrent weights, with f = 1 - α and gain α.

    Parameters
    ----------
    f : float or Tensor (...)
        What is kept at each step, from 0 up to but not including 1.
    frequency : float or Tensor
        ν, in cycles per unit of time; broadcast against f. Above 1 / 2Δt it repeats.
    dt : float
        Time Δt between two steps.
    gain : float or Tensor, optional
        Left out, 1 - f: what does not change passes as it is.

    Returns
    -------
    Tensor (...), complex
        `abs()` is the amplitude's factor, `angle()` the phase, negative where the output lags behind.

    Raises
    ------
    ValueError
        If f lies outside 0 … 1 or is 1, a number is not finite, Δt not positive, or shapes do not broadcast.
    """
    f, frequency = _fraction("f", f), _floating("frequency", frequency)
    dtype = torch.result_type(f, frequency)
    f, frequency = f.to(dtype), frequency.to(dtype)
    check_entries("f", f, f < 1, "be less than 1")
    check_positive_number("dt", dt)
    gain = 1 - f if gain is None else _floating("gain", gain)
    for name, given in {"frequency": frequency, "gain": gain}.items():
        check_finite(name, given)
        check_broadcastable(name, given.shape, "f", f.shape)
    angle = 2 * math.pi * dt * frequency
    return gain / torch.complex(1 - f * angle.cos(), f * angle.sin())


def cutoff_frequency(f: float | Tensor, dt: float = 1.0) -> Tensor:
    """Return the frequency at which a memory's response falls to half of its power (-3 dB).

    ::

        |H(ν)|² = ½ |H(0)|²,   cos(2πν Δt) = 1 - (1 - f)² / 2f

    For f near 1 this is 1 / 2πτ, with τ = `memory_time_constant`.

    Parameters
    ----------
    f : float or Tensor (...)
        What is kept at each step, from 0 to 1.
    dt : float
        Time Δt between two steps.

    Returns
    -------
    Tensor (...)
        In cycles per unit of time; ∞ for f < 3 - 2√2 ≈ 0.172, which lets more than half of every power pass.

    Raises
    ------
    ValueError
        If f lies outside 0 … 1, or Δt is not positive.
    """
    f = _fraction("f", f)
    check_positive_number("dt", dt)
    has_one = f >= LEAST_WITH_CUTOFF
    safe = torch.where(has_one, f, 1.0)
    half_angle = torch.asin(((1 - safe) / (2 * safe.sqrt())).clamp(max=1.0))  # 1 - cos = 2 sin²(angle/2)
    return torch.where(has_one, half_angle / (math.pi * dt), math.inf)


@torch.no_grad()
def chrono_(cell: LSTM | GRU, longest: float, *, generator: Generator | None = None) -> LSTM | GRU:
    """Start a cell's gates with time constants between one step and the longest delay that is expected.

    ::

        u ~ U(1, T_max - 1),   b_f = ln u,   b_i = -b_f   (LSTM)
                               b_z = -ln u                (GRU)

    A gate σ(ln u) keeps the part u / (1 + u), which is a time constant of about u + ½ steps.

    Parameters
    ----------
    cell : LSTM or GRU
        Changed in place; it must have a bias.
    longest : float
        T_max, in steps, more than 2.
    generator : torch.Generator, optional
        Left out, PyTorch's global stream.

    Returns
    -------
    LSTM or GRU
        The same cell.

    Raises
    ------
    ValueError
        If it is no such cell, has no bias, or T_max is not more than 2.

    Source: Tallec and Ollivier (2018), Can recurrent neural networks warp time?, ICLR.
    """
    if not isinstance(cell, LSTM | GRU):
        raise ValueError(f"cell must be an LSTM or a GRU: got {kind(cell)}")
    if cell.b is None:
        raise ValueError("cell must have a bias to start its gates with: got none")
    check_positive_number("longest", longest)
    check_fits("longest", longest, cell.b.dtype)
    if longest <= 2:
        raise ValueError(f"longest must be more than 2 steps: got {longest}")
    if generator is not None:
        check_generator("generator", generator)
    u = torch.empty_like(cell.b[: cell.hidden_size]).uniform_(1, longest - 1, generator=generator)
    b = cell.b.clone()
    blocks = b.split(cell.hidden_size)
    if isinstance(cell, LSTM):
        i, f, _, _ = blocks
        i.copy_(-u.log()), f.copy_(u.log())
    else:
        _, z, _ = blocks
        z.copy_(-u.log())
    cell.assign("b", b)
    return cell


def _floating(name: str, number: float | Tensor) -> Tensor:
    """A floating-point tensor; a number becomes one in float64, which takes on the dtype of what it meets."""
    if isinstance(number, Real) and not isinstance(number, bool):
        number = torch.as_tensor(number, dtype=torch.float64)
    check_tensor(name, number, "be one number or a tensor")
    check_single_or_double(name, number)
    return number


def _fraction(name: str, number: float | Tensor) -> Tensor:
    """A tensor of numbers between 0 and 1."""
    fraction = _floating(name, number)
    check_entries(name, fraction, (fraction >= 0) & (fraction <= 1), "lie between 0 and 1")
    return fraction
