"""Vector autoregressive moving averages as state-space models, and the impulse response."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import check_broadcastable, check_entries, check_finite, check_like, check_whole_number
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.stationary import stationary_covariance
from helpers.statespace.matrices import check_shape, check_square, cholesky_factor


def varma_to_state_space(
    autoregressive: Tensor, moving_average: Tensor, noise_covariance: Tensor, *, stationary: bool = True
) -> LinearGaussian:
    """Write a VARMA(p, q) process as a hidden state that is seen without noise.

    ::

        y_t = Φ_1 y_{t-1} + … + Φ_p y_{t-p} + ε_t + Θ_1 ε_{t-1} + … + Θ_q ε_{t-q},   ε_t ~ N(0, Σ)

    becomes, with r = max(p, q + 1) blocks of D states and zeros for the matrices beyond p and q::

            ⎛ Φ_1  I      ⎞        ⎛ I       ⎞
        A = ⎜  ⋮      ⋱   ⎟,   G = ⎜ Θ_1     ⎟,   Q = G Σ Gᵀ,   C = (I 0 … 0),   R = 0
            ⎜  ⋮        I ⎟        ⎜  ⋮      ⎟
            ⎝ Φ_r  0  …  0 ⎠        ⎝ Θ_{r-1} ⎠

    Block i of the state is what the past still adds to y in i steps. All of the noise is in Q, of rank D.

    Parameters
    ----------
    autoregressive : Tensor (p, D, D)
        Φ_1 … Φ_p; p may be 0.
    moving_average : Tensor (q, D, D)
        Θ_1 … Θ_q; q may be 0.
    noise_covariance : Tensor (D, D)
        Σ, positive definite. float64 is recommended.
    stationary : bool
        True: the process has run for ever, P_0 = A P_0 Aᵀ + Q. False: it starts from rest at the
        first observation, P_0 = Q, which a process that is not stationary needs.

    Raises
    ------
    ValueError
        If shapes clash, Σ is not positive definite, or a process said to be stationary is not,
        with the spectral radius of A.

    Source: Harvey (1989), Forecasting, structural time series models and the Kalman filter; Durbin and
    Koopman (2012), Time series analysis by state space methods, section 3.4.
    """
    _check_coefficients(autoregressive, moving_average, noise_covariance)
    p, q, D = len(autoregressive), len(moving_average), len(noise_covariance)
    r = max(p, q + 1)
    identity = torch.eye(r * D, dtype=noise_covariance.dtype, device=noise_covariance.device)
    now = identity[:, :D]  # y_t is block 0
    shift = pad(identity[:, :-D], (D, 0))  # block i moves up to i - 1
    A = shift + pad(autoregressive, (0, 0, 0, 0, 0, r - p)).reshape(r * D, D) @ now.mT
    G = torch.cat([now[:D], pad(moving_average, (0, 0, 0, 0, 0, r - 1 - q)).reshape(-1, D)])
    Q = G @ noise_covariance @ G.mT
    check_finite("G Σ Gᵀ of moving_average and noise_covariance", Q.detach())
    return LinearGaussian(
        transition=A,
        observation=now.mT,
        transition_covariance=Q,
        observation_covariance=torch.zeros_like(noise_covariance),
        initial_mean=torch.zeros_like(A[0]),
        initial_covariance=stationary_covariance(A, Q) if stationary else Q,
    )


def impulse_response(A: Tensor, B: Tensor, horizon: int) -> Tensor:
    """What a unit impulse on each input leaves in the state after 0, 1, … steps.

    ::

        Ψ_k = A^k B,   (Ψ_n, …, Ψ_{2n-1}) = A^n (Ψ_0, …, Ψ_{n-1})

    so that `horizon` steps take about log2(horizon) products. What y shows is C Ψ_k.

    Parameters
    ----------
    A, B : Tensor (..., H, H) and (..., H, U)
    horizon : int
        The last step wanted, 0 or more.

    Returns
    -------
    Tensor (..., horizon + 1, H, U)

    Raises
    ------
    ValueError
        If the shapes or dtypes clash, `horizon` is not a whole number of at least 0, or the response grows
        beyond the largest number.
    """
    check_square("A", A)
    check_finite("A", A)
    check_like("B", B, "A", A)
    check_shape("B", B, {"H": A.shape[-1], "U": None}, "to follow A")
    check_finite("B", B)
    check_broadcastable("B", B.shape[:-2], "A", A.shape[:-2])
    check_whole_number("horizon", horizon, least=0)
    response, power = B.unsqueeze(-3), A.unsqueeze(-3)
    response = response.expand(*torch.broadcast_shapes(A.shape[:-2], B.shape[:-2]), *response.shape[-3:])
    while response.shape[-3] <= horizon:
        response, power = torch.cat([response, power @ response], -3), power @ power
    response = response[..., : horizon + 1, :, :]
    check_entries("the response to A and B", response, response.isfinite(), f"fit into {A.dtype}")
    return response


def _check_coefficients(autoregressive: Tensor, moving_average: Tensor, noise_covariance: Tensor) -> None:
    cholesky_factor(noise_covariance, "noise_covariance")
    if noise_covariance.ndim != 2:
        raise ValueError(f"noise_covariance must have shape (D, D): got {tuple(noise_covariance.shape)}")
    D = len(noise_covariance)
    for name, order, tensor in (
        ("autoregressive", "p", autoregressive),
        ("moving_average", "q", moving_average),
    ):
        check_like(name, tensor, "noise_covariance", noise_covariance)
        if tensor.ndim != 3 or tensor.shape[1:] != (D, D):
            raise ValueError(
                f"{name} must have shape ({order}, D, D) with D = {D}: got {tuple(tensor.shape)}"
            )
        if not tensor.isfinite().all():
            raise ValueError(
                f"{name} must be finite: lag {int((~tensor.isfinite()).nonzero()[0, 0]) + 1} is not"
            )
