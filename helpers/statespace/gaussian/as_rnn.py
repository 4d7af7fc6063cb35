"""A linear recurrent network is a linear state-space model; so is the Kalman filter in its steady state."""

import torch
from torch import Tensor, nn

from helpers.arguments import check_probability, check_same
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.step import predict_covariance, update_covariance
from helpers.statespace.matrices import cholesky_factor, spectral_radius, symmetric

MAX_DOUBLINGS = 60


class LinearRNN(nn.Module):
    """A recurrent network without activation.

    ::

        h_t = W_hh h_{t-1} + W_xh x_t,   ŷ_t = W_hy h_t

    Parameters
    ----------
    W_hh, W_xh, W_hy : Tensor (H, H), (H, D) and (O, H)
        The weights: of the state on itself, of the input on the state, of the state on the output.
    h0 : Tensor (H,)
        The state before the first input, where `forward` is not told another.
    """

    def __init__(self, W_hh: Tensor, W_xh: Tensor, W_hy: Tensor, h0: Tensor) -> None:
        super().__init__()
        self.W_hh = nn.Parameter(W_hh.detach().clone())
        self.W_xh = nn.Parameter(W_xh.detach().clone())
        self.W_hy = nn.Parameter(W_hy.detach().clone())
        self.h0 = nn.Parameter(h0.detach().clone())

    def forward(self, x: Tensor, h0: Tensor | None = None) -> Tensor:
        """The state after every input.

        Parameters
        ----------
        x : Tensor (B, T, D)
        h0 : Tensor (B, H), optional
            The state before the first input.

        Returns
        -------
        Tensor (B, T, H)

        Raises
        ------
        ValueError
            If a shape or dtype is wrong.
        """
        h = self._start(x, h0)
        states = []
        for projected in (x @ self.W_xh.T).unbind(1):
            h = h @ self.W_hh.T + projected
            states.append(h)
        return torch.stack(states, 1) if states else h.new_empty(len(x), 0, h.shape[-1])

    def readout(self, states: Tensor) -> Tensor:
        """W_hy h, from (B, T, H) to (B, T, O)."""
        return states @ self.W_hy.T

    @torch.no_grad()
    def transient(self, tolerance: float = 1e-10) -> int:
        """How many steps it takes to forget what was before the first input.

        The first t at which ‖W_hh^t‖₂ is at most `tolerance`, found by doubling.

        Raises
        ------
        ValueError
            If `tolerance` does not lie strictly between 0 and 1, or the network never forgets, because the
            spectral radius of W_hh is not below 1.
        """
        check_probability("tolerance", tolerance)
        if not (radius := spectral_radius(self.W_hh)) < 1:
            raise ValueError(
                f"a transient ends only if the spectral radius of W_hh is below 1: got {radius:.10g}"
            )
        powers = [self.W_hh]  # W^1, W^2, W^4 …
        while _norm(powers[-1]) > tolerance:
            powers.append(powers[-1] @ powers[-1])
        steps, passed = 0, torch.eye(len(self.W_hh), dtype=self.W_hh.dtype, device=self.W_hh.device)
        for doubling in reversed(range(len(powers))):
            if _norm(passed @ powers[doubling]) > tolerance:
                steps, passed = steps + 2**doubling, passed @ powers[doubling]
        return steps + 1

    def _start(self, x: Tensor, h0: Tensor | None) -> Tensor:
        inputs, hidden = self.W_xh.shape[1], len(self.W_hh)
        if x.ndim != 3 or x.shape[2] != inputs:
            raise ValueError(f"x must have shape (B, T, {inputs}): got {tuple(x.shape)}")
        check_same("x", "dtype", x.dtype, "the weights", self.W_hh.dtype)
        if h0 is None:
            return self.h0.expand(len(x), hidden)
        if h0.shape != (len(x), hidden):
            raise ValueError(f"h0 must have shape (B, H) = ({len(x)}, {hidden}): got {tuple(h0.shape)}")
        return h0


def state_space_to_linear_rnn(model: LinearGaussian) -> LinearRNN:
    """The linear recurrent network that a state-space model is when its noise is switched off.

    ::

        W_hh = A,   W_xh = B,   W_hy = C,   h_0 = m_0

    The model's first state h_0 stands before the network's first input, and the model never uses
    u_0: `rnn(u[:, 1:])` are its states h_1 … h_{T-1}.

    Raises
    ------
    ValueError
        If a matrix is not the same for all series and steps.
    """
    A, C = _constant(model, "transition", 2), _constant(model, "observation", 2)
    B = A.new_zeros(len(A), 0) if model.input is None else _constant(model, "input", 2)
    return LinearRNN(W_hh=A, W_xh=B, W_hy=C, h0=_constant(model, "initial_mean", 1))


