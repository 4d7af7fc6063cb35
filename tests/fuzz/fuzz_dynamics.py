"""Maps and flows: one way to call each function, and the right answer where it is known."""

import math

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
)

from helpers import (
    dynamics,
)


def _cubic(scale: float, rate: float):
    return dynamics.Flow(lambda t, y: rate * (y - y**3 / scale**2))


def fixed_points(draw: Draw) -> Call:
    scale, rate = draw.scale(), draw.scale()

    def function(starts):
        return dynamics.fixed_points(_cubic(scale, rate), starts).states.flatten().sort().values

    def oracle(given, answer):
        assert (
            given["starts"].isfinite().all()
            and 1.5 < given["starts"].abs().max() / scale < 3
            and len(given["starts"]) > 20
        )
        return differs("fixed points", answer, scale * np.array([-1.0, 0.0, 1.0]), 1e-3)

    return Call(function, {"starts": scale * torch.linspace(-2.0, 2.0, 41).double()[:, None]}, oracle)


def continuation(draw: Draw) -> Call:
    scale, rate = draw.scale(), draw.scale()

    def family(parameter):
        return dynamics.Flow(lambda t, y: rate * (parameter * y - y**3 / scale**2))

    def function(starts, parameter, bounds, max_points):
        branches = dynamics.continuation(family, starts, parameter, bounds, max_points=max_points)
        return [[change.kind for change in branch.bifurcations] for branch in branches]

    def oracle(given, answer):
        assert given["parameter"] == -0.5 and given["bounds"] == (-1.0, 1.0) and given["max_points"] > 100
        assert torch.equal(given["starts"], torch.zeros(1, 1).double())
        kinds = {kind for branch in answer for kind in branch}
        return None if kinds == {"pitchfork"} else f"bifurcations {kinds}, not a pitchfork"

    arguments = {"starts": torch.zeros(1, 1).double(), "parameter": -0.5, "bounds": (-1.0, 1.0)}
    return Call(function, {**arguments, "max_points": 200}, oracle, also=("family", "step"))


def exponents(draw: Draw) -> Call:
    W = 0.8 * draw.normal(2, 2)

    def function(start, steps, transient, count):
        system = dynamics.Map(lambda h: h @ W.to(h.dtype).T)
        spectrum = dynamics.lyapunov_spectrum(system, start, steps, transient=transient, count=count)
        return spectrum.exponents, dynamics.ftle(system, start, steps)

    def oracle(given, answer):
        power = np.linalg.matrix_power(W.numpy(), given["steps"])
        expected = math.log(np.linalg.norm(power, 2)) / given["steps"]
        assert given["start"].dtype == torch.float64 and given["start"].isfinite().all()
        return differs("ftle", answer[1], np.full(len(given["start"]), expected), 1e-6)

    return Call(
        function,
        {"start": draw.normal(2, 2), "steps": draw.whole(1, 20), "transient": 0, "count": 2},
        oracle,
        also=("starts",),
    )


def stable_manifold(draw: Draw) -> Call:
    def function(saddle, length, points, offset):
        flow = dynamics.Flow(lambda t, y: y * torch.tensor([-1.0, 2.0]).to(y))
        return dynamics.stable_manifold(flow, saddle, length=length, points=points, offset=offset)

    def oracle(given, answer):
        assert (given["saddle"] == 0).all() and given["saddle"].shape == (2,)
        return differs("second variable", answer[:, 1], np.zeros(len(answer)), np.asarray(1e-6))

    arguments = {"saddle": torch.zeros(2).double(), "length": 1.0, "points": draw.whole(2, 8), "offset": 0.01}
    return Call(function, arguments, oracle)


def embedding(draw: Draw) -> Call:
    x = draw.scale() * torch.sin(0.3 * torch.arange(200).double() + draw.uniform())

    def function(x, delay, dimension, longest_delay):
        vectors = dynamics.delay_vectors(x, delay, dimension)
        return (
            vectors,
            dynamics.mutual_information(x, longest_delay),
            dynamics.false_neighbours(x, delay, dimension),
        )

    def oracle(given, answer):
        assert given["x"].ndim == 1
        x, delay, dimension = given["x"].numpy(), given["delay"], given["dimension"]
        first = (dimension - 1) * delay
        right = np.stack([x[first - i * delay : len(x) - i * delay] for i in range(dimension)], -1)
        found = answer[0].squeeze(0).double().numpy()
        backwards = found.shape == right.shape and (found == right[:, ::-1]).all()
        return None if backwards else differs("vectors", found, right)

    return Call(
        function,
        {"x": x, "delay": draw.whole(1, 5), "dimension": 2, "longest_delay": 5},
        oracle,
        also=("largest_dimension",),
    )


def whole_embedding(draw: Draw) -> Call:
    x = torch.sin(0.3 * torch.arange(200).double()) + 0.5 * torch.sin(0.7 * torch.arange(200).double())

    def function(x, longest_delay, largest_dimension):
        how = {"longest_delay": longest_delay, "largest_dimension": largest_dimension}
        embedded = dynamics.delay_embedding(x, **how)
        return embedded.vectors, dynamics.first_minimum(embedded.mutual_information)

    return Call(function, {"x": x, "longest_delay": 20, "largest_dimension": 3}, also=("delay", "dimension"))


def first_minimum(draw: Draw) -> Call:
    return Call(dynamics.first_minimum, {"information": torch.tensor([3.0, 2.0, 1.0, 2.0, 0.5]).double()})


def random_networks(draw: Draw) -> Call:
    def function(gain, units, count, input_amplitude):
        driven = dynamics.mean_field_exponent(gain, input_amplitude)
        return dynamics.circular_law_exponents(gain, units, count), torch.tensor(driven)

    def oracle(given, answer):
        i = np.arange(1, given["count"] + 1)
        right = math.log(given["gain"]) + np.log1p(-(i - 0.5) / given["units"]) / 2
        return differs("exponents", answer[0], right, 1e-10)

    return Call(
        function,
        {"gain": draw.uniform(0.5, 3.0), "units": 50, "count": 5, "input_amplitude": draw.uniform()},
        oracle,
    )


def jacobian_of_function(draw: Draw) -> Call:
    return Call(
        lambda state: dynamics.jacobian(torch.sin, state),
        {"state": draw.normal(3, 2)},
        lambda given, answer: differs("jacobian", answer, torch.diag_embed(given["state"].cos()), 1e-12),
    )


def semigroup_defect(draw: Draw) -> Call:
    return Call(
        lambda states, dt: dynamics.semigroup_defect(lambda y, dt: y * math.exp(-dt), states, dt),
        {"states": draw.normal(3, 2), "dt": draw.uniform(0.1, 1.0)},
        lambda given, answer: differs(
            "defect",
            answer,
            torch.zeros_like(answer),
            np.asarray(16 * torch.finfo(answer.dtype).eps * given["states"].abs().max()),
        ),
    )


BUILDERS = {
    "fixed_points Flow": fixed_points,
    "continuation": continuation,
    "lyapunov_spectrum ftle Map": exponents,
    "stable_manifold": stable_manifold,
    "delay_vectors mutual_information false_neighbours": embedding,
    "delay_embedding": whole_embedding,
    "first_minimum": first_minimum,
    "circular_law_exponents mean_field_exponent": random_networks,
    "jacobian": jacobian_of_function,
    "semigroup_defect": semigroup_defect,
}
