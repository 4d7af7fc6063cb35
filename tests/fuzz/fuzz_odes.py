"""Solvers and fields: one way to call each function, and the right answer where it is known."""

import itertools
import math

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    dop853_complaint,
    first_complaint,
    jacobian_complaint,
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


ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}
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
        function,
        arguments,
        lambda given, answer: dop853_complaint(given, answer, field),
        also=("f", "y"),  # a field may refuse its y
    )


def solve_fixed(draw: Draw) -> Call:
    def function(y0, t, step, method):
        return odes.solve(lambda t, y: -y, y0, t, step=step, method=method).y

    def oracle(given, answer):
        """On y' = -y a step multiplies by the method's polynomial of -h."""
        y0, t, order = given["y0"].double(), given["t"].double(), ORDERS[given["method"]]
        assert y0.ndim == 2 and t.ndim == 1
        factors = [1.0]
        for length in t.diff().tolist():
            pieces = max(math.ceil(abs(length) / float(given["step"]) - 1e-9), 1)
            h = length / pieces
            factor = sum((-h) ** k / math.factorial(k) for k in range(order + 1))
            factors.append(factors[-1] * factor**pieces)
        return differs("y", answer, y0[:, None] * y0.new_tensor(factors)[:, None], 1e-9)

    arguments = {"y0": draw.uniform(0.2, 2.0, 2, 2), "t": draw.times(3), "step": draw.uniform(0.05, 0.5)}
    return Call(function, {**arguments, "method": draw.choice(list(ORDERS))}, oracle, also=("f",))


def _driven(u: np.ndarray, jumps: np.ndarray, start: float, y0: np.ndarray, end: float) -> np.ndarray:
    """y(end) of y' = u(t) - y, u being u_k from one jump to the next: exact, piece by piece."""
    low, high = sorted((start, end))
    inside = [jump for jump in jumps if low < jump < high]
    times = [low, *inside, high] if end >= start else [high, *inside[::-1], low]
    y = y0
    for a, b in itertools.pairwise(times):
        level = u[np.searchsorted(jumps, (a + b) / 2)]
        y = level + (y - level) * np.exp(a - b)
    return y


def solve_options(draw: Draw) -> Call:
    """Times and lengths of each sample, intervals of no length, jumps, longest steps, and times between."""
    batch, steps, jumps = draw.whole(1, 3), draw.whole(1, 4), draw.times(2)
    levels = draw.normal(3)
    gaps = draw.uniform(0.0, 1.0, batch, steps) * (draw.uniform(0.0, 1.0, batch, steps) < 0.7)
    arguments = {
        "y0": draw.normal(batch, 2),
        "t": draw.uniform(-1.0, 1.0, batch, 1) + gaps.cumsum(1) * draw.choice([1.0, -1.0]),
        "lengths": torch.randint(1, steps + 1, (batch,), generator=draw.generator),
        "breaks": jumps,
        "max_step": draw.choice([None, 0.3]),
        "rtol": 1e-6,
        "atol": 1e-9,
        "method": draw.choice(["dopri5", "tsit5", "bosh3", "dopri8", "heun"]),
        "per_sample": draw.chance(0.7),
        "part": draw.uniform(0.0, 1.0, batch, 2),
    }

    def field(t, y):
        return levels.to(y.dtype)[torch.searchsorted(jumps.to(t.dtype), t.contiguous())][:, None] - y

    def function(y0, t, part, **how):
        solution = odes.solve(field, y0, t, **how)
        first, last = solution.interpolant.first, solution.interpolant.last
        between = torch.lerp(first[:, None], last[:, None], part.double())
        return solution.y, solution.interpolant(between)

    def oracle(given, answer):
        y0, t, part = (given[name].double().numpy() for name in ("y0", "t", "part"))
        assert given["breaks"] is not None and torch.equal(given["breaks"].double(), jumps)
        assert y0.ndim == t.ndim == part.ndim == 2 and len(y0) == len(t) == len(part)
        lengths = given["lengths"].tolist() if given["lengths"] is not None else [t.shape[1]] * len(t)
        own = [[row[min(k, n - 1)] for k in range(len(row))] for row, n in zip(t, lengths, strict=True)]
        right = [
            [_driven(levels.numpy(), jumps.numpy(), row[0], start, time) for time in row]
            for row, start in zip(own, y0, strict=True)
        ]
        between = [
            [
                _driven(levels.numpy(), jumps.numpy(), row[0], start, row[0] + p * (row[-1] - row[0]))
                for p in parts
            ]
            for row, start, parts in zip(own, y0, part, strict=True)
        ]
        size = max(np.abs(right).max(), 1.0)
        allowed = np.asarray(1e3 * (given["atol"] + given["rtol"] * size) + 1e-6 * size)
        return first_complaint(
            differs("y", answer[0], right, allowed),
            differs("between", answer[1], between, np.asarray(30 * allowed)),
        )

    return Call(function, arguments, oracle, also=("f",), unread=("t",))  # t beyond the lengths


