"""Exercise 1: the gain that leaves the least variance."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

MISCONCEPTIONS = (
    (
        "your gain is right for c = 1 only: c scales the reading, and with it the prior's part of the "
        "innovation's variance, c² P",
        lambda P, c, R: P / (P + R),
    ),
    ("your denominator has c P; the variance of c h is c² P", lambda P, c, R: c * P / (c * P + R)),
    (
        "your numerator is right; your denominator, the variance of the innovation, lacks the factor c² of P",
        lambda P, c, R: c * P / (P + R),
    ),
    (
        "that is K c, the share of the prior's error that the update removes, a number without a unit; the "
        "gain turns a difference of readings into one of h, so divide by c",
        lambda P, c, R: c**2 * P / (c**2 * P + R),
    ),
    (
        "that is 1 - K c, the share of the prior's error that remains after the update",
        lambda P, c, R: R / (c**2 * P + R),
    ),
    (
        "you believe the reading alone, y / c, as if R were zero; the variance has a second term, K² R, "
        "whose derivative counts too",
        lambda P, c, R: 1 / c,
    ),
    (
        "you use standard deviations; P and R are variances already",
        lambda P, c, R: c * P.sqrt() / (c**2 * P.sqrt() + R.sqrt()),
    ),
)


def gain(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(P (N,), c (N,), R (N,)) -> (N,)`, the weight that minimises the variance."""
    P, R = torch.rand(2, 20, generator=torch.Generator().manual_seed(seed)) + 0.2
    c = torch.linspace(-3, 3, 20)
    cases = {
        "by hand: P = 4, c = 0.5, R = 1": _belief(4.0, 0.5, 1.0),
        "a reporter that dims as h rises: c = -3": _belief(2.0, -3.0, 0.5),
        "a camera without noise: R = 0": _belief(2.0, 4.0, 0.0),
        "a prior without doubt: P = 0": _belief(0.0, 2.0, 0.5),
        "20 cells at random": {"P": P, "c": c, "R": R},
    }
    return examine("gain", answer, cases, lambda P, c, R: c * P / (c**2 * P + R), MISCONCEPTIONS)


def _belief(P: float, c: float, R: float) -> dict[str, Tensor]:
    return {"P": torch.tensor([P]), "c": torch.tensor([c]), "R": torch.tensor([R])}
