"""The Kalman filter and smoother as associative scans: O(log T) steps, for machines with many cores.

Each function here gives what a loop over time gives, and takes what that loop takes: matrices as stacks (T,
M, ·, ·) of M sets, vectors as columns (T, M, ·, N) (see `helpers.statespace.means`).

The log-likelihood is not accumulated in a scan but read from the innovations, as in the sequential filter.
dynamax 1 accumulates it, and builds the elements from an S with 1e-9 added to its diagonal (`psd_solve`)
but the densities from S itself: over 1000 steps of 4 states and 2 observations that costs each series 4e-6 of
its log-likelihood, and without the addition the error is 2e-12. Its gradient with respect to Q is right, to
7e-7, once symmetrised; how an algorithm divides a derivative between an entry and its mirror image means
nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import refuse_where
from helpers.statespace.associative_scan import Element, associative_scan
from helpers.statespace.covariances import update_covariance
from helpers.statespace.matrices import symmetric


def parallel_covariances(
    initial: Tensor, A: Tensor, Q: Tensor, C: Tensor, R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Covariances and gains of all steps at once.

    Element t holds what step t alone says: how the state then depends on the state before, and how well it
    shows that earlier state,

    .. math::
        p(h_t \mid y_t, h_{t-1}) = N(h_t; F_t h_{t-1} + \dots, V_t), \qquad
        p(y_t \mid h_{t-1}) \propto \exp(-\tfrac12 h_{t-1}^\top J_t h_{t-1} + \dots)

    and the prefix products hold the filtered covariances, V. From each step's neighbour follow one predict
    and one Joseph update, for all steps together: they forget the scan's round-off as the sequential filter
    would, and leave every covariance positive semi-definite.

    Parameters
    ----------
    initial : Tensor (M, H, H)
        P_0.
    A, Q, C, R : Tensor (T, M or 1, H, H), (T, M or 1, H, H), (T, M or 1, D, H) and (T, M or 1, D, D)
        A_0 and Q_0 are not read. At missing entries rows of C are 0 and R is the identity.

    Returns
    -------
    predicted, filtered, gain, innovation_covariance : Tensors, shapes (T, M, ·, ·)

    Raises
    ------
    ValueError
        If :math:`C_t Q_t C_t^\top + R_t` is not positive definite at some step after the first: what that
        step alone says of the state before has no density, though the sequential filter may find its way.

    Source: Särkkä and García-Fernández (2021), Temporal parallelization of Bayesian smoothers, IEEE
    Transactions on Automatic Control 66(1), section IV-A.
    """
    first = _update(initial, C[0], R[0])[0]
    A, Q = A[1:], Q[1:]
    later = _alone(A, Q, C[1:], R[1:])
    nothing = torch.zeros_like(first)
    elements = tuple(
        torch.cat([start.unsqueeze(0), part.expand(-1, len(initial), -1, -1)])
        for start, part in zip((nothing, first, nothing), later, strict=True)
    )
    _, filtered, _ = associative_scan(_filter_both, elements)
    following = symmetric(A @ filtered[:-1] @ A.mT) + Q
    predicted = torch.cat([initial.unsqueeze(0), following])
    return predicted, *_update(predicted, C, R)


