"""Products of powers: what mass action multiplies its rate constants by."""

from functools import reduce

import torch
from torch import Tensor


def monomials(y: Tensor, exponents: Tensor) -> Tensor:
    """m_j = Π_d y_d^e_jd, from y (..., D) and whole exponents (M, D) to (..., M); 0⁰ is 1."""
    return _product(y.unsqueeze(-2) ** exponents)


def monomial_jacobian(y: Tensor, exponents: Tensor) -> Tensor:
    """∂m_j/∂y_d = e_jd y_d^(e_jd - 1) Π_{k≠d} y_k^e_jk, (..., M, D)."""
    base = y.unsqueeze(-2)
    powers = base**exponents  # (..., M, D)
    slopes = exponents * base ** (exponents - 1).clamp(min=0)
    own = torch.eye(y.shape[-1], dtype=torch.bool, device=y.device)
    return _product(torch.where(own, slopes.unsqueeze(-2), powers.unsqueeze(-2)))


def _product(factors: Tensor) -> Tensor:
    """The product over the last axis; its derivative needs no division, unlike that of `Tensor.prod`."""
    return reduce(torch.mul, factors.unbind(-1))
