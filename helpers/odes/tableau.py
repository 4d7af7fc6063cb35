"""The explicit Runge–Kutta methods: what each is made of is its numbers, and nothing else.

A further method is one more `Tableau`, listed in `TABLEAUX`.
"""

from dataclasses import dataclass

from helpers.odes import dop853

Row = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Tableau:
    """The coefficients of an explicit Runge–Kutta method with s stages.

    ::

        k_i = f(t + c_i h, y + h Σ_{j<i} a_ij k_j)
        y₁ = y + h Σ_i b_i k_i
        y(t + θh) ≈ y + h Σ_i b_i(θ) k_i,   b_i(θ) = Σ_j P_ij θ^j for j = 1, 2, …

    Parameters
    ----------
    name : str
        As `solve` knows it.
    order : int
        p: the error over a fixed span of time falls as hᵖ.
    c : tuple (s,)
        The times of the stages, as fractions of the step.
    a : tuple of s - 1 rows
        a_ij of the stages i = 2 … s, each row as long as there are stages before.
    b : tuple (s,)
        The weights of the step.
    dense : tuple of s rows, more where there are further stages for it
        P_ij of the dense output.
    dense_order : int
        The order of the dense output.
    error : tuple of rows (s,)
        Weights of one error estimate, of two (DOP853), or of none: a method of fixed steps.
    error_order : int
        The order q that the error estimate stands for: it falls as h^(q + 1).
    blind_spot : bool
        Whether the error estimate vanishes for y' = λy at some hλ < 0, where the error does not.
    dense_c, dense_a : tuple
        Nodes and rows of the further stages that only the dense output needs.
    """

    name: str
    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    dense: tuple[Row, ...]
    dense_order: int
    error: tuple[Row, ...] = ()
    error_order: int = 0
    blind_spot: bool = False
    dense_c: Row = ()
    dense_a: tuple[Row, ...] = ()

    @property
    def adaptive(self) -> bool:
        """Whether the method estimates its own error."""
        return bool(self.error)

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage is f(t₁, y₁), its row of a being b: the first stage of the next step."""
        return len(self.a) > 0 and (*self.a[-1], 0) == self.b


EULER = Tableau(
    name="euler",
    order=1,
    c=(0,),
    a=(),
    b=(1,),
    dense=((1,),),
    dense_order=1,
)

MIDPOINT = Tableau(
    name="midpoint",
    order=2,
    c=(0, 1 / 2),
    a=((1 / 2,),),
    b=(0, 1),
    dense=((1, -1), (0, 1)),
    dense_order=2,
)

RK4 = Tableau(
    name="rk4",
    order=4,
    c=(0, 1 / 2, 1 / 2, 1),
    a=((1 / 2,), (0, 1 / 2), (0, 0, 1)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    dense=((1, -3 / 2, 2 / 3), (0, 1, -2 / 3), (0, 1, -2 / 3), (0, -1 / 2, 2 / 3)),
    dense_order=3,
)
"""Kutta's classical method. Its four stages allow a dense output of order 3, not of order 4."""

HEUN = Tableau(
    name="heun",
    order=2,
    c=(0, 1, 1),
    a=((1,), (1 / 2, 1 / 2)),
    b=(1 / 2, 1 / 2, 0),
    error=((-1 / 2, 1 / 2, 0),),
    error_order=1,
    dense=((1, -1 / 2), (0, 1 / 2), (0, 0)),
    dense_order=2,
)
"""Heun's method of order 2 with Euler's inside."""

BOSH3 = Tableau(
    name="bosh3",
    order=3,
    c=(0, 1 / 2, 3 / 4, 1),
    a=((1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0),
    error=((-5 / 72, 1 / 12, 1 / 9, -1 / 8),),
    error_order=2,
    blind_spot=True,
    dense=((1, -4 / 3, 5 / 9), (0, 1, -2 / 3), (0, 4 / 3, -8 / 9), (0, -1, 1)),
    dense_order=3,
)
"""Source: Bogacki and Shampine (1989), A 3(2) pair of Runge–Kutta formulas, Applied Mathematics Letters 2."""

DOPRI5 = Tableau(
    name="dopri5",
    order=5,
    c=(0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    a=(
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    b=(35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
    error=((71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),),
    error_order=4,
    dense=(
        (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0, 0, 0, 0),
        (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
    dense_order=4,
)
"""Source: Dormand and Prince (1980), A family of embedded Runge–Kutta formulae, Journal of Computational and
Applied Mathematics 6; dense output by Shampine (1986), Some practical Runge–Kutta formulas, Mathematics of
Computation 46."""

TSIT5 = Tableau(
    name="tsit5",
    order=5,
    c=(0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1),
    a=(
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        (
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
        ),
    ),
    b=(
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
        0,
    ),
    error=(
        (
            0.0017800110522257773,
            0.0008164344596567463,
            -0.007880878010261994,
            0.1447110071732629,
            -0.5823571654525552,
            0.45808210592918686,
            -1 / 66,
        ),
    ),
    error_order=4,
    dense=(
        (1, -2.763706197274826, 2.9132554618219126, -1.0530884977290216),
        (0, 0.1317, -0.2234, 0.1017),
        (0, 3.9302962368947516, -5.941033872131505, 2.490627285651253),
        (0, -12.411077166933676, 30.33818863028232, -16.548102889244902),
        (0, 37.50931341651104, -88.1789048947664, 47.37952196281928),
        (0, -27.896526289197286, 65.09189467479366, -34.87065786149661),
        (0, 1.5, -4, 2.5),
    ),
    dense_order=4,
)
"""Source: Tsitouras (2011), Runge–Kutta pairs of order 5(4) satisfying only the first column simplifying
assumption, Computers and Mathematics with Applications 62."""

DOPRI8 = Tableau(
    name="dopri8",
    order=8,
    c=dop853.C,
    a=dop853.A,
    b=dop853.B,
    error=dop853.ERROR,
    error_order=7,
    blind_spot=True,
    dense=dop853.DENSE,
    dense_order=7,
    dense_c=dop853.DENSE_C,
    dense_a=dop853.DENSE_A,
)
"""Hairer's DOP853, and not the Prince–Dormand 8(7) pair that torchdiffeq calls dopri8. Where stability limits
its steps, its output between them is less accurate than at their ends."""

TABLEAUX = {
    tableau.name: tableau
    for tableau in (
        EULER,
        MIDPOINT,
        RK4,
        HEUN,
        BOSH3,
        DOPRI5,
        TSIT5,
        DOPRI8,
    )
}
"""The methods by name."""
