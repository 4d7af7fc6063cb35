"""A linear recurrent network is a linear state-space model; so is the Kalman filter in its steady state."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.arguments import check_like, check_probability, check_shape
from helpers.statespace.gaussian.model import LinearGaussian, check_model
from helpers.statespace.gaussian.stationary import steady_state_covariance
from helpers.statespace.gaussian.step import update_covariance
from helpers.statespace.matrices import check_square, spectral_radius


class LinearRNN(nn.Module):
    """A recurrent network without activation.

    ::

        h_t = W_hh h_{t-1} + W_xh x_t + b_h,   ŷ_t = W_hy h_t + b_y

    Parameters
    ----------
    W_hh, W_xh, W_hy : Tensor (H, H), (H, D) and (O, H)
        The weights: of the state on itself, of the input on the state, of the state on the output.
    h0 : Tensor (H,)
        The state before the first input, where `forward` is not told another.
    b_h, b_y : Tensor (H,) and (O,), optional
        Biases of the state and of the output; left out, there are none.

    Raises
    ------
    ValueError
        Naming the weight whose shape or dtype is wrong.
    """

    def __init__(
        self,
        W_hh: Tensor,
        W_xh: Tensor,
        W_hy: Tensor,
        h0: Tensor,
        b_h: Tensor | None = None,
        b_y: Tensor | None = None,
    ) -> None:
        super().__init__()
        _check_weights(W_hh, W_xh, W_hy, h0, b_h, b_y)
        self.W_hh = nn.Parameter(W_hh.detach().clone())
        self.W_xh = nn.Parameter(W_xh.detach().clone())
        self.W_hy = nn.Parameter(W_hy.detach().clone())
        self.h0 = nn.Parameter(h0.detach().clone())
        self.b_h = None if b_h is None else nn.Parameter(b_h.detach().clone())
        self.b_y = None if b_y is None else nn.Parameter(b_y.detach().clone())

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
        for projected in functional.linear(x, self.W_xh, self.b_h).unbind(1):
            h = h @ self.W_hh.T + projected
            states.append(h)
        return torch.stack(states, 1) if states else h.new_empty(len(x), 0, h.shape[-1])

    def readout(self, states: Tensor) -> Tensor:
        """W_hy h + b_y, from (B, T, H) to (B, T, O)."""
        return functional.linear(states, self.W_hy, self.b_y)

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
        hidden, inputs = self.W_xh.shape
        check_shape("x", x, "B T D", (None, None, inputs))
        check_like("x", x, "the weights", self.W_hh)
        if h0 is None:
            return self.h0.expand(len(x), hidden)
        check_shape("h0", h0, "B H", (len(x), hidden))
        check_like("h0", h0, "the weights", self.W_hh)
        return h0


def _check_weights(
    W_hh: Tensor, W_xh: Tensor, W_hy: Tensor, h0: Tensor, b_h: Tensor | None, b_y: Tensor | None
) -> None:
    """Refuse weights that are not those of one network."""
    check_square("W_hh", W_hh)
    H = len(W_hh)
    check_shape("W_hh", W_hh, "H H", (H, H))
    check_shape("W_xh", W_xh, "H D", (H, None))
    check_shape("W_hy", W_hy, "O H", (None, H))
    check_shape("h0", h0, "H", (H,))
    given = {"W_xh": W_xh, "W_hy": W_hy, "h0": h0}
    for name, bias, axis, size in (("b_h", b_h, "H", H), ("b_y", b_y, "O", len(W_hy))):
        if bias is not None:
            check_shape(name, bias, axis, (size,))
            given[name] = bias
    for name, weight in given.items():
        check_like(name, weight, "W_hh", W_hh)


def state_space_to_linear_rnn(model: LinearGaussian) -> LinearRNN:
    """The linear recurrent network that a state-space model is when its noise is switched off.

    ::

        W_hh = A,   W_xh = B,   W_hy = C,   b_y = d,   h_0 = m_0

    The model's first state h_0 stands before the network's first input, and the model never uses
    u_0: `rnn(u[:, 1:])` are its states h_1 … h_{T-1}.

    Raises
    ------
    ValueError
        If a matrix is not the same for all series and steps.
    """
    A, C = _constant(model, "transition", 2), _constant(model, "observation", 2)
    B = A.new_zeros(len(A), 0) if model.input is None else _constant(model, "input", 2)
    m0 = _constant(model, "initial_mean", 1)
    return LinearRNN(W_hh=A, W_xh=B, W_hy=C, h0=m0, b_y=model.observation_intercept)


def kalman_as_rnn(model: LinearGaussian) -> LinearRNN:
    """The recurrent network whose hidden state is the mean of the Kalman filter.

    ::

        m_t = A m_{t-1} + K (y_t − d − C A m_{t-1}) = (I − K C) A m_{t-1} + K y_t − K d
        W_hh = (I − K C) A,   W_xh = K,   W_hy = C,   b_h = −K d,   b_y = d

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
    m0, d = _constant(model, "initial_mean", 1), model.observation_intercept
    return LinearRNN(W_hh=A - K @ C @ A, W_xh=K, W_hy=C, h0=m0, b_h=None if d is None else -K @ d, b_y=d)


def _constant(model: LinearGaussian, name: str, dimensions: int) -> Tensor:
    """A field of the model that is the same for all series and steps."""
    check_model(model)
    tensor = getattr(model, name)
    if tensor.ndim != dimensions:
        raise ValueError(
            f"model.{name} must be the same for all series and steps, with {dimensions} dimension"
            f"{'s' * (dimensions > 1)}: got shape {tuple(tensor.shape)}"
        )
    return tensor


def _norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)
