"""The multilayer perceptron as a vector field: the right-hand side of a neural ODE."""

import torch
from torch import Generator, Tensor, nn

from helpers.arguments import check_like, check_not_negative_number, check_whole_number
from helpers.fields.arguments import check_last, time_like
from helpers.fields.layers import activation_and_slope, chain_jacobian


class MLPField(nn.Module):
    """A law y' = f(t, y) that is not written down but learnt.

    ::

        z_0 = (y, t, u),   z_l = φ(W_l z_{l-1} + b_l) for l = 1 … L,   f = W_out z_L + b_out

    with t only if `time` and u only if there are `inputs`. Weights and biases are drawn uniformly from
    ±1/√(number of inputs of their layer), those of the readout then times `weight_scale`: a small field
    moves little, so that training starts from a flow near the identity rather than from a wild one.

    All these activations are Lipschitz, and so is f: one solution starts from every y, and it exists at all
    times. With tanh or sin f is bounded as well, so that a solution runs away from the data no faster than
    along a straight line; with the others it may do so exponentially.

    Parameters
    ----------
    dim : int
        D, the number of variables of y.
    width : int
        Units in each hidden layer.
    depth : int
        L, the number of hidden layers.
    time : bool
        Let the law change with time: f(t, y). Bring times to order one first, as the variables.
    inputs : int
        I, the number of inputs u; the field is then f(t, y, u), and `ControlledField` supplies u(t).
    outputs : int, optional
        D_out; D where left out, as a field must have. The rates of a `StoichiometricField` may be others.
    activation : "tanh", "softplus", "silu", "gelu" or "sin"
        φ, always smooth: a solver has its order only where the field has that many derivatives.
    weight_scale : float
        Of the readout at the start; 0 starts with a field that is zero everywhere.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; states must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, the activation is not smooth or not known, or the scale is negative.

    Source: Chen, Rubanova, Bettencourt and Duvenaud (2018), Neural ordinary differential equations, NeurIPS.
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 2,
        *,
        time: bool = False,
        inputs: int = 0,
        outputs: int | None = None,
        activation: str = "tanh",
        weight_scale: float = 0.1,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        outputs = dim if outputs is None else outputs
        for name, size in {"dim": dim, "width": width, "depth": depth, "outputs": outputs}.items():
            check_whole_number(name, size)
        check_whole_number("inputs", inputs, least=0)
        check_not_negative_number("weight_scale", weight_scale)
        self.dim, self.time, self.inputs, self.activation = dim, time, inputs, activation
        self.phi, self.slope = activation_and_slope(activation)
        sizes = [dim + time + inputs, *depth * [width]]
        self.hidden = nn.ModuleList(
            _linear(before, after, generator, device, dtype)
            for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.readout = _linear(width, outputs, generator, device, dtype)
        with torch.no_grad():
            for parameter in self.readout.parameters():
                parameter *= weight_scale

    def forward(self, t: float | Tensor, y: Tensor, u: Tensor | None = None) -> Tensor:
        """The rate of change f(t, y) or f(t, y, u).

        Parameters
        ----------
        t : float or Tensor () or (B,)
            Read only if the field depends on time.
        y : Tensor (B, D) or any (..., D)
        u : Tensor (I,) or (..., I), optional
            The inputs, where the field has some.

        Returns
        -------
        Tensor (B, D) or (..., D)
        """
        z = self._join(t, y, u)
        for layer in self.hidden:
            z = self.phi(layer(z))
        return self.readout(z)

    def jacobian(self, t: float | Tensor, y: Tensor, u: Tensor | None = None) -> Tensor:
        """∂f/∂y (..., D, D): W_out diag(φ'(a_L)) W_L ⋯ diag(φ'(a_1)) W_1, its columns of y."""
        joined = self._join(t, y, u)
        return chain_jacobian(self.hidden, self.readout, self.phi, self.slope, joined, self.dim)

    def extra_repr(self) -> str:
        """What the field depends on and its activation, for printing."""
        return f"{self.dim}, time={self.time}, inputs={self.inputs}, activation={self.activation!r}"

    def _join(self, t: float | Tensor, y: Tensor, u: Tensor | None) -> Tensor:
        """(y, t, u) side by side, as far as the field reads them, (..., D + time + I)."""
        check_last("y", y, self.dim, "variables")
        check_like("y", y, "the weights", self.readout.bias)
        if (u is None) == (self.inputs > 0):
            given = "got none" if u is None else f"got shape {tuple(u.shape)}"
            raise ValueError(f"u must hold the {self.inputs} inputs of this field: {given}")
        parts = [y]
        if self.time:
            parts.append(column_of_times(t, y))
        if u is not None:
            check_last("u", u, self.inputs, "inputs")
            parts.append(u.expand(*y.shape[:-1], -1))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else y


def column_of_times(t: float | Tensor, y: Tensor) -> Tensor:
    """t, one number or one for each sample (B,), as a column (..., 1) beside y (..., D)."""
    t = time_like(t, y)
    if t.shape != y.shape[: t.ndim] or t.ndim >= y.ndim:
        raise ValueError(
            f"t must be one number or one for each sample of y {tuple(y.shape)}: got shape {tuple(t.shape)}"
        )
    return t.reshape(t.shape + (1,) * (y.ndim - t.ndim)).expand(*y.shape[:-1], 1)


def _linear(
    inputs: int,
    outputs: int,
    generator: Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> nn.Linear:
    """A layer with weights and biases from ±1/√inputs."""
    layer = nn.Linear(inputs, outputs, device="meta", dtype=dtype)  # draws nothing from the global stream
    layer.to_empty(device=torch.get_default_device() if device is None else device)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
