"""Exercise 7: what a memory that hears slow rhythms louder pays for it, as a formula."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from helpers.checks.attempt import attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict
from helpers.recurrent import LSTM, memory_time_constant

SETTINGS = ((3.0, 0.9, 2.0), (3.5, 0.3, 1.0), (4.2, 0.6, 0.5), (5.0, 0.15, 4.0))  # b_f, i, Δt [h]
LATER_SETTINGS = ((2.9, 0.25, 1.0), (3.8, 0.8, 3.0), (4.6, 0.45, 0.25), (4.9, 0.7, 2.0))
LARGEST_MISS = 0.05  # relatively; i / (2π Δt gain) misses by at most 0.03, for forget biases from 2.9 on
SAME = 0.002  # relatively: two formulas that agree to this are taken for one
TIME_CONSTANTS = 12  # after which a pulse is forgotten
SMALL = 1e-6  # of a pulse, so that no tanh bends


def _frequency(gain: Tensor, i: Tensor, dt: Tensor) -> Tensor:
    return i / (2 * math.pi * dt * gain)


MISCONCEPTIONS = (
    (
        "yours is an angle per hour; ν counts cycles, and one cycle is an angle of 2π",
        lambda gain, i, dt: i / (dt * gain),
    ),
    ("you count cycles per step; a step lasts Δt hours", lambda gain, i, dt: i / (2 * math.pi * gain)),
    (
        "you multiply by Δt: the longer a step lasts, the slower is all in hours",
        lambda gain, i, dt: i * dt / (2 * math.pi * gain),
    ),
    (
        "the input gate is missing: at the same gain, a gate that writes more has a shorter memory",
        lambda gain, i, dt: 1 / (2 * math.pi * dt * gain),
    ),
    (
        "you divide by the input gate; at the same gain, a gate that writes more has a shorter memory",
        lambda gain, i, dt: 1 / (2 * math.pi * dt * gain * i),
    ),
    ("that is the period in hours; the frequency is 1 over it", lambda *given: 1 / _frequency(*given)),
    (
        "it goes the other way: the louder a unit hears the slow, the fewer rhythms it hears",
        lambda gain, i, dt: gain * i / (2 * math.pi * dt),
    ),
    (
        "that is where half of the amplitude is left, a quarter of the power",
        lambda *given: math.sqrt(3) * _frequency(*given),
    ),
)


def bandwidth(answer, seed: int = 1) -> Verdict:
    """Exercise 7: `answer(gain (), i (), dt ()) -> ()`: the −3 dB frequency, in cycles per hour.

    Measured responses judge, of units that the student has not seen. Seed 1 has other units than every other
    seed.
    """
    settings = SETTINGS if seed == 1 else LATER_SETTINGS
    return examine(
        "bandwidth",
        answer,
        cases={},  # a formula that is near enough is right: the measurement judges
        reference=_frequency,
        properties=lambda function: _judge(function, settings),
    )


@torch.no_grad()
def measure_unit(forget_bias: float, input_gate: float, dt: float) -> tuple[float, float]:
    """Gain |H(0)| and −3 dB frequency, in cycles per hour, of an LSTM's unit whose gates stand still.

    The response to one small pulse is added up, as it is for the gain and with a phase for each frequency.
    """
    unit = LSTM(1, 1, forget_bias=forget_bias, generator=torch.Generator(), dtype=torch.float64)
    unit.W_hh.zero_(), unit.W_xh.zero_()
    unit.W_xh[2] = 1.0
    unit.b[0], unit.b[2] = torch.logit(torch.tensor(input_gate, dtype=torch.float64)), 0.0
    steps = math.ceil(TIME_CONSTANTS * memory_time_constant(torch.sigmoid(unit.b[1]).item()))
    pulse = torch.zeros(1, steps, 1, dtype=torch.float64)
    pulse[0, 0] = SMALL
    response = unit(pulse, return_gates=True).c[0, :, 0] / SMALL
    gain = response.sum()
    k, low, high = torch.arange(steps, dtype=torch.float64), 0.0, math.pi
    for _ in range(40):
        angle = (low + high) / 2
        left = torch.hypot(response @ (k * angle).cos(), response @ (k * angle).sin())
        low, high = (angle, high) if left > gain / math.sqrt(2) else (low, angle)
    return gain.item(), angle / (2 * math.pi * dt)


def _judge(function: Callable, settings: Iterable[tuple[float, float, float]]) -> list[Item]:
    """One item per unit; a reason that has been given before is not repeated."""
    items, reasons = [], set()
    for forget_bias, input_gate, dt in settings:
        gain, measured = measure_unit(forget_bias, input_gate, dt)
        numbers = {"gain": gain, "i": input_gate, "dt": dt}
        given = {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}
        tried = attempt(function, given, torch.empty((), dtype=torch.float64))
        said = f"gain {gain:.3g}, i = {input_gate:g}, Δt = {dt:g} h: measured is {measured:.3g} per hour"
        if tried.answer is not None:
            said += f", you say {tried.answer:.3g}"
        reason = tried.problem or _fault(tried.answer, measured, given)
        if reason:
            said += "; " + ("the same again" if reason in reasons else reason)
        items.append(Item(not reason, said))
        reasons.add(reason)
    return items


def _fault(answer: Tensor, measured: float, given: dict[str, Tensor]) -> str | None:
    """Which formula leads to an answer that is too far from the measurement."""
    if abs(answer / measured - 1) <= LARGEST_MISS:
        return None
    for sentence, formula in MISCONCEPTIONS:
        if torch.isclose(answer, formula(*given.values()), rtol=SAME, atol=0.0):
            return sentence
    return "write down gain and border at three forget biases, and look for what does not change"
