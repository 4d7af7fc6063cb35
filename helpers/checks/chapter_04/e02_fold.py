"""Exercise 2: the input at which a gene that switches itself on forgets that it was on."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _upper_root(w: Tensor) -> Tensor:
    """The upper of the two states where σ(w h + b) has slope 1: w h (1 - h) = 1."""
    return (1 + (1 - 4 / w).sqrt()) / 2


def _fold(
    w: Tensor, *, state: Callable = _upper_root, bias: Callable = lambda w, h: h.logit() - w * h
) -> tuple[Tensor, Tensor]:
    h = state(w)
    return h, bias(w, h)


OF_THE_STATE = (
    (
        "that is the state of a tanh neuron, whose slope is w (1 - h²); the slope of σ is σ (1 - σ)",
        partial(_fold, state=lambda w: (1 - 1 / w).sqrt()),
    ),
    (
        "that is the lower root, where a gene that is off switches on; the upper one is asked for",
        partial(_fold, state=lambda w: 1 - _upper_root(w)),
    ),
    (
        "you drop the square root: h² - h + 1/w = 0 has the roots (1 ± √(1 - 4/w)) / 2",
        partial(_fold, state=lambda w: (1 + (1 - 4 / w)) / 2),
    ),
    (
        "you do not halve: h² - h + 1/w = 0 has the roots (1 ± √(1 - 4/w)) / 2",
        partial(_fold, state=lambda w: 1 + (1 - 4 / w).sqrt()),
    ),
    (
        "your slope is -1: where the curve touches the diagonal, it is 1",
        partial(_fold, state=lambda w: (1 + (1 + 4 / w).sqrt()) / 2),
    ),
    ("you solve w h = 1; the slope of σ(w h + b) is w h (1 - h)", partial(_fold, state=lambda w: 1 / w)),
    (
        "at h = 1/2 the slope is w/4, its greatest; the fold is where it is 1",
        partial(_fold, state=lambda w: torch.full_like(w, 0.5)),
    ),
    (
        "that is the fold of a tanh neuron; this gene has σ",
        partial(_fold, state=lambda w: (1 - 1 / w).sqrt(), bias=lambda w, h: h.atanh() - w * h),
    ),
)
OF_THE_BIAS = (
    (
        "the sign is wrong: σ⁻¹(h) = w h + b, so that b = σ⁻¹(h) - w h",
        partial(_fold, bias=lambda w, h: w * h - h.logit()),
    ),
    (
        "you take artanh; the inverse of σ is the logit, ln(h / (1 - h))",
        partial(_fold, bias=lambda w, h: h.atanh() - w * h),
    ),
    (
        "you apply σ where its inverse belongs, ln(h / (1 - h))",
        partial(_fold, bias=lambda w, h: h.sigmoid() - w * h),
    ),
    (
        "you subtract w h from h; what is squashed is w h + b, so that w h + b = ln(h / (1 - h))",
        partial(_fold, bias=lambda w, h: h - w * h),
    ),
    (
        "your logit is upside down: σ⁻¹(h) = ln(h / (1 - h))",
        partial(_fold, bias=lambda w, h: -h.logit() - w * h),
    ),
    (
        "your logit lacks the 1 - h: σ⁻¹(h) = ln(h / (1 - h))",
        partial(_fold, bias=lambda w, h: h.log() - w * h),
    ),
    ("w h is missing: ln(h / (1 - h)) = w h + b", partial(_fold, bias=lambda w, h: h.logit())),
    ("the logit is missing: ln(h / (1 - h)) = w h + b", partial(_fold, bias=lambda w, h: -w * h)),
    (
        "you add w h; it changes sides in ln(h / (1 - h)) = w h + b",
        partial(_fold, bias=lambda w, h: h.logit() + w * h),
    ),
)


def fold(answer, seed: int = 1) -> Verdict:
    """Exercise 2: `answer(w (N,)) -> h (N,), b (N,)`, the fold of the upper state for w ≥ 4."""
    generator = torch.Generator().manual_seed(seed)
    cases = {
        "w = 4, the cusp, by hand": {"w": torch.tensor([4.0])},
        "w = 16/3, where h = 3/4, by hand": {"w": torch.tensor([16 / 3])},
        "stronger and stronger": {"w": torch.tensor([4.5, 6.0, 8.0, 12.0])},
        "eight genes at random": {"w": 4.2 + 8 * torch.rand(8, generator=generator)},
    }
    ideas = {"h": OF_THE_STATE, "b": OF_THE_BIAS + OF_THE_STATE}
    return examine("fold", answer, cases, _fold, ideas)
