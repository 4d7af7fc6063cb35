"""What the present and the future say about each state: read by the smoother and by the score."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.statespace.gaussian.arrays import (
    add_product,
    join_steps,
    multiply,
    product,
    sets_first,
    solve_observed,
)
from helpers.statespace.gaussian.means import affine_loop
from helpers.statespace.gaussian.recursion import Advance, Parts, recurse
from helpers.statespace.matrices import symmetric


@dataclass(frozen=True, eq=False)
class Adjoint:
    """What is known of each state from its own step on.

    Attributes
    ----------
    precision : Tensor (T, M, D, D)
        S⁻¹, 0 in the rows and columns of missing entries.
    back : Tensor (T, M, H, H)
        E_t = (I − K_t C_t)ᵀ A_{t+1}ᵀ; the last has no meaning.
    r, N : Tensor (T, M, H, N) and (T, M, H, H)
        What y_t … y_{T-1} say about the predicted h_t: its mean moves by P⁻ r, its covariance by −P⁻ N P⁻.
    """

    precision: Tensor
    back: Tensor
    r: Tensor
    N: Tensor


def adjoint(
    A: Tensor, C: Tensor, seen: Tensor, gain: Tensor, S: Tensor, innovation: Tensor, run: Callable
) -> Adjoint:
    """Run back through the series.

    ::

        r_t = E_t r_{t+1} + C_tᵀ S_t⁻¹ e_t,   N_t = E_t N_{t+1} E_tᵀ + C_tᵀ S_t⁻¹ C_t

    Parameters
    ----------
    A, C : Tensor (T, M or 1, H, H) and (T, M or 1, D, H)
    seen : Tensor (T, M, D, 1), bool
        True where observed.
    gain, S : Tensor (T, M, H, D) and (T, M, D, D)
        K, and the covariance of the innovations.
    innovation : Tensor (T, M, D, N)
        e, 0 where not observed.
    run : function
        `adjoint_loop`, or `adjoint_scan`, which equals it.

    Source: Durbin and Koopman (2012), Time series analysis by state space methods, section 4.4.
    """
    identity = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device)
    precision = gain_of(S, identity.expand_as(S), seen)
    surprise = product(C.mT, product(precision, innovation))
    information = product(product(C.mT, precision), C)
    following = A if A.stride(0) == 0 else join_steps([A[1:], A[:1]])
    back = (following - product(product(following, gain), C)).mT
    r, N = run(back, surprise, symmetric(information))
    return Adjoint(precision, back, r, N)


def gain_of(S: Tensor, cross: Tensor, seen: Tensor) -> Tensor:
    """Xᵀ S⁻¹ (T, M, n, D) of what was observed, from S (T, M, D, D) and X (T, M, D, n)."""
    seen = seen.movedim(-3, -1)
    weights = (part.to(S.dtype).unbind(-3) for part in (seen, ~seen))
    return sets_first(solve_observed(S.movedim(-3, -1), cross.movedim(-3, -1), *weights))


def with_nothing_after(stack: Tensor) -> Tensor:
    """One more step at the end, of zeros."""
    return join_steps([stack, stack.new_zeros(1, *stack.shape[1:])])


def adjoint_loop(back: Tensor, surprise: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """What `adjoint_scan` returns, step by step from the last to the first."""
    changed = torch.ones(len(back) - 1, dtype=torch.bool, device=back.device)
    if back.shape[1] == 1:
        changed[:-1] = (
            ((back[1:-1] != back[:-2]) | (information[1:-1] != information[:-2])).flatten(1).any(-1)
        )
    differentiable = torch.is_grad_enabled() and (back.requires_grad or information.requires_grad)
    maps = back.movedim(1, -1), information.movedim(1, -1)
    (N,) = recurse((maps[1][-1],), _backwards, maps, changed, differentiable, reverse=True)
    return affine_loop(surprise[-1], back[:-1], surprise[:-1], reverse=True), symmetric(sets_first(N))


def _backwards(back: Tensor, information: Tensor) -> Advance:
    maps, informations = back.unbind(0), information.unbind(0)

    def advance(step: int, later: Parts) -> Parts:
        back = maps[step]
        return (add_product(informations[step], multiply(back, later[0]), back.transpose(0, 1)),)

    return advance
