"""Which readings rounding has left without digits: they are refused, as nothing after them would be right.

The innovation covariance S is what is left of a prediction once earlier readings have been heard. Where it is
less than `lost` of the terms that it was made of, three quarters of its digits are gone.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import refuse_where
from helpers.statespace.gaussian.step import check_innovations
from helpers.statespace.matrices import lost

LOST = (
    "the innovation covariance C P C' + R is positive only by rounding: what is read was known to the last "
    "digit, after readings without noise, or a vague start lost it, for which a flat prior (diffuse) is exact"
)


@torch.no_grad()
def check_digits(A: Tensor, C: Tensor, predicted: Tensor, innovation: Tensor, series: Tensor) -> None:
    """Refuse a reading whose covariance S is not positive definite, or has lost its digits.

    Parameters
    ----------
    A, C : Tensor (T, M or 1, H, H) and (T, M, D, H)
        With zeros in the rows of C that belong to missing entries.
    predicted, innovation : Tensor (T, M, H, H) and (T, M, D, D)
        P⁻ and S.
    series : Tensor (M,)
        Names the series of each.

    Raises
    ------
    ValueError
        Naming series and step.
    """
    check_innovations(innovation, series)
    if innovation.numel() == 0 or _have_digits_to_spare(A, C, predicted, innovation):
        return
    few = has_few_digits(C, predicted, innovation)
    few[1:] |= _repeats(A[1:], C[1:], predicted[:-1], innovation[1:])
    refuse_where(few.T, lambda m, t: f"{LOST}: series {series[m].item()} at step {t}")


def _have_digits_to_spare(A: Tensor, C: Tensor, predicted: Tensor, innovation: Tensor) -> bool:
    """Whether the least variance of all is large beside what the largest numbers could make of any."""
    states = C.shape[-1]
    read = states * C.abs().amax() * _variances(predicted).amax().clamp(min=0.0).sqrt()
    moved = read * (1 + states * A.abs().amax())
    return bool(_variances(innovation).amin() > lost(C.dtype) * moved.square())


@torch.no_grad()
def has_few_digits(C: Tensor, predicted: Tensor, innovation: Tensor) -> Tensor:
    """Whether some S_dd (..., D) is less than `lost` of the terms of its sum, of which it is a difference.

    A term of C P⁻ Cᵀ is at most |C_di| √P⁻_ii |C_dj| √P⁻_jj.
    """
    terms = C.abs() @ _deviations(predicted)
    return (_variances(innovation) < lost(C.dtype) * terms.squeeze(-1).square()).any(-1)


@torch.no_grad()
def has_lost_variance(C: Tensor, R: Tensor, predicted: Tensor, filtered: Tensor, S: Tensor) -> Tensor:
    """Whether some P_ii (...) is less than `lost` of the terms of (I − K C) P⁻ (I − K C)ᵀ.

    Readings without noise tell a state to the last digit: it has no digits to lose. K has lost as many as the
    condition of S, in correlations, has.
    """
    eps, share = torch.finfo(C.dtype).eps, lost(C.dtype)
    gain = torch.linalg.solve_ex(S, C @ predicted).result.mT
    identity = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device)
    deviation = _deviations(predicted)
    terms = (identity - gain @ C).abs() @ deviation
    spread = _deviations(S)
    values = pad(torch.linalg.eigvalsh(S / spread / spread.mT), (1, 1), value=1.0)  # S may have no rows
    condition = (values.amax(-1) / values.amin(-1).clamp(min=eps))[..., None, None]
    rounding = eps * (identity + condition * (gain.abs() @ C.abs())) @ deviation
    size = share * terms.square() + share / eps * rounding.square()
    noisy = (_variances(R) > 0).all(-1, keepdim=True)
    return (noisy & (_variances(filtered) < size.squeeze(-1))).any(-1)


def _repeats(A: Tensor, C: Tensor, before: Tensor, innovation: Tensor) -> Tensor:
    """Whether a reading (T - 1, M) is of what earlier ones have told to the last digit, and has no noise.

    Of a variance that has become 0, rounding leaves some units in the last place squared. So S is compared
    with what it was made of, had the reading before it not been heard.
    """
    largest = _deviations(before).cummax(0).values
    size = 64 * torch.finfo(C.dtype).eps * (C.abs() @ (A.abs() @ largest))
    return (_variances(innovation) < size.squeeze(-1).square()).any(-1)


def _deviations(covariance: Tensor) -> Tensor:
    return _variances(covariance).clamp(min=0.0).sqrt().unsqueeze(-1)


def _variances(covariance: Tensor) -> Tensor:
    return covariance.diagonal(dim1=-2, dim2=-1)
