"""What a Runge–Kutta method is: its numbers."""

from dataclasses import dataclass

Row = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Tableau:
    """The coefficients of an explicit Runge–Kutta method with s stages.

    ::

        k_i = f(t + c_i h, y + h Σ_{j<i} a_ij k_j)
        y₁ = y + h Σ_i b_i k_i,   y(t + θh) ≈ y + h Σ_i b_i(θ) k_i

    with b_i(θ) = Σ_j P_ij θ^j for j = 1, 2, …

    Attributes
    ----------
    name : str
        As `solve` knows it.
    order : int
        p: the error over a fixed span of time falls as hᵖ.
    c : tuple (s,)
        The times of the stages, as shares of the step.
    a : tuple of s - 1 rows
        a_ij of the stages i = 2 … s, each row as long as there are stages before.
    b : tuple (s,)
        The weights of the step.
    error : tuple of rows (s,)
        Weights of one error estimate, of two (DOP853), or of none (a method for a fixed grid).
    error_order : int
        The order q that the error estimate stands for: it falls as h^(q + 1).
    first_same_as_last : bool
        The last stage is the slope at the end of the step (its row of a is b): the next step's first.
    dense : tuple of s rows, more where there are further stages for it
        P_ij of the dense output.
    dense_order : int
        The order of the dense output.
    dense_c, dense_a : tuple
        Nodes and rows of the further stages that only the dense output needs.
    """

    name: str
    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    error: tuple[Row, ...]
    error_order: int
    first_same_as_last: bool
    dense: tuple[Row, ...]
    dense_order: int
    dense_c: Row = ()
    dense_a: tuple[Row, ...] = ()

    @property
    def adaptive(self) -> bool:
        """Whether the method measures its own error."""
        return bool(self.error)
