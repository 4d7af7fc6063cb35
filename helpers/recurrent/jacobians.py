"""Products of many Jacobians, and their singular values, however large or small."""

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from helpers.arguments import check_finite
from helpers.recurrent.explosion import refuse_non_finite
from helpers.recurrent.graded import log_singular_values, size_ratios, sort_by_size
from helpers.recurrent.recurrence import (
    Recurrence,
    Transition,
    check_recurrence,
    initial_state,
    inputs_of,
    observed_steps,
    scan,
)
from helpers.series import IrregularBatch

ENTRIES_AT_ONCE = 2**22
"""Most entries of Jacobians that are held in memory together: 32 MiB in float64."""

STEPS_BETWEEN_SORTS = 8
"""Steps after which rows are sorted by size again; sizes drift apart slowly."""


@dataclass(frozen=True, eq=False)
class JacobianProduct:
    """A product of Jacobians in a form that neither overflows nor underflows: J = Q diag(e^s) U.

    Attributes
    ----------
    orthogonal : Tensor (B, S, S)
        Q.
    log_scale : Tensor (B, S)
        s, in descending order; -∞ where the product has lost a dimension exactly.
    rows : Tensor (B, S, S)
        U, the largest entry of each row ±1 (a lost row is zero).
    log_singular_values : Tensor (B, S)
        log σ in descending order.
    """

    orthogonal: Tensor
    log_scale: Tensor
    rows: Tensor
    log_singular_values: Tensor

    @property
    def singular_values(self) -> Tensor:
        """σ in descending order, (B, S); ∞ or 0 where it leaves the float range."""
        return self.log_singular_values.exp()

    @property
    def matrix(self) -> Tensor:
        """J itself, (B, S, S); entries that leave the float range are not finite, or 0."""
        return self.orthogonal @ (self.log_scale.exp().unsqueeze(-1) * self.rows)


