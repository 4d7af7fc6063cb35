"""How a solution changes with its start and its parameters, carried along with it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import check_positive_number
from helpers.odes.arguments import check_params, check_state
from helpers.odes.loop import Field
from helpers.odes.solve import solve


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A solution and its derivatives; without the batch axis if y₀ had none.

    Attributes
    ----------
    t : Tensor (T,) or (B, T)
        Times, as given.
    y : Tensor (B, T, ...)
        States.
    by_y0 : Tensor (B, T, ..., ...)
        ∂y/∂y₀ of each sample, the axes of y₀ last.
    by_params : tuple of Tensor (B, T, ..., *shape of the parameter)
        ∂y/∂θ of each parameter.
    """

    t: Tensor
    y: Tensor
    by_y0: Tensor
    by_params: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class _Augmented:
    """f with the sensitivity equation beside it, for states (y, S)."""

    field: Callable[[Tensor, Tensor], Tensor]
    params: list[Tensor]
    one_state: bool

    @property
    def breaks(self) -> Tensor | None:
        """Where f jumps, as far as it says so."""
        return getattr(self.field, "breaks", None)

    def __call__(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """y' = f and S' = (∂f/∂y) S + ∂f/∂θ.

        All columns of S' at once: (∂f/∂y)ᵀ u and (∂f/∂θ)ᵀ u are linear in u, and their derivatives by u,
        along S and along each parameter, are what is wanted.
        """
        y, S = state  # (B, ...), (B, D, C)
        y, columns = y.detach().requires_grad_(), S.shape[2]
        with torch.enable_grad():
            slope = self.field(t[0], y[0])[None] if self.one_state else self.field(t, y)
            u = torch.zeros_like(slope).requires_grad_()
            inputs = (y, *self.params)
            pulled = (
                torch.autograd.grad(slope, inputs, u, create_graph=True, allow_unused=True)
                if slope.requires_grad
                else [None] * len(inputs)
            )
        along = (S.movedim(2, 0).reshape(columns, *y.shape), *unit_directions(self.params, columns))
        pairs = [pair for pair in zip(pulled, along, strict=True) if pair[0] is not None]
        pairs = [pair for pair in pairs if pair[0].requires_grad]
        if not pairs:
            return slope.detach(), torch.zeros_like(S)
        outputs, directions = zip(*pairs, strict=True)
        (S_slope,) = torch.autograd.grad(outputs, u, directions, is_grads_batched=True)
        return slope.detach(), S_slope.reshape(columns, len(y), -1).movedim(0, 2)


def unit_directions(params: list[Tensor], columns: int) -> list[Tensor]:
    """A direction of each parameter in each column, (C, *shape): the last columns are their entries."""
    first = columns - sum(parameter.numel() for parameter in params)
    directions = []
    for parameter in params:
        unit = parameter.new_zeros(columns, parameter.numel())
        unit[first : first + parameter.numel()] = torch.eye(parameter.numel()).to(unit)
        directions.append(unit.reshape(columns, *parameter.shape))
        first += parameter.numel()
    return directions


def forward_sensitivity(
    f: Field,
    y0: Tensor,
    t: Tensor,
    params: Iterable[Tensor] = (),
    *,
    method: str = "dopri5",
    lengths: Tensor | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_steps: int = 10_000,
    step: float | None = None,
    breaks: Tensor | None = None,
) -> Sensitivity:
    """Solve y' = f(t, y) together with how y changes with its start and with parameters.

    ::

        S = (∂y/∂y₀, ∂y/∂θ),   S' = (∂f/∂y) S + (0, ∂f/∂θ),   S(t₀) = (1, 0)

    It needs no way back, and gives the derivatives at all times at once. Its bill is the size of the state
    times that of the state and the parameters together, in memory and in work: for many parameters and one
    loss the gradients of `solve` are cheaper by far.

    Parameters
    ----------
    f : callable
        As for `solve`; samples must not mix. It is differentiated twice by torch.
    y0 : Tensor (B, ...) or (D,)
        Initial states, or one.
    t : Tensor (T,) or (B, T)
        Times.
    params : tensors
        What f is made of and the solution is differentiated by; they require a gradient. One that f does not
        depend on has derivative 0, and so has a parameter of each sample in the rows of the others.
    method, lengths, max_steps, step, breaks : optional
        As for `solve`.
    rtol, atol : float
        Tolerances of y and of S alike.

    Returns
    -------
    Sensitivity
        `y`, `by_y0` and `by_params`, without a graph.

    Raises
    ------
    ValueError
        If an argument does not make sense, or a parameter does not require a gradient.
    SolveError
        If a sample does not arrive.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition, section
    I.14.
    """
    check_state(y0)
    for name, value in {"rtol": rtol, "atol": atol}.items():
        check_positive_number(name, value)
    params = check_params(params) or []
    for k, parameter in enumerate(params):
        if not parameter.requires_grad:
            raise ValueError(f"params[{k}] must require a gradient: got one that does not")
    y = y0.detach()[None] if y0.ndim == 1 else y0.detach()
    samples, width = len(y), y[0].numel()
    start = torch.eye(width, width + sum(p.numel() for p in params), dtype=y.dtype, device=y.device)
    how = {"method": method, "rtol": rtol, "atol": atol, "max_steps": max_steps, "step": step}
    field = _Augmented(f, params, y0.ndim == 1)
    with torch.no_grad():
        states = (y, start.expand(samples, -1, -1))
        answers, S = solve(field, states, t.detach(), lengths=lengths, breaks=breaks, **how).y
    by_all = S.split([width, *(p.numel() for p in params)], 3)
    shapes = [y.shape[1:], *(p.shape for p in params)]
    by_y0, *by_params = (
        each.reshape(*S.shape[:2], *y.shape[1:], *shape) for each, shape in zip(by_all, shapes, strict=True)
    )
    if y0.ndim == 1:
        answers, by_y0, by_params = answers[0], by_y0[0], [each[0] for each in by_params]
    return Sensitivity(t, answers, by_y0, tuple(by_params))
