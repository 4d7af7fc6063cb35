"""Known systems: one way to call each function, and the right answer where it is known."""

import mpmath
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    first_complaint,
    jacobian_complaint,
)

from helpers import (
    systems,
)


def _toggle(y, alpha, n):
    u, v = y.unbind(-1)
    return alpha / (1 + v**n) - u, alpha / (1 + u**n) - v


def _repressilator(y, alpha, n, alpha0, beta):
    m, p = y[..., :3].unbind(-1), y[..., 3:].unbind(-1)
    return (
        *(alpha / (1 + p[i - 1] ** n) + alpha0 - m[i] for i in range(3)),
        *(beta * (m[i] - p[i]) for i in range(3)),
    )


def _lorenz(y, sigma, rho, beta):
    a, b, c = y.unbind(-1)
    return sigma * (b - a), a * (rho - c) - b, a * b - beta * c


def _predators(y, alpha, beta, delta, gamma):
    x, y = y.unbind(-1)
    return alpha * x - beta * x * y, delta * x * y - gamma * y


def _compartment(y, absorption_rate, elimination_rate, volume):
    gut, central = y.unbind(-1)
    return -absorption_rate * gut, absorption_rate * gut - elimination_rate * central


def _system(build, slopes, names: tuple[str, ...], variables: int):
    def builder(draw: Draw) -> Call:
        parameters = {name: draw.uniform(0.5, 3.0) for name in names}

        def function(t, y, **given):
            system = build(**given)
            return system(t, y), system.jacobian(t, y)

        def oracle(given, answer):
            given = dict(given)
            t, y = given.pop("t"), given.pop("y")
            if "n" in given and float(given["n"]) % 1 and (y < 0).any():
                return None  # a power that is not real: NaN, as the classes say
            slope = torch.stack(slopes(y.double(), **given), -1)
            assert slope.isfinite().all()
            return first_complaint(
                differs("slope", answer[0], slope, 1e-9),
                jacobian_complaint(build(**given), t, y, answer[1]),
            )

        return Call(function, {"t": 0.0, "y": draw.uniform(0.1, 2.0, 2, variables), **parameters}, oracle)

    return builder


def critical_alpha(draw: Draw) -> Call:
    def oracle(given, answer):
        s = (1 / (mpmath.mpf(float(given["n"])) - 1)) ** (
            1 / mpmath.mpf(float(given["n"]))
        )  # sⁿ = 1 / (n - 1)
        return differs("alpha", answer, float(s * (1 + s ** float(given["n"]))), 1e-9)

    return Call(systems.critical_alpha, {"n": draw.uniform(1.5, 4.0)}, oracle, also=("ToggleSwitch",))


def one_compartment_solution(draw: Draw) -> Call:
    def function(t, y0, absorption_rate, elimination_rate, volume):
        rates = {"absorption_rate": absorption_rate, "elimination_rate": elimination_rate}
        return systems.OneCompartment(**rates, volume=volume).solution(t, y0)

    def oracle(given, answer):
        a, e = given["absorption_rate"], given["elimination_rate"]
        F = mpmath.matrix([[-a, 0.0], [a, -e]])  # SciPy's expm loses digits where a and e nearly meet
        y0, t = given["y0"].numpy(), given["t"].numpy()
        exact = [[mpmath.expm(F * float(time)) * mpmath.matrix(start.tolist()) for time in t] for start in y0]
        right = [[[float(amount) for amount in amounts] for amounts in row] for row in exact]
        return differs("solution", answer, right, 1e-9)

    rate = draw.uniform(0.1, 3.0)
    other = draw.choice([rate, rate * (1 + 1e-12), 2 * rate])
    arguments = {"t": draw.times(3), "y0": draw.uniform(0, 2, 2, 2), "absorption_rate": rate}
    return Call(function, {**arguments, "elimination_rate": other, "volume": 2.0}, oracle)


def mass_action(draw: Draw) -> Call:
    def function(reactions, constants, y):
        return systems.MassAction(reactions, constants)(0.0, y)

    def oracle(given, answer):
        a, b = given["y"].unbind(-1)
        k, m = given["constants"]
        return differs("slope", answer, torch.stack([-2 * k * a**2 + m * b, k * a**2 - m * b], -1), 1e-12)

    constants = [draw.uniform(0.1, 2.0), draw.uniform(0.1, 2.0)]
    return Call(
        function,
        {"reactions": ["2 A -> B", "B -> A"], "constants": constants, "y": draw.uniform(0, 2, 3, 2)},
        oracle,
    )


SYSTEMS = {
    "Lorenz": _system(systems.Lorenz, _lorenz, ("sigma", "rho", "beta"), 3),
    "LotkaVolterra": _system(systems.LotkaVolterra, _predators, ("alpha", "beta", "delta", "gamma"), 2),
    "OneCompartment": _system(
        systems.OneCompartment, _compartment, ("absorption_rate", "elimination_rate", "volume"), 2
    ),
    "Repressilator": _system(systems.Repressilator, _repressilator, ("alpha", "n", "alpha0", "beta"), 6),
    "ToggleSwitch": _system(systems.ToggleSwitch, _toggle, ("alpha", "n"), 2),
}
BUILDERS = {
    **SYSTEMS,
    "critical_alpha": critical_alpha,
    "OneCompartment.solution": one_compartment_solution,
    "MassAction": mass_action,
}