def solve_gradient(draw: Draw) -> Call:
    """Gradients by start, times and rate of y₀ exp(-r (t - t₀)), in closed form."""
    arguments = {
        "y0": draw.uniform(0.5, 2.0, 2, 2),
        "t": draw.times(3) * draw.choice([1.0, -1.0]),
        "rate": draw.uniform(0.3, 1.0, 2),
        "method": draw.choice(["dopri5", "tsit5", "dopri8"]),
        "gradient": draw.choice(["direct", "replay", "adjoint", "backsolve"]),
        "checkpoints": draw.whole(2, 4),
        "per_sample": draw.chance(0.5),
    }

    def function(y0, t, rate, **how):
        with torch.inference_mode(False), torch.enable_grad():
            leaves = [leaf.detach().clone().requires_grad_() for leaf in (y0, t, rate)]
            y0, t, rate = leaves
            y = odes.solve(lambda t, y: -rate * y, y0, t, rtol=1e-8, atol=1e-11, **how).y
            return torch.autograd.grad(y.sum(), leaves)

    def oracle(given, answer):
        y0, t, rate = (given[name].double() for name in ("y0", "t", "rate"))
        assert y0.ndim == 2 and t.ndim == 1 and rate.shape in ((2,), ()) and y0.shape[1] == 2
        assert y0.abs().min() > 1e-3  # otherwise atol says how large an error may be
        passed = (t - t[0])[None, :, None]
        y = y0[:, None] * torch.exp(-rate * passed)  # (B, T, 2)
        by_time = (-rate * y).sum((0, 2))
        by_time[0] -= by_time.sum()
        by_rate = (-passed * y).sum((0, 1)).sum_to_size(rate.shape)
        expected = ((y / y0[:, None]).sum(1), by_time, by_rate)
        size = max(float(each.abs().max()) for each in (*expected, y, by_time.abs().sum()))
        allowed = np.asarray(1e-4 * size)
        names = ("by y0", "by t", "by rate")
        return first_complaint(
            *(differs(*each, allowed) for each in zip(names, answer, expected, strict=True))
        )

    return Call(function, arguments, oracle, also=("f",))


def forward_sensitivity(draw: Draw) -> Call:
    """By start and rate of y₀ exp(-r (t - t₀)), in closed form."""
    arguments = {
        "y0": draw.uniform(0.5, 2.0, 2, 2),
        "t": draw.times(3) * draw.choice([1.0, -1.0]),
        "rate": draw.uniform(0.3, 1.0, 2),
        "method": draw.choice(["dopri5", "dopri8"]),
    }

    def function(y0, t, rate, **how):
        rate = rate.detach().clone().requires_grad_()
        found = odes.forward_sensitivity(lambda t, y: -rate * y, y0, t, [rate], rtol=1e-8, atol=1e-11, **how)
        return found.y, found.by_y0, found.by_params[0]

    def oracle(given, answer):
        y0, t, rate = (given[name].double() for name in ("y0", "t", "rate"))
        assert y0.ndim == 2 and t.ndim == 1 and rate.shape == (2,) and y0.shape[1] == 2
        passed = (t - t[0])[None, :, None]
        decay = torch.exp(-rate * passed).expand(len(y0), -1, -1)  # (B, T, 2)
        y = y0[:, None] * decay
        expected = (y, torch.diag_embed(decay), torch.diag_embed(-passed * y))
        size = max(float(each.abs().max()) for each in expected)
        names = ("y", "by y0", "by rate")
        return first_complaint(
            *(differs(*each, np.asarray(1e-4 * size)) for each in zip(names, answer, expected, strict=True))
        )

    return Call(function, arguments, oracle, also=("f", "params"))


def solve_parts(draw: Draw) -> Call:
    """A dict of two parts, y' = -y and z' = mean y."""

    def field(t, y):
        return {"y": -y["y"], "z": y["y"].mean(1)}

    def function(y, z, t, rtol, atol):
        answer = odes.solve(field, {"y": y, "z": z}, t, rtol={"y": rtol, "z": 1e-6}, atol=atol).y
        return answer["y"], answer["z"]

    def oracle(given, answer):
        y, z, t = (given[name].double() for name in ("y", "z", "t"))
        assert y.ndim == 2 and z.ndim == t.ndim == 1
        decay = torch.exp(t[0] - t)
        right = (y[:, None] * decay[:, None], z[:, None] + y.mean(1)[:, None] * (1 - decay))
        size = max(float(each.abs().max()) for each in right)
        allowed = np.asarray(1e3 * (given["atol"] + max(given["rtol"], 1e-6) * size))
        return first_complaint(
            differs("y", answer[0], right[0], allowed), differs("z", answer[1], right[1], allowed)
        )

    arguments = {"y": draw.normal(2, 3), "z": draw.normal(2), "t": draw.times(3), "rtol": 1e-6, "atol": 1e-9}
    return Call(function, arguments, oracle, also=("f", "y0"))