def _alone(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Element:
    r"""The element of each step: with :math:`S = C Q C^\top + R` and :math:`K = Q C^\top S^{-1}`,

    .. math:: F = (I - K C) A, \quad V = (I - K C) Q, \quad J = A^\top C^\top S^{-1} C A
    """
    whitened = torch.linalg.solve_triangular(_cholesky(C @ Q @ C.mT + R), C, upper=False)  # S^(-1/2) C
    gained, shown = Q @ whitened.mT, whitened @ A
    return A - gained @ shown, Q - gained @ gained.mT, shown.mT @ shown


def _filter_both(earlier: Element, later: Element) -> Element:
    r"""What two successive stretches of time say together, i the earlier and j the later.

    .. math::
        G = (I + V_i J_j)^{-1}, \quad F = F_j G F_i, \quad V = F_j G V_i F_j^\top + V_j, \quad
        J = F_i^\top J_j G F_i + J_i

    G exists always, for the product of two positive semi-definite matrices has no negative eigenvalue.
    Neither Q nor V needs an inverse.
    """
    (F_i, V_i, J_i), (F_j, V_j, J_j) = earlier, later
    identity = torch.eye(F_i.shape[-1], dtype=F_i.dtype, device=F_i.device)
    G = torch.linalg.inv(identity + V_i @ J_j)
    across = G @ F_i
    return F_j @ across, symmetric(F_j @ G @ V_i @ F_j.mT) + V_j, symmetric(F_i.mT @ J_j @ across) + J_i


def parallel_means(
    initial: Tensor,
    transition: Tensor,
    observation: Tensor,
    gain: Tensor,
    drift: Tensor | None,
    y: Tensor,
    scan: Callable = associative_scan,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Means of all steps at once, with known gains: prefix products of affine maps.

    .. math:: m_t = (I - K_t C_t) A_t m_{t-1} + (I - K_t C_t) B_t u_t + K_t y_t

    Arguments and result are those of `helpers.statespace.means.filter_means`; `scan` may be
    `blocked_scan`.

    Source: Särkkä and García-Fernández (2021), section IV-A, with the covariances' share of the elements
    known.
    """
    factor, shift = affine_means(initial, transition, observation, gain, drift, y)
    _, filtered = scan(apply_both, (factor, shift))
    following = transition[1:] @ filtered[:-1]
    predicted = torch.cat([initial.unsqueeze(0), following if drift is None else following + drift[1:]])
    return predicted, filtered, y - observation @ predicted


def affine_means(
    initial: Tensor, transition: Tensor, observation: Tensor, gain: Tensor, drift: Tensor | None, y: Tensor
) -> Element:
    """The affine map from each filtered mean to the next; the first forgets its argument."""
    factor = transition - gain @ (observation @ transition)
    factor = torch.cat([torch.zeros_like(factor[:1]), factor[1:]])
    start = initial.unsqueeze(0)
    before = pad(start, (0, 0) * 3 + (0, len(y) - 1)) if drift is None else torch.cat([start, drift[1:]])
    return factor, before + gain @ (y - observation @ before)


def parallel_adjoint(
    back: Tensor, surprise: Tensor, information: Tensor, scan: Callable = associative_scan
) -> tuple[Tensor, Tensor]:
    r"""What all that is observed from each step on says about its predicted state, for all steps at once.

    .. math::
        r_t = E_t r_{t+1} + c_t, \qquad N_t = E_t N_{t+1} E_t^\top + W_t

    Parameters
    ----------
    back : Tensor (T, M, H, H)
        :math:`E_t = (I - K_t C_t)^\top A_{t+1}^\top`, 0 at the last step.
    surprise : Tensor (T, M, H, N)
        :math:`c_t = C_t^\top S_t^{-1} e_t`.
    information : Tensor (T, M, H, H)
        :math:`W_t = C_t^\top S_t^{-1} C_t`.
    scan : callable
        `associative_scan` or `blocked_scan`.

    Returns
    -------
    r, N : Tensor (T, M, H, N) and (T, M, H, H)

    Source: Durbin and Koopman (2012), Time series analysis by state space methods, eqs 4.38 and 4.42.
    """
    _, r, N = scan(adjoint_both, (back, surprise, information), reverse=True)
    return r, N


def apply_both(earlier: Element, later: Element) -> Element:
    r"""Two affine maps :math:`m \mapsto F m + f`, one after the other."""
    (F_i, f_i), (F_j, f_j) = earlier, later
    return F_j @ F_i, F_j @ f_i + f_j


def adjoint_both(earlier: Element, later: Element) -> Element:
    r"""The maps :math:`(r, N) \mapsto (E r + c, E N E^\top + W)` of the later, then of the earlier step."""
    (E_i, c_i, W_i), (E_j, c_j, W_j) = earlier, later
    return E_i @ E_j, E_i @ c_j + c_i, symmetric(E_i @ W_j @ E_i.mT) + W_i


def _update(covariance: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    filtered, gain, innovation_covariance = update_covariance(covariance, C, R)
    return symmetric(filtered), gain, innovation_covariance


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
