"""The curve on which a saddle is reached: in the plane, the border between two basins."""

import torch
from torch import Tensor

from helpers.arguments import check_finite, check_positive_number, check_single_or_double, check_whole_number
from helpers.dynamics.systems import Flow, check_system


@torch.no_grad()
def stable_manifold(
    system: Flow, saddle: Tensor, *, length: float, points: int, offset: float | None = None
) -> Tensor:
    """Follow the stable manifold of a saddle, the states that go to it, where that is a curve.

    From both sides of the saddle along its stable eigenvector s, backwards in time and at unit speed::

        y(0) = saddle ± offset · s        y' = -f(y) / ‖f(y)‖

    Backwards in time the manifold attracts what is near it. From point to point it takes one step of the
    classical Runge-Kutta method, so that points twice as dense are up to 16 times as accurate.

    Parameters
    ----------
    system : Flow
        Its field must take the states near the manifold for up to `length` beyond the saddle.
    saddle : Tensor (D,)
        A fixed point at which one eigenvalue of the Jacobian has a negative real part; better in float64.
    length : float
        How far the curve goes on each side, in the unit of the state, beyond `offset`.
    points : int
        On each side, at equal distances along the curve; at least 2.
    offset : float, optional
        How far from the saddle the first point on each side lies; default a hundredth of `length`.

    Returns
    -------
    Tensor (2 · points + 1, D)
        From one end through the saddle, the middle one, to the other. The variable that changes most along
        the curve at the saddle ascends there.

    Raises
    ------
    ValueError
        If `system` is not a flow, `saddle` is not a finite floating-point state at which one eigenvalue has a
        negative real part, or a number is not positive.
    """
    offset = length / 100 if offset is None else offset
    _check_arguments(system, saddle, length, points, offset)
    sides = offset * torch.stack([-(along := _stable_direction(system, saddle)), along])  # (2, D)
    step = Flow(lambda t, y: _unit(-system.field(t, y))).every(length / (points - 1)).step
    curve = [saddle + sides]
    for _ in range(points - 1):
        curve.append(step(curve[-1]))
    behind, ahead = torch.stack(curve, dim=1)  # each (points, D)
    return torch.cat([behind.flip(0), saddle[None], ahead])


def _unit(velocity: Tensor) -> Tensor:
    """The direction (B, D) of a velocity, however small or large."""
    scaled = velocity / velocity.abs().amax(-1, keepdim=True)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)


def _stable_direction(system: Flow, saddle: Tensor) -> Tensor:
    """The unit eigenvector (D,) of the eigenvalue with a negative real part, its largest entry positive."""
    eigenvalues, eigenvectors = torch.linalg.eig(system.jacobian(saddle[None])[0])
    round_off = 10 * torch.finfo(saddle.dtype).eps * eigenvalues.abs().max()
    stable = (eigenvalues.real < -round_off).nonzero().flatten().tolist()
    if len(stable) != 1:
        raise ValueError(
            f"saddle must have one eigenvalue with a negative real part: got {len(stable)} among "
            f"{[float(f'{growth:.4g}') for growth in eigenvalues.real.tolist()]}"
        )
    direction = eigenvectors[:, stable[0]].real
    return direction * direction[direction.abs().argmax()].sign()


def _check_arguments(system: Flow, saddle: Tensor, length: float, points: int, offset: float) -> None:
    if not isinstance(system, Flow):
        hint = f"; of a vector field f(t, y) make one by Flow({type(system).__name__}(…))"
        hint = hint if callable(system) else ""
        raise ValueError(f"system must be a Flow: got {type(system).__name__}{hint}")
    check_single_or_double("saddle", saddle)
    if saddle.ndim != 1:
        raise ValueError(f"saddle must have shape (D,): got {tuple(saddle.shape)}")
    check_finite("saddle", saddle)
    check_positive_number("length", length)
    check_whole_number("points", points, least=2)
    check_positive_number("offset", offset)
    check_system(system, saddle[None])
