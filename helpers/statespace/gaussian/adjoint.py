"""What the present and the future say about each state: read by the smoother and by the score."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.gaussian.means import affine_loop
from helpers.statespace.gaussian.recursion import Advance, Parts, recurse
from helpers.statespace.matrices import symmetric


@dataclass(frozen=True, eq=False)
class Adjoint:
    """What is known of each state from its own step on.

    Attributes
    ----------
    precision, gain : Tensor (T, M, D, D) and (T, M, H, D)
        S⁻¹ and K.
    back : Tensor (T, M, H, H)
        E_t = (I − K_t C_t)ᵀ A_{t+1}ᵀ, 0 at the last step.
    r, N : Tensor (T, M, H, N) and (T, M, H, H)
        What y_t … y_{T-1} say about the predicted h_t: its mean moves by P⁻ r, its covariance by −P⁻ N P⁻.
    """

    precision: Tensor
    gain: Tensor
    back: Tensor
    r: Tensor
    N: Tensor


def adjoint(A: Tensor, C: Tensor, predicted: Tensor, S: Tensor, innovation: Tensor, run: Callable) -> Adjoint:
    """Run back through the series.

    ::

        r_t = E_t r_{t+1} + C_tᵀ S_t⁻¹ e_t,   N_t = E_t N_{t+1} E_tᵀ + C_tᵀ S_t⁻¹ C_t

    Parameters
    ----------
    A : Tensor (T - 1, M or 1, H, H)
        Into steps 1 … T-1.
    C : Tensor (T, M, D, H)
        With zeros in the rows of missing entries.
    predicted, S : Tensor (T, M, H, H) and (T, M, D, D)
        Covariances of the predicted states and of the innovations.
    innovation : Tensor (T, M, D, N)
        e.
    run : function
        `adjoint_loop`, or `adjoint_scan`, which equals it.

    Source: Durbin and Koopman (2012), Time series analysis by state space methods, section 4.4.
    """
    precision = torch.linalg.inv(S)
    weighted = C.mT @ precision
    gain = predicted @ weighted
    back = with_nothing_after((A - (A @ gain[:-1]) @ C[:-1]).mT)
    r, N = run(back, weighted @ innovation, symmetric(weighted @ C))
    return Adjoint(precision, gain, back, r, N)


def with_nothing_after(stack: Tensor) -> Tensor:
    """One more step at the end, of zeros."""
    return pad(stack, (0, 0) * 3 + (0, 1))


def adjoint_loop(back: Tensor, surprise: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """What `adjoint_scan` returns, step by step from the last to the first."""
    back, surprise, information = (part.flip(0) for part in (back, surprise, information))
    changed = ((back[1:] != back[:-1]) | (information[1:] != information[:-1])).flatten(1).any(-1)
    differentiable = torch.is_grad_enabled() and (back.requires_grad or information.requires_grad)
    (N,) = recurse((information[0],), _backwards, (back, information), changed, differentiable)
    return affine_loop(back, surprise).flip(0), symmetric(N).flip(0)


def _backwards(back: Tensor, information: Tensor) -> Advance:
    maps, informations = back.unbind(0), information.unbind(0)

    def advance(step: int, later: Parts) -> Parts:
        return (torch.baddbmm(informations[step], maps[step] @ later[0].mT, maps[step].mT),)

    return advance
