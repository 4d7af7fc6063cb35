"""Fields that are driven from outside: y' = f(t, y, u(t))."""

from collections.abc import Callable

from torch import Tensor, nn

from helpers.dynamics.systems import jacobian

Time = float | Tensor


class ControlledField(nn.Module):
    """A field with inputs, and what they are at each time, together an ordinary field of t and y.

    ::

        y' = f(t, y, u(t))

    Parameters
    ----------
    field : callable
        f, from t, y (B, D) and u (B, I) to y' (B, D): `MLPField(D, inputs=I)`, for example.
    u : callable
        From t, a number or (B,), to the inputs (B, I) or, if all samples share them, (I,):
        `Held` or `Interpolated` samples, or any function. If it is a module, its weights are trained too.

    Raises
    ------
    ValueError
        If one of the two cannot be called.

    Notes
    -----
    An adaptive solver finds a jump or a kink of u by failing there: it tries shorter and shorter steps until
    one fits. Where they are known, solve from each to the next, or name them to the solver (`jump_t` in
    torchdiffeq). Some solvers, torchdiffeq's among them, step beyond the last time asked for and interpolate
    back: let u go on for a while there.
    """

    def __init__(self, field: Callable[..., Tensor], u: Callable[[Time], Tensor]) -> None:
        super().__init__()
        for name, part in {"field": field, "u": u}.items():
            if not callable(part):
                raise ValueError(f"{name} must be callable: got {type(part).__name__}")
        self.field, self.u = field, u

    def forward(self, t: Time, y: Tensor) -> Tensor:
        """The rate of change f(t, y, u(t)) (B, D), at t (B,) or one number, and y (B, D)."""
        return self.field(t, y, self.u(t))

    def jacobian(self, t: Time, y: Tensor) -> Tensor:
        """∂f/∂y (B, D, D), the field's own `jacobian` where it has one; u does not depend on y."""
        u = self.u(t)
        if hasattr(self.field, "jacobian"):
            return self.field.jacobian(t, y, u)
        return jacobian(lambda y: self.field(t, y, u), y)
