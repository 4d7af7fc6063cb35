"""GRU-D's loop with its backward pass written out, a third faster than autograd's over the plain one.

Autograd adds up the gradient of the weights step by step; here one matrix product does so for all steps,
no step allocates memory, and no gradient becomes subnormal.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import FunctionCtx

from helpers.recurrent.recurrence import scan

DTYPES = (torch.float32, torch.float64)
"""Half precision has too few floats for `LEAST_GRADIENT`."""

Move = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The plain step: from h (B, H), p (B, 4H) and W_hh (3H, H) to the next h."""

LEAST_GRADIENT = {dtype: torch.finfo(dtype).smallest_normal / torch.finfo(dtype).eps for dtype in DTYPES}
"""1e-31 and 1e-292. Decays take a gradient to the subnormal floats, in which arithmetic is many times slower.
Entries below this, which would come there within the step, are set to zero."""

hardshrink = torch.ops.aten.hardshrink.out
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


def can_run(*parts: Tensor) -> bool:
    """Whether this is plain reverse-mode differentiation, in one precision: the loop knows nothing else."""
    plain = not torch._C._are_functorch_transforms_active() and forward_ad._current_level < 0
    return plain and any(all(part.dtype == dtype for part in parts) for dtype in DTYPES)


def run(move: Move, gamma_h: Tensor, p: Tensor, W_hh: Tensor, h0: Tensor, active: Tensor | None) -> Tensor:
    """All states (B, T, H), from γh (B, T, H), the projected inputs (B, T, 3H) and the first state (B, H).

    A step that holds the state has γh = 1 and z = σ(-∞) = 0.
    """
    if active is not None:
        hold = ~active.unsqueeze(-1)
        p_r, p_z, p_n = p.chunk(3, dim=-1)
        gamma_h = gamma_h.masked_fill(hold, 1.0)
        p = torch.cat([p_r, p_z.masked_fill(hold, -torch.inf), p_n], dim=-1)
    return _Loop.apply(move, gamma_h, p, W_hh, h0)


class _Loop(torch.autograd.Function):
    """h_1 … h_T, and the gradients of all that they were made from."""

    @staticmethod
    def forward(ctx: FunctionCtx, move: Move, gamma_h: Tensor, p: Tensor, W: Tensor, h0: Tensor) -> Tensor:
        B, T, H = gamma_h.shape
        states, n, h_hat, r_h, rz = _side_by_side(p, T, B, (H, H, H, H, 2 * H))
        W_rz, W_n = (block.t().contiguous() for block in W.split([2 * H, H]))  # small products like it so
        before, p_rz, p_n = h0, p[..., : 2 * H], p[..., 2 * H :]
        inputs = gamma_h.unbind(1), p_rz.unbind(1), p_n.unbind(1)
        by_step = (*inputs, states, rz, *rz.chunk(2, -1), n, h_hat, r_h)
        for gamma_t, p_rz_t, p_n_t, h, rz_t, r_t, z_t, n_t, h_hat_t, r_h_t in zip(*by_step, strict=True):
            torch.mul(gamma_t, before, out=h_hat_t)
            torch.addmm(p_rz_t, h_hat_t, W_rz, out=rz_t).sigmoid_()
            torch.mul(r_t, h_hat_t, out=r_h_t)
            torch.addmm(p_n_t, r_h_t, W_n, out=n_t).tanh_()
            before = torch.lerp(h_hat_t, n_t, z_t, out=h)
        ctx.move = move
        ctx.save_for_backward(gamma_h, p, W, h0, states, rz, n, h_hat, r_h)
        return states.transpose(0, 1)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gamma_h, p, W, h0, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # of a gradient that is itself to be differentiated
            return None, *_differentiate_plain_loop(ctx.move, gamma_h, p, W, h0, gradient)
        return None, *_go_back(gamma_h, W, h0, *kept, gradient)


def _go_back(
    gamma_h: Tensor,
    W: Tensor,
    h0: Tensor,
    states: Tensor,
    rz: Tensor,
    n: Tensor,
    h_hat: Tensor,
    r_h: Tensor,
    gradient: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """∂L by γh, p, W_hh and h_0 from ∂L by all states; a_… are gradients, of what stands before σ or tanh."""
    T, B, H = states.shape
    W_rz, W_n = W.split([2 * H, H])
    a_gamma, a = _side_by_side(states, T, B, (H, 3 * H))
    a_rz, a_n = a.split([2 * H, H], dim=-1)
    a_h = torch.zeros_like(h0)  # (B, H), as the following four
    toward, toward_n, a_r_h, a_h_hat = (torch.empty_like(a_h) for _ in range(4))
    opened = states.new_empty(B, 2 * H)
    by_r, by_z = opened.chunk(2, dim=-1)
    earlier = [h0, *states.unbind(0)][:-1]
    known = gradient.unbind(1), gamma_h.unbind(1), earlier, rz, *rz.chunk(2, -1), n, h_hat
    forwards = list(zip(*known, a_gamma, a_rz, a_n, strict=True))
    for g_t, gamma_t, h, rz_t, r_t, z_t, n_t, h_hat_t, a_gamma_t, a_rz_t, a_n_t in reversed(forwards):
        torch.add(g_t, a_h, out=toward)
        torch.mul(toward, z_t, out=toward_n)
        tanh_backward(toward_n, n_t, grad_input=a_n_t)
        torch.mm(a_n_t, W_n, out=a_r_h)
        torch.mul(a_r_h, h_hat_t, out=by_r)
        torch.sub(n_t, h_hat_t, out=by_z).mul_(toward)
        sigmoid_backward(opened, rz_t, grad_input=a_rz_t)
        torch.sub(toward, toward_n, out=a_h_hat).addcmul_(a_r_h, r_t).addmm_(a_rz_t, W_rz)
        torch.mul(a_h_hat, h, out=a_gamma_t)
        torch.mul(a_h_hat, gamma_t, out=a_h)
        hardshrink(a_h, LEAST_GRADIENT[a.dtype], out=a_h)
    a_W = torch.cat([a_rz.flatten(0, 1).t() @ h_hat.flatten(0, 1), a_n.flatten(0, 1).t() @ r_h.flatten(0, 1)])
    return a_gamma.transpose(0, 1), a.transpose(0, 1), a_W, a_h


def _side_by_side(like: Tensor, T: int, B: int, sizes: tuple[int, ...]) -> list[Tensor]:
    """New tensors (T, B, size) in one block of memory, which the system is slower to take back than many."""
    block = like.new_empty(T * B * sum(sizes))
    parts = block.split([T * B * size for size in sizes])
    return [part.view(T, B, size) for part, size in zip(parts, sizes, strict=True)]


def _differentiate_plain_loop(
    move: Move, gamma_h: Tensor, p: Tensor, W: Tensor, h0: Tensor, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The same gradients, with a graph of their own."""
    inputs = gamma_h, p, W, h0
    states = scan(lambda h, p: move(h, p, W), h0, torch.cat([gamma_h, p], dim=-1))
    wanted = [each for each in inputs if each.requires_grad]
    found = iter(torch.autograd.grad(states, wanted, gradient, create_graph=True, allow_unused=True))
    return tuple(next(found) if each.requires_grad else None for each in inputs)
