"""Exercise 4: a matrix whose powers fade in the end, and grow before."""

import torch
from torch import Tensor

from helpers.checks.attempt import attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict
from helpers.statespace import spectral_radius

REQUESTS = ((0.7, 4.0), (0.9, 10.0), (0.98, 50.0))  # spectral radius, and how large the powers grow
LATER_REQUESTS = ((0.6, 5.0), (0.85, 20.0), (0.97, 8.0))
LARGEST_EXCESS = 1.2  # times the growth that was asked for
STEPS = 1000
RADIUS_TOLERANCE = 0.002


def transient(answer, seed: int = 1) -> Verdict:
    """Exercise 4: `answer(rho, peak) -> (2, 2)` of spectral radius ρ, its powers growing to `peak`.

    The powers judge: max over k of ‖W^k‖₂ must lie between `peak` and 1.2 times that. Seed 1 asks for other
    numbers than every other seed.
    """
    requests = REQUESTS if seed == 1 else LATER_REQUESTS
    return examine(
        "transient",
        answer,
        cases={},  # many matrices are right: their powers judge
        reference=_power_norms,
        properties=lambda function: [_judge(function, *request) for request in requests],
    )


def _judge(function, rho: float, peak: float) -> Item:
    tried = attempt(function, {"rho": rho, "peak": peak}, torch.empty(2, 2))
    asked = f"ρ = {rho:g}, up to {peak:g}"
    if tried.answer is None:
        return Item(False, f"{asked}: {tried.problem}")
    if not tried.answer.isfinite().all():
        return Item(False, f"{asked}: your matrix holds an infinity or NaN")
    norms = _power_norms(tried.answer)
    fault = _wrong_radius(tried.answer, rho) or _wrong_growth(tried.answer, norms, peak)
    if fault:
        return Item(False, f"{asked}: {fault}")
    largest = int(norms.argmax()) + 1
    return Item(True, f"{asked}: ‖W^{largest}‖ = {norms.max():.3g} is the largest, and all fades after it")


def _power_norms(W: Tensor) -> Tensor:
    """‖W^k‖₂ for k = 1 … 1000, shape (1000,)."""
    powers = [W]
    for _ in range(STEPS - 1):
        powers.append(powers[-1] @ W)
    return torch.linalg.matrix_norm(torch.stack(powers), ord=2)


def _wrong_radius(W: Tensor, rho: float) -> str | None:
    radius = spectral_radius(W).item()
    if abs(radius - rho) <= RADIUS_TOLERANCE:
        return None
    found = f"its largest |eigenvalue| is {radius:.3g}, not {rho:g}"
    if abs(torch.linalg.matrix_norm(W, ord=2).item() - rho) <= RADIUS_TOLERANCE:
        return f"{found}; {rho:g} is its spectral norm, so that not a single step can grow"
    if W[0, 1] * W[1, 0] != 0:
        return f"{found}; with both corners filled the eigenvalues are no longer on the diagonal"
    return found


def _wrong_growth(W: Tensor, norms: Tensor, peak: float) -> str | None:
    largest, at = norms.max().item(), int(norms.argmax()) + 1
    grown = f"the largest power is W^{at}, of norm {largest:.3g}"
    if peak * (1 - 1e-4) <= largest <= LARGEST_EXCESS * peak:
        return None
    if torch.allclose(W @ W.T, W.T @ W, atol=1e-4):
        return "your matrix is normal, W Wᵀ = Wᵀ W: ‖W^k‖ = ρ^k, which falls from the first step on"
    if peak <= norms[0] <= LARGEST_EXCESS * peak:
        return f"your first step alone has norm {norms[0]:.3g}, and the powers go on growing: {grown}"
    corner = "the corner of W^k is k c ρ^(k-1), so"
    if largest > peak:
        return f"{grown}, more than {LARGEST_EXCESS:g} times what was asked: {corner} shrink c"
    return f"{grown}, which is less than {peak:g}: {corner} enlarge c"
