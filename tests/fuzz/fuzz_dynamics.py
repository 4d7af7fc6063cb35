"""Maps and flows: one way to call each function, and the right answer where it is known."""

import math

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    first_complaint,
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
        starts, roots = given["starts"], scale * np.array([-1.0, 0.0, 1.0])
        if starts.shape[1] == 1 and len(starts) > 20 and 1.5 < starts.abs().max() / scale < 3:
            return differs("fixed points", answer, roots, 1e-3)
        size = max(scale, float(starts.abs().median()))  # of the unit in which points are told apart
        found = answer.double().numpy()[:, None]
        far = np.abs(found - roots).min(-1) > 1e-3 * size
        return f"{found[far][0]} is no fixed point" if far.any() else None

    return Call(function, {"starts": scale * torch.linspace(-2.0, 2.0, 41).double()[:, None]}, oracle)


def continuation(draw: Draw) -> Call:
    scale, rate = draw.scale(), draw.scale()

    def family(parameter):
        return dynamics.Flow(lambda t, y: rate * (parameter * y - y**3 / scale**2))

    def function(starts, parameter, bounds, max_points):
        branches = dynamics.continuation(family, starts, parameter, bounds, max_points=max_points)
        return [[change.kind for change in branch.bifurcations] for branch in branches]

    def oracle(given, answer):
        assert given["bounds"] == (-1.0, 1.0) and given["max_points"] > 100
        assert given["starts"].shape[1] == 1 and not given["starts"].any()
        kinds = [kind for branch in answer for kind in branch]
        assert not 0 < abs(given["parameter"]) < 1e-6
        expected = ["pitchfork"] if given["parameter"] <= 0 else []
        return None if kinds == expected * len(answer) else f"bifurcations {kinds}, not {expected}"

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

    def shares(x, delay, largest):
        """Kennel's two tests, point by point, of x in a unit of its own."""
        x = x / np.abs(x).max()
        first = largest * delay
        found = []
        for m in range(1, largest + 1):
            rows = np.arange(len(x) - first)
            points = np.stack([x[rows + i * delay] for i in range(m)], -1)
            following = x[rows + m * delay]
            apart = np.linalg.norm(points[:, None] - points, axis=-1)
            apart[np.abs(rows[:, None] - rows) <= delay] = np.inf
            nearest = apart.argmin(-1)
            distance, parting = apart.min(-1), np.abs(following - following[nearest])
            leaves = parting > 15 * np.maximum(distance, 1e3 * np.finfo(float).eps)
            found.append((leaves | (np.hypot(distance, parting) > 2 * x.std(ddof=1))).mean())
        return found

    def oracle(given, answer):
        assert given["x"].ndim == 1
        x, delay, dimension = given["x"].numpy(), given["delay"], given["dimension"]
        first = (dimension - 1) * delay
        right = np.stack([x[first - i * delay : len(x) - i * delay] for i in range(dimension)], -1)
        found = answer[0].squeeze(0).double().numpy()
        largest = np.abs(x).max()
        assert largest > 0
        few = np.asarray(3 / len(x))  # neighbours at nearly the same distance
        information = answer[1].double().numpy()
        known = np.isfinite(information).all() and (information[0] >= information - 1e-9).all()
        return first_complaint(
            differs("vectors", found, right),
            differs("false neighbours", answer[2], shares(x, delay, dimension), few),
            None if known else "another value tells more of x than x itself",
        )

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
        return embedded.vectors, embedded.mutual_information, embedded.false_neighbours

    def oracle(given, answer):
        vectors, information, shares = answer
        delay = dynamics.first_minimum(information)
        before, at, after = information[delay - 1 : delay + 2].tolist()
        dimension = next(m for m, share in enumerate(shares.tolist(), 1) if share < 0.01)
        x, first = given["x"].reshape(-1), (dimension - 1) * delay
        right = torch.stack([x[first - i * delay : len(x) - i * delay] for i in range(dimension)], -1)
        assert given["x"].ndim == 1
        return first_complaint(
            None if before > at <= after else "the delay is no minimum", differs("vectors", vectors[0], right)
        )

    arguments = {"x": x, "longest_delay": 20, "largest_dimension": 3}
    return Call(function, arguments, oracle, also=("delay", "dimension"))


def first_minimum(draw: Draw) -> Call:
    def oracle(given, answer):
        information = given["information"].tolist()
        lags = range(1, len(information) - 1)
        minima = [k for k in lags if information[k - 1] > information[k] <= information[k + 1]]
        return None if answer == minima[0] else f"lag {answer}, not {minima[0]}"

    arguments = {"information": draw.uniform(0.0, 3.0, 8)}
    return Call(dynamics.first_minimum, arguments, oracle, also=("longest_delay",))


def random_networks(draw: Draw) -> Call:
    def function(gain, units, count, input_amplitude):
        driven = dynamics.mean_field_exponent(gain, input_amplitude)
        return dynamics.circular_law_exponents(gain, units, count), torch.tensor(driven)

    def oracle(given, answer):
        i = np.arange(1, given["count"] + 1)
        gain, a = float(given["gain"]), float(given["input_amplitude"])
        right = math.log(gain) + np.log1p(-(i - 0.5) / given["units"]) / 2

        def mean(power, root):
            """⟨sech(root · z)^power⟩ over z ~ N(0, 1), on a grid of ln z."""
            z = np.geomspace(1e-7 * min(1, 1 / root), 12 * min(1, 5 / root), 20_000)
            heights = np.cosh(root * z) ** -power * np.exp(-(z**2) / 2) / math.sqrt(math.tau)
            return 2 * (np.trapezoid(heights * z, np.log(z)) + heights[0] * z[0])

        root = math.hypot(gain, a)
        for _ in range(60):
            root = math.hypot(gain * math.sqrt(max(0.0, 1 - mean(2.0, root))), a)
        exponent = math.log(gain) + math.log(mean(4.0, root)) / 2
        assert a > 0.3 or gain > 1.3 or gain < 0.7  # the iteration converges
        return first_complaint(
            differs("exponents", answer[0], right, 1e-10),
            differs("mean field", answer[1], exponent, np.asarray(1e-5 * (1 + abs(exponent)))),
        )

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
        lambda states, dt: dynamics.semigroup_defect(lambda y, dt: y - dt * y, states, dt),
        {"states": draw.normal(3, 2), "dt": draw.uniform(0.1, 1.0)},
        lambda given, answer: differs(
            "defect",
            answer,
            [given["dt"] ** 2 * math.hypot(*row) for row in given["states"].tolist()],
            np.asarray(
                64
                * torch.finfo(answer.dtype).eps
                * float(given["states"].abs().max())
                * max(1, given["dt"] ** 2)
                + 1e-321  # a few of the numbers nearest to zero
            ),
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
