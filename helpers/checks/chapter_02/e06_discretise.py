"""Exercise 6: an Ornstein-Uhlenbeck process, carried exactly over uneven gaps."""

import math

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def discretise(answer, seed: int = 1) -> Verdict:
    """Exercise 6: `answer(times (T,), k (), sigma ()) -> a (T,), q (T,)`; entry t leads into reading t."""
    gaps = torch.empty(7).exponential_(generator=torch.Generator().manual_seed(seed)) + 0.1
    cases = {
        "half is left after 1 h, by hand": _infusion([0.0, 1.0], math.log(2), (2 * math.log(2)) ** 0.5),
        "every 2 h": _infusion([0.0, 2.0, 4.0, 6.0], 0.3, 1.5),
        "uneven, from 8:00 on": _infusion([8.0, 8.5, 10.0, 14.0, 32.0], 0.1, 0.6),
        "eight readings at random": _infusion([0.0, *gaps.cumsum(0)], 0.4, 2.0),
    }
    return examine("discretise", answer, cases, _discretise, {"a": OF_BOTH + OF_A, "q": OF_BOTH + OF_Q})


def _infusion(times: list[float], k: float, sigma: float) -> dict[str, Tensor]:
    return {"times": torch.tensor(times), "k": torch.tensor(k), "sigma": torch.tensor(sigma)}


def _discretise(times: Tensor, k: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    return _transition(_gap_before(times), k, sigma)


def _transition(gap: Tensor, k: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """What is kept over a gap, e^(-k δ), and the variance that noise adds in it."""
    return torch.exp(-k * gap), -(sigma**2) * torch.expm1(-2 * k * gap) / (2 * k)


def _gap_before(times: Tensor) -> Tensor:
    return times.diff(prepend=times[:1])


def _gap_after(times: Tensor) -> Tensor:
    return times.diff(append=times[-1:])


def _mean_gap(times: Tensor) -> Tensor:
    gap = _gap_before(times)
    return torch.where(torch.arange(len(times)) > 0, gap.sum() / (len(times) - 1), gap)


OF_BOTH = (
    (
        "you use the gap that follows; a[t] and q[t] lead into reading t, over times[t] - times[t - 1]",
        lambda times, k, sigma: _transition(_gap_after(times), k, sigma),
    ),
    (
        "you use the time of the reading; what counts is the gap since the one before",
        lambda times, k, sigma: _transition(times, k, sigma),
    ),
    (
        "you use one gap for all, their mean; each reading has its own",
        lambda times, k, sigma: _transition(_mean_gap(times), k, sigma),
    ),
)
OF_A = (
    (
        "1 - k δ is one step of Euler's method: nearly right for short gaps, negative for long ones. The "
        "exact solution of dh/dt = -k h is an exponential",
        lambda times, k, sigma: 1 - k * _gap_before(times),
    ),
    (
        "your deviation grows: the sign of k δ in the exponent is wrong",
        lambda times, k, sigma: torch.exp(k * _gap_before(times)),
    ),
)
OF_Q = (
    (
        "σ² δ is the variance of noise that stays for ever; here e^(-k s) of what entered s hours ago is "
        "left, so that σ² δ is nearly right for short gaps only",
        lambda times, k, sigma: sigma**2 * _gap_before(times),
    ),
    (
        "your exponent lacks a factor 2: where noise fades by e^(-k s), its variance fades by e^(-2 k s)",
        lambda times, k, sigma: sigma**2 * (1 - torch.exp(-k * _gap_before(times))) / (2 * k),
    ),
    (
        "the integral of e^(-2 k s) gives 1 / (2 k), not 1 / k",
        lambda times, k, sigma: 2 * _discretise(times, k, sigma)[1],
    ),
    (
        "you return the standard deviation of the noise; q is its variance",
        lambda times, k, sigma: _discretise(times, k, sigma)[1].sqrt(),
    ),
    (
        "you do not square σ; the variance needs σ²",
        lambda times, k, sigma: _discretise(times, k, sigma)[1] / sigma,
    ),
    (
        "σ² / (2 k) is the variance after an infinite gap; a shorter one has let less noise in",
        lambda times, k, sigma: (sigma**2 / (2 * k)).expand_as(times),
    ),
)