@torch.inference_mode(False)
def jacobian_product(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    k: int,
    T: int | None = None,
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> JacobianProduct:
    """Multiply the Jacobians of all steps from h_k to h_T, and decompose the product.

    ::

        ∂h_T/∂h_k = J_T J_{T-1} ⋯ J_{k+1},   J_t = ∂h_t/∂h_{t-1}

        J_t Q_{t-1} = Q_t R_t,   diag(e^s) U ← R_t diag(e^s) U

    One QR decomposition per step; the triangular factors are multiplied with the size of each row kept as a
    logarithm, and every few steps the rows are sorted by size, so that a small one is not lost beside a large
    one. At the end a one-sided Jacobi rotation gives every singular value, not only the largest, to a
    relative error of about (T - k) · ε · cond(J_t). All of this is done in float64, ε = 2e-16; but Jacobians
    of a float32 model are themselves rounded to 6e-8.

    Parameters
    ----------
    model : Recurrence
        Anything with `project`, `step` and `state_size`.
    x : Tensor (B, T or more, D) or IrregularBatch
        What `model.project` takes; a batch brings its own mask and lengths.
    k, T : int
        0 ≤ k ≤ T ≤ steps of x; `T` is the last step where left out. For k = T the product is the identity.
    h0 : Tensor (B, S), optional
    mask, lengths : optional
        As for `VanillaRNN.forward`. A step that holds the state multiplies by the identity.

    Raises
    ------
    ValueError
        If k or T is out of range, shapes clash, or x or h0 is not finite.
    FloatingPointError
        If a state is not finite, naming the earliest, or a Jacobian is not.

    Source: Stewart (1995), On graded QR decompositions of products of matrices, Electronic Transactions on
    Numerical Analysis 3:39-49, for the product; Demmel and Veselić (1992), Jacobi's method is more accurate
    than QR, SIAM Journal on Matrix Analysis and Applications 13:1204-1245, for the singular values.
    """
    check_recurrence(model)
    x, active = observed_steps(*inputs_of(model, x, mask, lengths))
    with parametrize.cached(), torch.no_grad():
        projected = model.project(x)
        steps = projected.shape[1]
        T = steps if T is None else T
        if not (isinstance(k, Integral) and isinstance(T, Integral) and 0 <= k <= T <= steps):
            expected = f"whole numbers with 0 <= k <= T <= {steps}, the steps of x"
            raise ValueError(f"k and T must be {expected}: got {k!r} and {T!r}")
        check_finite("x", x[:, :T])
        before = _states_before(model, projected[:, :T], h0, active)
        now = slice(k, T)
        held = None if active is None else ~active[:, now]
        product = _graded_product(model.step, before[:, now], projected[:, now], held)
    logs = log_singular_values(*product[1:])
    return JacobianProduct(*(tensor.to(projected.dtype) for tensor in (*product, logs)))


@torch.inference_mode(False)
def step_jacobians(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Return J_t = ∂h_t/∂h_{t-1} of every step, for all steps at once.

    Parameters
    ----------
    model : Recurrence
        Anything with `project`, `step` and `state_size`.
    x : Tensor (B, T, D) or IrregularBatch
        A batch brings its own mask and lengths.
    h0 : Tensor (B, S), optional
    mask, lengths : optional
        As for `VanillaRNN.forward`.

    Returns
    -------
    Tensor (B, T, S, S)
        `[b, t-1, i, j]` is ∂h_t[i]/∂h_{t-1}[j] of series b, the identity where the state is held; without
        gradient.

    Raises
    ------
    ValueError
        If shapes clash, or x or h0 is not finite.
    FloatingPointError
        If a state is not finite, naming the earliest.
    """
    check_recurrence(model)
    x, active = observed_steps(*inputs_of(model, x, mask, lengths))
    with parametrize.cached(), torch.no_grad():
        projected = model.project(x)
        check_finite("x", x)
        before = _states_before(model, projected, h0, active)
        return _jacobians(model.step, before, projected, None if active is None else ~active)


def _states_before(model: Recurrence, projected: Tensor, h0: Tensor | None, active: Tensor | None) -> Tensor:
    """The state before each step, (B, T, S)."""
    first = initial_state(model, projected, h0)
    check_finite("h0", first)
    states = scan(model.step, first, projected, None if active is None else active[:, : projected.shape[1]])
    refuse_non_finite(states)
    return torch.cat([first.unsqueeze(1), states], dim=1)[:, : projected.shape[1]]


def _jacobians(step: Transition, before: Tensor, projected: Tensor, held: Tensor | None) -> Tensor:
    """∂step/∂h at every step, (B, T, S, S): once the states are known, no step waits for another."""
    series, steps, size = before.shape
    with torch.enable_grad():
        h = before.flatten(0, 1).detach().requires_grad_()
        after = step(h, projected.flatten(0, 1))
    units = torch.eye(size, dtype=h.dtype, device=h.device).unsqueeze(1).expand(size, *h.shape)
    (rows,) = torch.autograd.grad(after, h, units, is_grads_batched=True)  # (S, B·T, S)
    jacobians = rows.movedim(0, 1).unflatten(0, (series, steps))
    return jacobians if held is None else torch.where(held[..., None, None], units[:, 0], jacobians)


def _graded_product(
    step: Transition, before: Tensor, projected: Tensor, held: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Q, s and U of the product of all steps' Jacobians, in float64."""
    series, steps, size = before.shape
    eye = torch.eye(size, dtype=torch.float64, device=before.device).expand(series, size, size)
    product = eye, eye.new_zeros(series, size), eye
    chunk = max(1, ENTRIES_AT_ONCE // max(1, series * size**2))
    for start in range(0, steps, chunk):
        now = slice(start, start + chunk)
        holds = None if held is None else held[:, now]
        jacobians = _jacobians(step, before[:, now], projected[:, now], holds).double()
        for block in jacobians.split(STEPS_BETWEEN_SORTS, dim=1):
            product = _multiply(block, *product)
    if not product[-1].isfinite().all():
        raise FloatingPointError(
            f"the Jacobians must be finite: one is not, or {STEPS_BETWEEN_SORTS} in a row overflow float64"
        )
    return product


def _multiply(
    jacobians: Tensor, orthogonal: Tensor, log_scale: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Q, s and U of J_m ⋯ J_1 · Q diag(e^s) U, sorted by s; the Jacobians are (B, m, S, S)."""
    ratios = size_ratios(log_scale)
    for jacobian in jacobians.unbind(1):
        orthogonal, triangle = torch.linalg.qr(jacobian @ orthogonal)
        rows = (triangle * ratios) @ rows
    log_scale, rows, order = sort_by_size(log_scale, rows)
    return orthogonal.gather(-1, order.unsqueeze(-2).expand_as(orthogonal)), log_scale, rows