def _doses(y0: float, rate: float, low: float, dose: float, end: float) -> list[float]:
    """When y' = -r y falls to a level, at which a dose is added each time."""
    found = [math.log(y0 / low) / rate]
    while found[-1] < end:
        found.append(found[-1] + math.log((low + dose) / low) / rate)
    return found[:-1]


def solve_events(draw: Draw) -> Call:
    """Doses at a threshold, in every way to differentiate: counts, times, levels, and a gradient."""
    arguments = {
        "y0": draw.uniform(1.2, 3.0, 2, 1),
        "t": draw.times(3),
        "rate": draw.uniform(0.3, 1.0, 2),
        "low": draw.uniform(0.4, 1.0),
        "dose": draw.uniform(0.5, 2.0),
        "method": draw.choice(["dopri5", "tsit5", "dopri8", "bosh3"]),
        "gradient": draw.choice(["direct", "replay", "adjoint", "backsolve"]),
        "per_sample": draw.chance(0.7),
    }

    def function(y0, t, rate, low, dose, **how):
        with torch.inference_mode(False), torch.enable_grad():
            low = torch.as_tensor(low, dtype=y0.dtype)
            y0, rate, low = (each.detach().clone().requires_grad_() for each in (y0, rate, low))
            event = odes.Event(lambda t, y: y[:, 0] - low, "falling", reset=lambda t, y: y + dose)
            solution = odes.solve(
                lambda t, y: -rate[:, None] * y, y0, t, events=event, rtol=1e-9, atol=1e-11, **how
            )
            at = solution.events.t.nan_to_num()
            (by_rate,) = torch.autograd.grad(at.sum() + 0 * solution.y.sum(), rate, materialize_grads=True)
            return solution.events.counts, at.detach(), solution.y[:, -1].detach(), by_rate

    def oracle(given, answer):
        y0, t, rate = (given[name].double().tolist() for name in ("y0", "t", "rate"))
        low, dose = (float(given[name]) for name in ("low", "dose"))
        assert given["y0"].shape == (2, 1) and given["t"].ndim == 1 and given["rate"].shape == (2,)
        assert 0 < low < min(row[0] for row in y0) and dose > 0 and min(rate) > 0
        each = [_doses(y[0], r, low, dose, t[-1] - t[0]) for y, r in zip(y0, rate, strict=True)]
        last = [
            (low + dose if times else y[0]) * math.exp(-r * (t[-1] - t[0] - (times[-1] if times else 0.0)))
            for y, r, times in zip(y0, rate, each, strict=True)
        ]
        padded = np.zeros((2, max(map(len, each))))
        for row, times in zip(padded, each, strict=True):
            row[: len(times)] = np.add(times, t[0])
        by_rate = [-sum(times) / r for times, r in zip(each, rate, strict=True)]
        allowed = np.asarray(1e-5 * (1 + np.abs(by_rate).max()))
        return first_complaint(
            differs("counts", answer[0], [[len(times)] for times in each], 1e-9),
            differs("times", answer[1], padded, allowed),
            differs("y", answer[2], np.asarray(last)[:, None], allowed * (1 + np.abs(last).max())),
            differs("by rate", answer[3], by_rate, allowed),
        )

    return Call(function, arguments, oracle, also=("f", "events", "params"), unread=("dose",))


def mlp_field(draw: Draw) -> Call:
    def function(dim, width, depth, weight_scale, activation, y):
        how = {"weight_scale": weight_scale, "activation": activation, "dtype": torch.float64}
        field = fields.MLPField(dim, width, depth, generator=torch.Generator().manual_seed(0), **how)
        return field(0.0, y).detach(), field.jacobian(0.0, y).detach(), field

    def oracle(given, answer):
        return jacobian_complaint(answer[2], 0.0, given["y"], answer[1])

    arguments = {"dim": 2, "width": 3, "depth": 1, "weight_scale": 0.5, "activation": "tanh"}
    return Call(function, {**arguments, "y": draw.normal(3, 2)}, oracle)


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
        rounding = 1e-12 * np.abs(found) @ np.abs(S) + np.finfo(float).tiny
        return first_complaint(
            differs("C S", found @ S, np.zeros((len(found), S.shape[1])), rounding),
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
    "solve lengths breaks interpolant": solve_options,
    "solve gradient": solve_gradient,
    "solve parts": solve_parts,
    "solve events Event": solve_events,
    "forward_sensitivity": forward_sensitivity,
    "MLPField": mlp_field,
    "QuadraticField": quadratic_field,
    "StoichiometricField": stoichiometric_field,
    "conserved_quantities": conserved_quantities,
    "ControlledField ZeroOrderHold LinearInterpolation": controlled_field,
}
