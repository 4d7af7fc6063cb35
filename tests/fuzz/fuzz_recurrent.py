"""Recurrent cells, and training: one way to call each function, and the right answer where it is known."""

import math

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    first_complaint,
)
from torch import nn

from helpers import (
    recurrent,
    training,
)


def _cell(draw: Draw) -> dict:
    batch, steps, features, hidden = draw.whole(1, 3), draw.whole(1, 4), draw.whole(1, 3), draw.whole(1, 3)
    return {
        "x": draw.normal(batch, steps, features),
        "h0": draw.uniform(-1, 1, batch, hidden),
        "mask": draw.mask(batch, steps, features),
        "lengths": draw.lengths(batch, steps),
    }


def _network(draw: Draw, arguments: dict) -> nn.Module:
    sizes = arguments["x"].shape[-1], arguments["h0"].shape[-1]
    how = {"generator": draw.generator, "dtype": torch.float64}
    return (
        recurrent.LeakyRNN(*sizes, tau=2.0, dt=1.0, **how)
        if draw.chance(0.5)
        else recurrent.VanillaRNN(*sizes, **how)
    )


def cell(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def function(x, h0, mask, lengths):
        return model(x, h0, mask=mask, lengths=lengths).detach()

    def oracle(given, answer):
        x, h = torch.where(given["mask"], given["x"], 0.0), given["h0"]
        assert given["x"][given["mask"]].isfinite().all()
        seen = given["mask"].any(-1) & (torch.arange(x.shape[1]) < given["lengths"][:, None])
        states, alpha = [], getattr(model, "alpha", None)
        for t in range(x.shape[1]):
            moved = torch.tanh(x[:, t] @ model.W_xh.T + model.b + h @ model.W_hh.T)
            moved = moved if alpha is None else h + 0.5 * (moved - h)
            h = torch.where(seen[:, t, None], moved, h)
            states.append(h)
        return differs("states", answer, torch.stack(states, 1), 1e-9)

    return Call(function, arguments, oracle)


def cell_sizes(draw: Draw) -> Call:
    def function(input_size, hidden_size, activation, tau, dt):
        plain = recurrent.VanillaRNN(input_size, hidden_size, activation)
        leaky = recurrent.LeakyRNN(input_size, hidden_size, activation, tau=tau, dt=dt)
        return plain.W_hh.shape, leaky.W_hh.shape

    return Call(function, {"input_size": 2, "hidden_size": 3, "activation": "tanh", "tau": 2.0, "dt": 1.0})


def recurrent_gradients(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def function(x, h0, mask, lengths, K):
        def loss(states, steps=None):
            return states.square().sum()

        given = {"h0": h0, "mask": mask, "lengths": lengths}
        profile = recurrent.gradient_profile(model, x, loss, **given)
        truncated = recurrent.truncated_loss(model, x, loss, K, **given)
        passed = recurrent.truncated_bptt(model, x, loss, K, **given)
        model.zero_grad()
        return profile.gradients, truncated, passed.state

    return Call(function, {**arguments, "K": draw.whole(1, 5)}, also=("loss",))


def jacobians(draw: Draw) -> Call:
    arguments = {name: value for name, value in _cell(draw).items() if name in ("x", "h0")}
    model = _network(draw, arguments)

    def function(x, h0, k):
        each = recurrent.step_jacobians(model, x, h0=h0)
        return each, recurrent.jacobian_product(model, x, k, h0=h0).log_singular_values

    def oracle(given, answer):
        h, expected = given["h0"], []
        for t in range(given["x"].shape[1]):
            p = model.project(given["x"])[:, t]
            expected.append(
                torch.func.vmap(torch.func.jacrev(lambda h, p: model.step(h[None], p[None])[0]))(h, p)
            )
            h = model.step(h, p)
        return differs("jacobians", answer[0], torch.stack(expected, 1), 1e-9)

    return Call(function, {**arguments, "k": 0}, oracle)


def truncation_curve(draw: Draw) -> Call:
    arguments = {name: value for name, value in _cell(draw).items() if name in ("x", "h0")}
    model = _network(draw, arguments)

    def function(x, h0, K):
        return recurrent.truncation_curve(
            model, x, lambda states, steps: states.square().sum(), K, h0=h0
        ).cosine

    return Call(function, {**arguments, "K": [1, 2]}, also=("loss",))


def scan(draw: Draw) -> Call:
    def function(h0, inputs, active):
        return recurrent.scan(lambda h, p: torch.tanh(h + p), h0, inputs, active)

    return Call(
        function, {"h0": draw.normal(2, 3), "inputs": draw.normal(2, 4, 3), "active": draw.mask(2, 4)}
    )


def paths(draw: Draw) -> Call:
    def function(T, routes, skip, branch):
        decomposition = recurrent.path_decomposition(skip, branch)
        return recurrent.path_count(T, routes), decomposition.contributions

    def oracle(given, answer):
        factors = given["skip"].double() + 0.0, given["branch"].double()
        assert factors[1].ndim == 1
        return first_complaint(
            None if answer[0] == given["routes"] ** given["T"] else "path_count is another",
            differs("sum of paths", answer[1].double().sum(-1), (factors[0] + factors[1]).prod(), 1e-9),
        )

    arguments = {"T": draw.whole(0, 20), "routes": draw.whole(1, 3), "skip": draw.uniform(0, 1, 4)}
    return Call(function, {**arguments, "branch": draw.normal(4)}, oracle)


def finiteness(draw: Draw) -> Call:
    def function(states):
        first = recurrent.first_non_finite(states)
        if (first < 0).all():
            recurrent.refuse_non_finite(states)
        return first

    def oracle(given, answer):
        states = given["states"].double().numpy()
        right = [next((t for t, h in enumerate(row) if not np.isfinite(h).all()), -1) for row in states]
        return differs("first_non_finite", answer, right)

    return Call(function, {"states": draw.normal(2, 3, 2)}, oracle)


def clip(draw: Draw) -> Call:
    gradient = draw.normal(3, 2)

    def function(max_norm, gradient):
        model = nn.Linear(2, 3, bias=False).double()
        model.weight.grad = gradient.clone()
        clipped = recurrent.clip(model, max_norm)
        return clipped.norm, clipped.factor, model.weight.grad

    def oracle(given, answer):
        assert given["gradient"].isfinite().all()
        norm = math.hypot(*given["gradient"].flatten().tolist())
        return differs("norm", answer[0], norm, 1e-9)

    arguments = {"max_norm": draw.uniform(0.1, 3.0), "gradient": gradient}
    return Call(function, arguments, oracle, also=("model",))


def weight_constraints(draw: Draw) -> Call:
    weight = draw.normal(3, 3)

    def function(weight, gain, radius, norm, bound):
        model = recurrent.VanillaRNN(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        recurrent.bound_spectral_radius(model, bound)
        other = recurrent.VanillaRNN(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        recurrent.bound_spectral_norm(other, bound)
        orthogonal = recurrent.VanillaRNN(
            2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        recurrent.keep_orthogonal(orthogonal)
        generators = [torch.Generator().manual_seed(1) for _ in range(3)]
        return (
            recurrent.orthogonal_(weight.clone(), gain, generator=generators[0]),
            recurrent.spectral_radius_(weight.clone(), radius, generator=generators[1]),
            recurrent.spectral_norm_(weight.clone(), norm, generator=generators[2]),
        )

    def oracle(given, answer):
        Q, scaled, normed = (part.double().numpy() for part in answer)
        return first_complaint(
            differs("gain", Q.T @ Q, given["gain"] ** 2 * np.eye(len(Q)), 1e-5),
            differs("radius", np.abs(np.linalg.eigvals(scaled)).max(), given["radius"], 1e-5),
            differs("norm", np.linalg.norm(normed, 2), given["norm"], 1e-5),
        )

    arguments = {
        "weight": weight,
        "gain": 1.0,
        "radius": draw.uniform(0.5, 2.0),
        "norm": draw.uniform(0.5, 2.0),
    }
    return Call(function, {**arguments, "bound": 0.9}, oracle)


def train(draw: Draw) -> Call:
    x, y = draw.normal(8, 2), draw.normal(8, 1)

    def function(x, y, epochs, learning_rate, patience, clip):
        model = nn.Linear(2, 1).double()
        nn.init.constant_(model.weight, 0.1)
        nn.init.zeros_(model.bias)
        how = {"learning_rate": learning_rate, "patience": patience, "clip": clip, "progress": False}

        def loss(model, batch):
            return (model(batch[0]) - batch[1]).square().mean()

        validation = [(x, y)] if patience is not None else None
        return training.fit(model, loss, [(x, y)], epochs=epochs, validation=validation, **how).train_losses

    arguments = {"x": x, "y": y, "epochs": draw.whole(1, 3), "learning_rate": 0.01}
    return Call(
        function,
        {**arguments, "patience": draw.choice([None, 2]), "clip": draw.choice([None, 1.0])},
        also=("loss", "batches"),
    )


BUILDERS = {
    "VanillaRNN LeakyRNN": cell,
    "VanillaRNN LeakyRNN sizes": cell_sizes,
    "gradient_profile truncated_loss truncated_bptt": recurrent_gradients,
    "step_jacobians jacobian_product": jacobians,
    "truncation_curve": truncation_curve,
    "scan": scan,
    "path_count path_decomposition": paths,
    "first_non_finite refuse_non_finite": finiteness,
    "clip": clip,
    "orthogonal_ spectral_radius_ spectral_norm_": weight_constraints,
    "bound_spectral_radius bound_spectral_norm keep_orthogonal": weight_constraints,
    "training.fit": train,
}