def kalman_as_rnn(model: LinearGaussian) -> LinearRNN:
    """The recurrent network whose hidden state is the mean of the Kalman filter.

    ::

        m_t = A m_{t-1} + K (y_t − C A m_{t-1}) = (I − K C) A m_{t-1} + K y_t
        W_hh = (I − K C) A,   W_xh = K,   W_hy = C

    K is the gain that the filter settles to. Until it has, the two differ; `rnn.transient(tolerance)` says
    for how many steps the beginning weighs more than `tolerance`. Observations must be complete.

    Raises
    ------
    ValueError
        If a matrix is not the same for all series and steps, the model has inputs, or the gain does not
        settle.

    Source: Anderson and Moore (1979), Optimal filtering, section 4.4.
    """
    A, C = _constant(model, "transition", 2), _constant(model, "observation", 2)
    if model.input is not None:
        raise ValueError("model.input must be None: the network's only input is y")
    Q, R = _constant(model, "transition_covariance", 2), _constant(model, "observation_covariance", 2)
    _, K, _ = update_covariance(steady_state_covariance(A, C, Q, R), C, R)
    return LinearRNN(W_hh=A - K @ C @ A, W_xh=K, W_hy=C, h0=_constant(model, "initial_mean", 1))


@torch.no_grad()
def steady_state_covariance(A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Tensor:
    """The predicted covariance that the filter settles to: the algebraic Riccati equation, by doubling.

    ::

        P = A (P − P Cᵀ (C P Cᵀ + R)⁻¹ C P) Aᵀ + Q

    With V the covariance of the state n steps after it was known exactly, J what those n observations say
    about that known state, and F the filter's memory of it::

        G = (I + V J)⁻¹,   F ← F G F,   V ← V + F G V Fᵀ,   J ← J + Fᵀ J G F

    are the same for 2n steps. F vanishes like ρ((I − K C) A)^n, and V is then the filtered covariance. No
    inverse of R is needed: a state may be seen without noise.

    Parameters
    ----------
    A, C, Q, R : Tensor (H, H), (D, H), (H, H) and (D, D)

    Returns
    -------
    Tensor (H, H)

    Raises
    ------
    ValueError
        If C Q Cᵀ + R is not positive definite, or there is no filter that forgets its start: with
        the eigenvalue of A that is to blame.

    Source: Chu, Fan, Lin and Wang (2004), Structure-preserving algorithms for periodic discrete-time
    algebraic Riccati equations, International Journal of Control 77(8); the start, without an inverse of R,
    from Särkkä and García-Fernández (2021), section IV.
    """
    root = cholesky_factor(C @ Q @ C.mT + R, "C Q C' + R")
    seen = torch.linalg.solve_triangular(root, C, upper=False)  # C' S⁻¹ C = seen' seen
    identity = torch.eye(len(A), dtype=A.dtype, device=A.device)
    kept = identity - Q @ seen.mT @ seen  # I - K C
    F, V, J = kept @ A, kept @ Q, (seen @ A).mT @ (seen @ A)
    for _ in range(MAX_DOUBLINGS):
        G = torch.linalg.solve_ex(identity + V @ J, identity).result
        added = F @ G @ V @ F.mT
        F, V, J = F @ G @ F, V + added, J + F.mT @ J @ G @ F
        rounding = torch.finfo(V.dtype).eps * V.abs().max()
        if not (added.abs() > rounding).any():  # one poll per doubling; NaN ends
            break
    P = predict_covariance(V, A, Q)
    _check_forgetting(A, C, Q, R, P)
    return symmetric(P)


def _check_forgetting(A: Tensor, C: Tensor, Q: Tensor, R: Tensor, P: Tensor) -> None:
    """Refuse a P whose filter does not forget its start, saying which mode of A is to blame."""
    closed = A - update_covariance(P, C, R)[1] @ C @ A
    if closed.isfinite().all() and spectral_radius(closed) < 1 - 10 * torch.finfo(P.dtype).eps ** 0.5:
        return
    for eigenvalue in torch.linalg.eigvals(A):
        if eigenvalue.abs() < 1 - 1e-6:
            continue
        shifted = A - eigenvalue * torch.eye(len(A), dtype=A.dtype, device=A.device)
        for blind, reason in (
            (torch.cat([shifted, C.to(shifted)]), "is not seen in the observations (not detectable)"),
            (torch.cat([shifted, Q.to(shifted)], 1).mT, "receives no noise (not stabilisable)"),
        ):
            if torch.linalg.matrix_rank(blind, rtol=1e-9) < len(A):
                raise ValueError(
                    f"the filter has no steady state: the mode of transition with eigenvalue "
                    f"{complex(eigenvalue):.6g} {reason}"
                )
    raise ValueError(f"the filter did not settle to a steady state in {MAX_DOUBLINGS} doublings")


def _constant(model: LinearGaussian, name: str, dimensions: int) -> Tensor:
    """A field of the model that is the same for all series and steps."""
    tensor = getattr(model, name)
    if tensor.ndim != dimensions:
        raise ValueError(
            f"model.{name} must be the same for all series and steps, with {dimensions} dimension"
            f"{'s' * (dimensions > 1)}: got shape {tuple(tensor.shape)}"
        )
    return tensor


def _norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)
