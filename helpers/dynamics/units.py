"""Sizes that states and defects are measured by, so that no answer depends on the units of states or time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.dynamics.systems import Map, System

MAX_EXPONENT = 20.0
"""Sizes of states are sought from 1e-20 to 1e20."""


@dataclass(frozen=True, eq=False)
class Units:
    """A system in variables of order one: x = h / states, F(x) / defects.

    Both are powers of two, by which nothing is rounded.

    Attributes
    ----------
    system : Map or Flow
        Of states h (B, D).
    states : Tensor (D,)
        A typical size of each variable.
    defects : Tensor (D,)
        A typical size of what each entry of the defect is a sum of, in the unit of the defect.
    """

    system: System
    states: Tensor
    defects: Tensor

    def defect(self, scaled: Tensor) -> Tensor:
        """F (B, D) at x (B, D)."""
        return self.system.defect(scaled * self.states) / self.defects

    def defect_jacobian(self, scaled: Tensor) -> Tensor:
        """∂F/∂x (B, D, D)."""
        return self.system.defect_jacobian(scaled * self.states) * self.states / self.defects[:, None]

    def is_zero(self, scaled: Tensor, values: Tensor, tolerance: float) -> Tensor:
        """Where each |F_i| ≤ tolerance · (1 + Σ_j |J_ij| |x_j|) is finite, as a mask (B,)."""
        terms = (self.defect_jacobian(scaled).abs() @ scaled.abs()[..., None]).squeeze(-1)
        return ((values.abs() <= tolerance * (1 + terms)) & values.isfinite()).all(-1)

    def least_growth(self, eigenvalues: Tensor) -> Tensor:
        """The growth (B, 1) that round-off makes of none: √ε of the slowest rate, or 10 ε of the fastest."""
        epsilon = torch.finfo(self.states.dtype).eps
        if isinstance(self.system, Map):
            return torch.full_like(eigenvalues.real[:, :1], epsilon**0.5)
        slowest = (self.defects / self.states).min()
        return (epsilon**0.5 * slowest).maximum(10 * epsilon * eigenvalues.abs().amax(-1, keepdim=True))


def units_of(system: System, starts: Tensor) -> Units:
    """The units of a system whose fixed points are sought from starts (B, D)."""
    states = _typical(starts.abs())
    terms = system.jacobian(starts).abs() @ states
    terms = terms + states if isinstance(system, Map) else terms
    return Units(system, states, _typical(terms))


def _typical(sizes: Tensor) -> Tensor:
    """The median of each column of (B, D), to a power of two; where that is 0 the largest of all, or 1."""
    sizes = sizes.where(sizes.isfinite(), 0.0)
    size = sizes.median(dim=0).values
    size = size.where(size > 0, sizes.amax(0))
    size = size.where(size > 0, sizes.max())
    return size.where(size > 0, 1.0).log2().round().exp2()


def state_size(
    family: Callable[[Tensor], System], starts: Tensor, parameter: float, bounds: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """How far each start's Jacobian changes by half (B,), to a power of ten; and its size (B,).

    Of a linear system, whose Jacobian stays, it is the size of the start, or of how far the fixed point goes.
    """

    def system(p: float) -> System:
        return family(torch.full_like(starts[:, 0], p))

    def size(matrices: Tensor) -> Tensor:
        return torch.linalg.vector_norm(matrices, dim=(-2, -1)).nan_to_num(0.0, 0.0)

    here = system(parameter)
    jacobian = here.jacobian(starts)
    reference = torch.stack([size(system(p).jacobian(starts)) for p in (*bounds, parameter)]).amax(0)
    direction = torch.arange(1, 1 + starts.shape[-1]).to(starts).cos()
    direction = direction / direction.abs().max()

    def stays(exponent: Tensor) -> Tensor:
        away = 10.0 ** exponent[:, None] * direction
        changes = torch.stack([here.jacobian(starts + way) - jacobian for way in (away, -away)])
        norms = torch.linalg.vector_norm(changes, dim=(-2, -1))
        return (norms < reference / 2).all(0)  # False for NaN

    low = torch.full_like(starts[:, 0], -MAX_EXPONENT)
    high = -low
    is_linear = stays(high)
    while (high - low > 1).any():
        middle = ((low + high) / 2).floor()
        below = stays(middle)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    far = _linear_change(system, starts, bounds).maximum(starts.abs().amax(-1))
    return torch.where(is_linear, far.where(far > 0, 1.0), 10.0**high), reference


def _linear_change(system: Callable[[float], System], starts: Tensor, bounds: tuple[float, float]) -> Tensor:
    """How far one Newton step at each of the bounds goes (B,)."""
    steps = []
    for p in bounds:
        at = system(p)
        step = torch.linalg.solve_ex(at.defect_jacobian(starts), at.defect(starts)[..., None]).result
        steps.append(step.abs().amax((-2, -1)).nan_to_num(0.0, 0.0))
    return torch.stack(steps).amax(0)
