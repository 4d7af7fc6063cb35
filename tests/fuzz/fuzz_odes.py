"""Solvers and fields: one way to call each function, and the right answer where it is known."""

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    dop853_complaint,
    first_complaint,
)

from helpers import (
    fields,
    odes,
    systems,
)


def decay(t, y):
    return -y


def rotation(t, y):
    return torch.stack([y[..., 1], -y[..., 0]], -1)


def clock(t, y):
    return torch.cos(t)[:, None] - 0.1 * y


PROBLEMS = (decay, rotation, clock, systems.LotkaVolterra(alpha=1.0, beta=0.5, delta=0.3, gamma=0.8))


def solve(draw: Draw) -> Call:
    field = draw.choice(PROBLEMS)
    batch = draw.whole(1, 3)
    arguments = {
        "y0": draw.uniform(0.2, 2.0, batch, 2),
        "t": draw.times(draw.whole(1, 4)) * draw.choice([1.0, -1.0]),
        "rtol": draw.choice([1e-4, 1e-6]),
        "atol": draw.choice([1e-6, 1e-9]),
        "method": draw.choice(["dopri5", "tsit5", "bosh3", "dopri8", "heun"]),
        "max_steps": 10_000,
        "first_step": None,
        "per_sample": draw.chance(0.7),
    }

    def function(y0, t, **how):
        return odes.solve(field, y0, t, **how)

    return Call(
        function, arguments, lambda given, answer: dop853_complaint(given, answer, field), also=("f",)
    )


def solve_fixed(draw: Draw) -> Call:
    def function(y0, t, step, method):
        return odes.solve(lambda t, y: -y, y0, t, step=step, method=method).y

    arguments = {"y0": draw.uniform(0.2, 2.0, 2, 2), "t": draw.times(3), "step": draw.uniform(0.05, 0.5)}
    return Call(function, {**arguments, "method": draw.choice(["euler", "midpoint", "rk4"])}, also=("f",))


def mlp_field(draw: Draw) -> Call:
    def function(dim, width, depth, weight_scale, activation, y):
        how = {"weight_scale": weight_scale, "activation": activation, "dtype": torch.float64}
        field = fields.MLPField(dim, width, depth, generator=torch.Generator().manual_seed(0), **how)
        return field(0.0, y).detach(), field.jacobian(0.0, y).detach()

    arguments = {"dim": 2, "width": 3, "depth": 1, "weight_scale": 0.5, "activation": "tanh"}
    return Call(function, {**arguments, "y": draw.normal(3, 2)})


def quadratic_field(draw: Draw) -> Call:
    def function(exponents, coefficients, y):
        return fields.QuadraticField(exponents, coefficients)(0.0, y).detach()

    def oracle(given, answer):
        monomials = (given["y"][:, None, :] ** given["exponents"].double()).prod(-1)
        return differs("slope", answer, monomials @ given["coefficients"], 1e-9)

    exponents = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 2]])
    return Call(
        function, {"exponents": exponents, "coefficients": draw.normal(4, 2), "y": draw.normal(3, 2)}, oracle
    )


def stoichiometric_field(draw: Draw) -> Call:
    rates = fields.MLPField(2, 3, 1, outputs=2, generator=draw.generator, dtype=torch.float64)

    def function(S, y, reactants):
        field = fields.StoichiometricField(S, rates, reactants)
        return field(0.0, y).detach(), field.jacobian(0.0, y).detach()

    S = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).double()

    def oracle(given, answer):
        assert torch.equal(given["S"], S)
        return differs(
            "total change", answer[0].sum(-1), torch.zeros_like(answer[0][..., 0]), np.asarray(1e-9)
        )

    return Call(function, {"S": S, "y": draw.uniform(0.1, 2.0, 3, 2), "reactants": (-S).clamp(min=0)}, oracle)


def conserved_quantities(draw: Draw) -> Call:
    def oracle(given, answer):
        S = given["S"].double().numpy()
        found = answer.double().numpy()
        missing = len(S) - np.linalg.matrix_rank(S) - np.linalg.matrix_rank(found) if len(found) else 0
        return first_complaint(
            differs("C S", found @ S, np.zeros((len(found), S.shape[1])), np.asarray(1e-9)),
            f"{missing} quantities are missing" if missing else None,
        )

    S = torch.randint(-2, 3, (3, 2), generator=draw.generator).double()
    return Call(fields.conserved_quantities, {"S": S}, oracle)


def controlled_field(draw: Draw) -> Call:
    held, line = (getattr(fields, name) for name in ("ZeroOrderHold", "LinearInterpolation"))

    def function(times, values, t, y):
        hold, interpolation = held(times, values), line(times, values)
        field = fields.ControlledField(lambda t, y, u: u - y, hold)
        return hold(t), interpolation(t), field(t, y)

    def oracle(given, answer):
        times, values, t = (given[name].double().numpy() for name in ("times", "values", "t"))
        assert t.ndim == 1 and values.ndim == 2
        index = np.clip(np.searchsorted(times, t, side="right") - 1, 0, None)
        linear = np.stack([np.interp(t, times, column) for column in values.T], -1)
        return first_complaint(
            differs("hold", answer[0], values[index], 1e-12),
            differs("interpolation", answer[1], linear, 1e-9),
        )

    arguments = {"times": draw.times(4), "values": draw.normal(4, 2)}
    return Call(
        function, {**arguments, "t": draw.uniform(-1.0, 5.0, 3), "y": draw.normal(3, 2)}, oracle, also=("u",)
    )


BUILDERS = {
    "solve": solve,
    "solve fixed steps": solve_fixed,
    "MLPField": mlp_field,
    "QuadraticField": quadratic_field,
    "StoichiometricField": stoichiometric_field,
    "conserved_quantities": conserved_quantities,
    "ControlledField ZeroOrderHold LinearInterpolation": controlled_field,
}
