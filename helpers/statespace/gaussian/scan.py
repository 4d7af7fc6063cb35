"""The Kalman filter and smoother as associative scans: O(log T) steps, for machines with many cores.

Each function here gives what a loop over time gives: matrices are stacks (T, M, ·, ·) of M sets, vectors
columns (T, M, ·, N) (see `means`). The log-likelihood is not accumulated in a scan but read from the
innovations, as in the sequential filter.
"""

import torch
from torch import Tensor

from helpers.arguments import refuse_where
from helpers.statespace.gaussian.arrays import sets_first, sets_last
from helpers.statespace.gaussian.associative_scan import Element, associative_scan
from helpers.statespace.gaussian.step import predict_covariance, update_covariance
from helpers.statespace.matrices import symmetric

SWEEPS = 3  # each hands what is exact on by one step, and shrinks what is not as the filter does


def scan_covariances(
    initial: Tensor, A: Tensor, Q: Tensor, C: Tensor, R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Covariances and gains of all steps at once.

    Element t holds what step t alone says: how the state then depends on the state before, and how well it
    shows that earlier state::

        p(h_t | y_t, h_{t-1}) = N(h_t; F_t h_{t-1} + …, V_t)
        p(y_t | h_{t-1}) ∝ exp(−½ h_{t-1}ᵀ J_t h_{t-1} + …)

    and the prefix products hold the filtered covariances, V. From each neighbour some predictions
    and Joseph updates follow, for all steps together: they forget the round-off as the sequential filter
    would, and leave every covariance positive semi-definite.

    Parameters
    ----------
    initial : Tensor (M, H, H)
        P_0.
    A, Q, C, R : Tensor (T, M or 1, H, H), (T, M or 1, H, H), (T, M or 1, D, H) and (T, M or 1, D, D)
        A_0 and Q_0 are not read. At missing entries rows of C are 0 and R is the identity.

    Returns
    -------
    filtered, predicted, gain, innovation : Tensor (T, M, H, H), (T, M, H, H), (T, M, H, D) and (T, M, D, D)

    Raises
    ------
    ValueError
        If C_t Q_t C_tᵀ + R_t is not positive definite at some step after the first: what that step alone says
        of the state before has no density, though the sequential filter may find its way.

    Source: Särkkä and García-Fernández (2021), Temporal parallelization of Bayesian smoothers, IEEE
    Transactions on Automatic Control 66(1), section IV-A.
    """
    first = symmetric(update_covariance(initial, C[0], R[0])[0])
    A, Q = A[1:], Q[1:]
    later = _elements(A, Q, C[1:], R[1:])
    nothing = torch.zeros_like(first)
    elements = tuple(
        torch.cat([start.unsqueeze(0), part.expand(-1, len(initial), -1, -1)])
        for start, part in zip((nothing, first, nothing), later, strict=True)
    )
    _, filtered, _ = associative_scan(_filter_both, elements)
    for _ in range(SWEEPS):
        following = symmetric(predict_covariance(filtered[:-1], A, Q))
        predicted = torch.cat([initial.unsqueeze(0), following])
        filtered, gain, innovation = update_covariance(predicted, C, R)
        filtered = symmetric(filtered)
    return tuple(sets_first(sets_last(part)) for part in (filtered, predicted, gain, innovation))


def _elements(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Element:
    """The element of each step.

    ::

        S = C Q Cᵀ + R,   K = Q Cᵀ S⁻¹
        F = (I − K C) A,   V = (I − K C) Q,   J = Aᵀ Cᵀ S⁻¹ C A
    """
    whitened = torch.linalg.solve_triangular(_cholesky(C @ Q @ C.mT + R), C, upper=False)  # S^(-1/2) C
    gained, shown = Q @ whitened.mT, whitened @ A
    return A - gained @ shown, Q - gained @ gained.mT, shown.mT @ shown


def _filter_both(earlier: Element, later: Element) -> Element:
    """What two successive stretches of time say together, i the earlier and j the later.

    ::

        G = (I + V_i J_j)⁻¹,   F = F_j G F_i,   V = F_j G V_i F_jᵀ + V_j,   J = F_iᵀ J_j G F_i + J_i

    G exists always, for the product of two positive semi-definite matrices has no negative eigenvalue.
    Neither Q nor V needs an inverse.
    """
    (F_i, V_i, J_i), (F_j, V_j, J_j) = earlier, later
    identity = torch.eye(F_i.shape[-1], dtype=F_i.dtype, device=F_i.device)
    G = torch.linalg.inv(identity + V_i @ J_j)
    across = G @ F_i
    return F_j @ across, symmetric(F_j @ G @ V_i @ F_j.mT) + V_j, symmetric(F_i.mT @ J_j @ across) + J_i


def affine_scan(start: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """All states of m_t = F_t m_{t-1} + f_t at once, by prefix products of affine maps.

    Arguments and result are those of `means.affine_loop`.

    Source: Särkkä and García-Fernández (2021), section IV-A, with the covariances' share of the elements
    known.
    """
    factor = torch.cat([factor.new_zeros(1, *factor.shape[1:]), factor])
    return associative_scan(_apply_both, (factor, torch.cat([start.unsqueeze(0), shift])))[1]


def _apply_both(earlier: Element, later: Element) -> Element:
    """Two affine maps m ↦ F m + f, one after the other."""
    (F_i, f_i), (F_j, f_j) = earlier, later
    return F_j @ F_i, F_j @ f_i + f_j


def adjoint_scan(back: Tensor, surprise: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """What all that is observed from each step on says about its predicted state, for all steps at once.

    ::

        r_t = E_t r_{t+1} + c_t,   N_t = E_t N_{t+1} E_tᵀ + W_t

    Parameters
    ----------
    back : Tensor (T, M, H, H)
        E_t = (I − K_t C_t)ᵀ A_{t+1}ᵀ; the last is not read.
    surprise : Tensor (T, M, H, N)
        c_t = C_tᵀ S_t⁻¹ e_t.
    information : Tensor (T, M, H, H)
        W_t = C_tᵀ S_t⁻¹ C_t.

    Returns
    -------
    r, N : Tensor (T, M, H, N) and (T, M, H, H)

    Source: Durbin and Koopman (2012), Time series analysis by state space methods, eqs 4.38 and 4.42.
    """
    _, r, N = associative_scan(_adjoint_both, (back, surprise, information), reverse=True)
    return r, N


def _adjoint_both(earlier: Element, later: Element) -> Element:
    """The maps (r, N) ↦ (E r + c, E N Eᵀ + W) of the later, then of the earlier step."""
    (E_i, c_i, W_i), (E_j, c_j, W_j) = earlier, later
    return E_i @ E_j, E_i @ c_j + c_i, symmetric(E_i @ W_j @ E_i.mT) + W_i


def _cholesky(innovation_covariance: Tensor) -> Tensor:
    root, failed = torch.linalg.cholesky_ex(innovation_covariance)
    refuse_where(
        failed > 0,
        lambda step, series: (
            "parallel=True needs C Q C' + R to be positive definite at every step after the first: "
            f"it is not at step {step + 1} of series {series}; the sequential filter needs only C P C' + R"
        ),
    )
    return root
