"""Recurrent cells, and training: one way to call each function, and the right answer where it is known."""

import copy
import itertools
import math

import mpmath
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
    series,
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
        seen, states, alpha = _moves(given), [], getattr(model, "alpha", None)
        for t in range(x.shape[1]):
            moved = torch.tanh(x[:, t] @ model.W_xh.T + model.b + h @ model.W_hh.T)
            moved = moved if alpha is None else h + 0.5 * (moved - h)
            h = torch.where(seen[:, t, None], moved, h)
            states.append(h)
        return differs("states", answer, torch.stack(states, 1), 1e-9)

    return Call(function, arguments, oracle)


def gated_cell(draw: Draw) -> Call:
    kind, features, hidden = draw.whole(0, 3), draw.whole(1, 3), draw.whole(1, 3)
    model = _gated(draw, kind, features, hidden)
    batch, steps = draw.whole(1, 3), draw.whole(1, 4)
    arguments = {
        "x": draw.normal(batch, steps, features),
        "h0": draw.uniform(-1, 1, batch, model.state_size),
        "mask": draw.mask(batch, steps, features),
        "lengths": draw.lengths(batch, steps),
        "fast": draw.choice([None, False]),
    }

    def function(x, h0, mask, lengths, fast):
        given = {"mask": mask, "lengths": lengths, "fast": fast}
        states, last = model(x, h0, return_last=True, **given)
        trace = model(x, h0, mask=mask, lengths=lengths, return_gates=True)
        return states.detach(), last.detach(), trace.h.detach()

    def oracle(given, answer):
        states = _loop(model, torch.where(given["mask"], given["x"], 0.0), given["h0"], _moves(given))
        outputs = states[..., :hidden]
        return first_complaint(
            differs("states", answer[0], outputs, 1e-9),
            differs("last", answer[1], states[:, -1], 1e-9),
            differs("trace.h", answer[2], outputs, 1e-9),
        )

    return Call(function, arguments, oracle)


def _gated(draw: Draw, kind: int, features: int, hidden: int) -> nn.Module:
    how = {"generator": draw.generator, "dtype": torch.float64}
    if kind == 0:
        return recurrent.LSTM(features, hidden, **how)
    if kind == 1:
        return recurrent.MinGRU(features, hidden, **how)
    return recurrent.GRU(features, hidden, reset=["after", "before"][kind - 2], **how)


def _loop(model: nn.Module, x: torch.Tensor, state: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Every state of a gated cell (B, T, S), one step after another."""
    assert x.isfinite().all() and x.dtype == state.dtype == torch.float64
    states = []
    for t, seen in enumerate(moves.unbind(1)):
        state = torch.where(seen[:, None], _gated_step(model, state, x[:, t]), state)
        states.append(state)
    return torch.stack(states, 1)


def _gated_step(model: nn.Module, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    h, H = state[:, : model.hidden_size], model.hidden_size
    p = (x @ model.W_xh.T + model.b).split(H, dim=-1)
    if isinstance(model, recurrent.MinGRU):
        return h + p[0].sigmoid() * (p[1] - h)
    q = [h @ W.T for W in model.W_hh.split(H)]
    if isinstance(model, recurrent.LSTM):
        i, f, g, o = (own + other for own, other in zip(p, q, strict=True))
        c = f.sigmoid() * state[:, H:] + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c], -1)
    r, z = (p[0] + q[0]).sigmoid(), (p[1] + q[1]).sigmoid()
    after = model.reset == "after"
    n = (p[2] + (r * (q[2] + model.b_hn) if after else (r * h) @ model.W_hh[2 * H :].T)).tanh()
    return (1 - z) * h + z * n


def layers(draw: Draw) -> Call:
    features, hidden = draw.whole(1, 3), draw.whole(1, 3)
    first = _gated(draw, draw.whole(0, 3), features, hidden)
    both = recurrent.Bidirectional(_gated(draw, draw.whole(0, 3), hidden, 2), generator=draw.generator)
    model = recurrent.Stacked(first, both)
    batch, steps = draw.whole(1, 3), draw.whole(1, 4)
    arguments = {
        "x": draw.normal(batch, steps, features),
        "mask": draw.mask(batch, steps, features),
        "lengths": draw.lengths(batch, steps),
    }

    def function(x, mask, lengths):
        return model(x, mask=mask, lengths=lengths).detach()

    def oracle(given, answer):
        """Backwards, the steps beyond a series' length come first, and hold the initial zeros."""
        x, moves = torch.where(given["mask"], given["x"], 0.0), _moves(given)
        zeros = x.new_zeros(len(x), first.state_size)
        below = _loop(first, x, zeros, moves)[..., :hidden]
        halves = [
            _loop(cell, below.flip(turn), x.new_zeros(len(x), cell.state_size), moves.flip(turn)).flip(turn)
            for cell, turn in ((both.forwards, ()), (both.backwards, (1,)))
        ]
        return differs("states", answer, torch.cat([half[..., :2] for half in halves], -1), 1e-9)

    return Call(function, arguments, oracle)


def gated_sizes(draw: Draw) -> Call:
    def function(input_size, hidden_size, forget_bias, update_bias, reset, dropout):
        lstm = recurrent.LSTM(input_size, hidden_size, forget_bias=forget_bias)
        gru = recurrent.GRU(input_size, hidden_size, reset=reset, update_bias=update_bias)
        stacked = recurrent.Stacked(recurrent.MinGRU(input_size, hidden_size), dropout=dropout)
        starts = lstm.b.detach()[hidden_size], gru.b.detach()[hidden_size]
        return lstm.W_hh.shape, gru.W_xh.shape, *starts, stacked.dropout

    def oracle(given, answer):
        D, H = given["input_size"], given["hidden_size"]
        return first_complaint(
            None if (tuple(answer[0]), tuple(answer[1])) == ((4 * H, H), (3 * H, D)) else "other sizes",
            differs("forget bias", answer[2], given["forget_bias"], 1e-6),
            differs("update bias", answer[3], given["update_bias"], 1e-6),
            differs("dropout", answer[4], given["dropout"], 1e-6),
        )

    arguments = {"input_size": 2, "hidden_size": 3, "forget_bias": draw.uniform(-3, 3), "update_bias": -1.0}
    return Call(function, {**arguments, "reset": "after", "dropout": 0.25}, oracle)


def torch_layers(draw: Draw) -> Call:
    how = {"bidirectional": draw.chance(0.5), "bias": draw.chance(0.5), "dtype": torch.float64}
    kind, features = draw.choice([nn.RNN, nn.LSTM, nn.GRU]), draw.whole(1, 3)
    rnn = kind(features, 2, draw.whole(1, 2), batch_first=True, **how)
    for weight in rnn.parameters():
        weight.data.copy_(draw.normal(*weight.shape))

    def function(rnn, x):
        model = recurrent.from_torch(rnn)
        return model(x).detach(), recurrent.to_torch(model)(x)[0].detach()

    def oracle(given, answer):
        assert given["x"].ndim == 3 and given["x"].numel()
        right = given["rnn"](given["x"])[0]
        return first_complaint(
            differs("from_torch", answer[0], right, 1e-9), differs("to_torch", answer[1], right, 1e-9)
        )

    return Call(function, {"rnn": rnn, "x": draw.normal(2, 3, features)}, oracle)


def affine_scan(draw: Draw) -> Call:
    batch, steps, hidden = draw.whole(1, 3), draw.whole(1, 9), draw.whole(1, 3)

    def function(factor, shift, h0):
        return recurrent.affine_scan(factor, shift, h0)

    def oracle(given, answer):
        factor, shift, right = given["factor"], given["shift"], []
        h = torch.zeros_like(shift[:, 0]) if given["h0"] is None else given["h0"]
        largest = 0.0
        for a, b in zip(factor.unbind(1), shift.unbind(1), strict=True):
            h = a * h + b
            largest = max(largest, float(h.abs().max()))
            right.append(h)
        products = factor.abs().clamp(min=1).prod(1) if factor.numel() else factor
        assert products.isfinite().all() and largest < 1e300
        return differs("states", answer, torch.stack(right, 1), np.asarray(1e-9 * largest + 1e-300))

    arguments = {
        "factor": draw.uniform(-1, 1, batch, steps, hidden),
        "shift": draw.normal(batch, steps, hidden),
    }
    return Call(function, {**arguments, "h0": draw.choice([None, draw.normal(batch, hidden)])}, oracle)


def memory(draw: Draw) -> Call:
    def function(tau, dt, f):
        constant, bias = recurrent.memory_time_constant(f, dt), recurrent.forget_bias_for(tau, dt)
        return constant, bias, recurrent.cutoff_frequency(f, dt)

    def oracle(given, answer):
        tau, f = (np.atleast_1d(given[name].double().numpy()) for name in ("tau", "f"))
        dt, edge = mpmath.mpf(float(given["dt"])), 3 - 2 * mpmath.sqrt(2)
        constants = [mpmath.inf if x == 1 else 0 if x == 0 else -dt / mpmath.log(float(x)) for x in f]
        biases = [-mpmath.log(mpmath.expm1(dt / float(x))) for x in tau]
        assert (np.abs(f - float(edge)) > 1e-3).all()
        half = [
            mpmath.asin((1 - x) / (2 * mpmath.sqrt(x))) if x > edge else mpmath.inf
            for x in map(mpmath.mpf, f)
        ]
        return first_complaint(
            *(
                differs(what, found, np.array(list(map(float, right))).reshape(found.shape))
                for what, found, right in zip(
                    ("time constant", "bias", "cutoff"),
                    answer,
                    (constants, biases, [h / (mpmath.pi * dt) for h in half]),
                    strict=True,
                )
            )
        )

    arguments = {
        "tau": draw.uniform(0.5, 20.0, 3),
        "dt": draw.uniform(0.1, 2.0),
        "f": draw.uniform(0.2, 0.99, 3),
    }
    return Call(function, arguments, oracle)


def frequency_response(draw: Draw) -> Call:
    def function(f, frequency, dt, gain):
        response = recurrent.frequency_response(f, frequency, dt, gain)
        return response.real, response.imag

    def oracle(given, answer):
        f, frequency = given["f"].double().numpy(), given["frequency"].double().numpy()
        gain = 1 - f if given["gain"] is None else given["gain"]
        angle = 2 * np.pi * frequency * given["dt"]
        assert np.abs(angle).max() < 1e4
        right = gain / (1 - f * np.exp(-1j * angle))
        largest = np.asarray(1e-9 * np.abs(right).max() + 1e-300)
        return first_complaint(
            differs("real part", answer[0], right.real, largest),
            differs("imaginary part", answer[1], right.imag, largest),
        )

    arguments = {"f": draw.uniform(0.1, 0.99, 3), "frequency": draw.uniform(0.0, 0.5, 3), "dt": 0.5}
    return Call(function, {**arguments, "gain": draw.choice([None, 0.3])}, oracle)


def chrono(draw: Draw) -> Call:
    kind = draw.choice([recurrent.LSTM, recurrent.GRU])

    def function(cell, longest, generator):
        changed = recurrent.chrono_(copy.deepcopy(cell), longest, generator=generator.manual_seed(1))
        return changed.b.detach()

    def oracle(given, answer):
        H, b = given["cell"].hidden_size, given["cell"].b.detach().clone()
        log_u = torch.log(answer[H : 2 * H].abs().exp())
        assert given["longest"] < 1e6
        inside = ((log_u >= 0) & (log_u <= math.log(given["longest"] - 1) + 1e-9)).all()
        if kind is recurrent.LSTM:
            b[: 2 * H] = torch.cat([-log_u, log_u])
        else:
            b[H : 2 * H] = -log_u
        return first_complaint(None if inside else "outside of its bounds", differs("b", answer, b, 1e-9))

    arguments = {"cell": kind(2, 3, dtype=torch.float64), "longest": draw.uniform(2.5, 50.0)}
    return Call(function, {**arguments, "generator": torch.Generator()}, oracle, random=True)


def cell_sizes(draw: Draw) -> Call:
    def function(input_size, hidden_size, activation, tau, dt):
        plain = recurrent.VanillaRNN(input_size, hidden_size, activation)
        leaky = recurrent.LeakyRNN(input_size, hidden_size, activation, tau=tau, dt=dt)
        return plain.W_xh.shape, leaky.W_hh.shape, leaky.alpha

    def oracle(given, answer):
        sizes = given["input_size"], given["hidden_size"]
        return first_complaint(
            None if answer[0] == sizes[::-1] and answer[1] == 2 * sizes[1:] else "other sizes",
            differs("alpha", answer[2], np.full(sizes[1], given["dt"] / given["tau"]), 1e-6),
        )

    arguments = {"input_size": 2, "hidden_size": 3, "activation": "tanh", "tau": 2.0, "dt": 1.0}
    return Call(function, arguments, oracle)


def recurrent_gradients(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def loss(states, steps=None):
        return states.square().sum()

    def function(x, h0, mask, lengths, K):
        given = {"h0": h0, "mask": mask, "lengths": lengths}
        profile = recurrent.gradient_profile(model, x, loss, **given)
        truncated = recurrent.truncated_loss(model, x, loss, K, **given)
        model.zero_grad()
        passed = recurrent.truncated_bptt(model, x, loss, K, **given)
        gradient = None if model.W_hh.grad is None else model.W_hh.grad.clone()
        model.zero_grad()
        return profile.gradients, truncated.detach(), passed.state, gradient

    def oracle(given, answer):
        x, h = torch.where(given["mask"], given["x"], 0.0), given["h0"].double()
        assert given["x"][given["mask"]].isfinite().all() and given["x"].dtype == h.dtype
        with torch.enable_grad():
            states = [h.requires_grad_()]
            for t, seen in enumerate(_moves(given).unbind(1)):
                after = model.step(states[-1], model.project(x)[:, t])
                states.append(torch.where(seen[:, None], after, states[-1]))
            value = loss(torch.stack(states[1:], 1))
            right = torch.stack(
                torch.autograd.grad(value, states, allow_unused=True, materialize_grads=True), 1
            )
            (full,) = torch.autograd.grad(
                loss(model(x, given["h0"].detach(), mask=given["mask"], lengths=given["lengths"])), model.W_hh
            )
        whole = given["K"] >= x.shape[1] and answer[3] is not None
        return first_complaint(
            differs("gradients", answer[0], right),
            differs("loss", answer[1], value),
            differs("last state", answer[2], states[-1]),
            differs("gradient of one window", answer[3], full) if whole else None,
        )

    return Call(function, {**arguments, "K": draw.whole(1, 5)}, oracle, also=("loss",))


def irregular_cells(draw: Draw) -> Call:
    batch, steps, features, hidden = draw.whole(0, 3), draw.whole(0, 4), draw.whole(1, 3), draw.whole(1, 3)
    lengths = draw.lengths(batch, steps)
    mask = draw.mask(batch, steps, features) & (torch.arange(steps) < lengths.unsqueeze(-1)).unsqueeze(-1)
    seed = draw.whole(0, 1000)

    def make(mean, tau, max_step):
        how = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
        return (
            recurrent.GRUD(features, hidden, mean=mean, tau=tau, **how),
            recurrent.BaselineGRUD(features, hidden, mean=mean, tau=tau, **how),
            recurrent.GRUDelta(features, hidden, **how),
            recurrent.ODERNN(features, hidden, max_step=max_step, **how),
            recurrent.GRUODE(features, hidden, max_step=max_step, **how),
        )

    def function(times, values, mask, lengths, h0, mean, tau, max_step):
        batch = series.IrregularBatch(times, values, mask, lengths)
        return [model(batch, h0, return_states=True).detach() for model in make(mean, tau, max_step)]

    def oracle(given, answer):
        times, mask, h0 = given["times"], given["mask"], given["h0"]
        assert isinstance(given["tau"], float) and isinstance(given["max_step"], float)
        models, complaints = make(given["mean"], given["tau"], given["max_step"]), []
        for model, states in zip(models, answer, strict=True):
            right = h0.unsqueeze(1).repeat(1, times.shape[1], 1)
            for b, length in enumerate(given["lengths"].tolist()):
                filled = torch.where(mask[b], given["values"][b], torch.nan)
                own = _irregular_states(model, times[b, :length], filled[:length], h0[b])
                right[b, :length], right[b, length:] = own[1:], own[-1]
            complaints.append(differs(type(model).__name__, states, right.detach(), 1e-9))
        return first_complaint(*complaints)

    arguments = {
        "times": draw.times(batch, steps),
        "values": torch.where(mask, draw.normal(batch, steps, features), torch.nan),
        "mask": mask,
        "lengths": lengths,
        "h0": draw.uniform(-1, 1, batch, hidden),
        "mean": draw.normal(features),
        "tau": draw.uniform(0.5, 2.0),
        "max_step": draw.uniform(0.1, 0.5),
    }
    return Call(function, arguments, oracle, unread=("values", "times"), also=("batch", "observed values"))


def _irregular_states(model, times: torch.Tensor, values: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """h and the state after each step of one series, whose values are NaN where unobserved, (1 + T, H)."""
    decays = isinstance(model, recurrent.GRUD | recurrent.BaselineGRUD)
    last = model.input_decay.mean if decays else torch.zeros_like(values[0])
    delta, states = torch.zeros_like(last), [h]
    for t, x in enumerate(values):
        gap = times[t] - times[t - 1] if t else times[t] * 0
        delta, m = delta + gap, x.isfinite().double()
        if decays:
            decay = model.input_decay
            gamma = torch.exp(-(decay.w_gamma_x * delta + decay.b_gamma_x).clamp(min=0))
            filled = torch.where(m > 0, x, gamma * last + (1 - gamma) * decay.mean)
        else:
            filled = torch.where(m > 0, x, 0.0)
        h = _irregular_step(model, h, filled, m, delta, gap)
        states.append(h)
        last, delta = torch.where(m > 0, x, last), torch.where(m > 0, 0.0, delta)
    return torch.stack(states)


def _irregular_step(model, h, x, m, delta, gap) -> torch.Tensor:
    """The state after one step, (H,)."""
    if isinstance(model, recurrent.GRUD):
        h = h * torch.exp(-(model.W_gamma_h @ delta + model.b_gamma_h).clamp(min=0))
        W_r, W_z, W_n = model.W_hh.chunk(3)
        a_r, a_z, a_n = (model.W_xh @ x + model.W_mh @ m + model.b).chunk(3)
        z, r = torch.sigmoid(a_z + W_z @ h), torch.sigmoid(a_r + W_r @ h)
        return (1 - z) * h + z * torch.tanh(a_n + W_n @ (r * h))
    if isinstance(model, recurrent.GRUDelta):
        return _gru_step(model.cell, h, torch.cat([x, m, gap[None]]))
    if isinstance(model, recurrent.BaselineGRUD):
        h = model.h_inf + (h - model.h_inf) * torch.exp(-model.log_gamma.exp() * gap)
    else:
        h = model.evolve(h.unsqueeze(0), float(gap)).squeeze(0)
    return _gru_step(model.cell, h, torch.cat([x, m])) if m.any() else h


def _gru_step(cell, h, x) -> torch.Tensor:
    """A step of a GRU that knows nothing of the time, (H,)."""
    return cell(x[None, None], h[None])[0, 0]


def _moves(given: dict) -> torch.Tensor:
    """The steps (B, T) at which a state moves."""
    return given["mask"].any(-1) & (torch.arange(given["x"].shape[1]) < given["lengths"][:, None])


def jacobians(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def function(x, h0, mask, lengths, k):
        held = {"h0": h0, "mask": mask, "lengths": lengths}
        each = recurrent.step_jacobians(model, x, **held)
        return each, recurrent.jacobian_product(model, x, k, **held).matrix

    def oracle(given, answer):
        x, h, expected = torch.where(given["mask"], given["x"], 0.0), given["h0"], []
        product = torch.eye(h.shape[1], dtype=h.dtype).expand(len(h), -1, -1)
        assert given["k"] == 0 and given["x"][given["mask"]].isfinite().all()
        for t, seen in enumerate(_moves(given).unbind(1)):
            p = model.project(x)[:, t]
            moved = torch.func.vmap(torch.func.jacrev(lambda h, p: model.step(h[None], p[None])[0]))(h, p)
            expected.append(torch.where(seen[:, None, None], moved, torch.eye(h.shape[1]).to(h)))
            product = expected[-1] @ product
            h = torch.where(seen[:, None], model.step(h, p), h)
        return first_complaint(
            differs("jacobians", answer[0], torch.stack(expected, 1)),
            differs("product", answer[1], product),
        )

    return Call(function, {**arguments, "k": 0}, oracle, also=("states",))


def truncation_curve(draw: Draw) -> Call:
    arguments = {name: value for name, value in _cell(draw).items() if name in ("x", "h0")}
    model = _network(draw, arguments)

    def loss(states, steps):
        return states.square().sum()

    def function(x, h0, K):
        curve = recurrent.truncation_curve(model, x, loss, K, h0=h0)
        return curve.cosine, curve.relative_error

    def oracle(given, answer):
        def gradient(K):
            """Each window by itself, laid from the end, its first state held constant."""
            h, total = given["h0"], 0.0
            edges = [*range(given["x"].shape[1], 0, -K), 0][::-1]
            with torch.enable_grad():
                for begin, end in itertools.pairwise(edges):
                    states = model(given["x"][:, begin:end], h)
                    parts = torch.autograd.grad(loss(states, None), list(model.parameters()))
                    total = total + torch.cat([part.flatten() for part in parts])
                    h = states[:, -1].detach()
            return total

        full = gradient(given["x"].shape[1])
        cut = [gradient(K) for K in given["K"]]
        assert full.dtype == torch.float64 and 1e-100 < full.norm() < 1e100
        allowed = np.asarray(1e-6)
        return first_complaint(
            differs("cosine", answer[0], [torch.cosine_similarity(g, full, dim=0) for g in cut], allowed),
            differs("relative error", answer[1], [(g - full).norm() / full.norm() for g in cut], allowed),
        )

    return Call(function, {**arguments, "K": [1, 2]}, oracle, also=("loss",))


def scan(draw: Draw) -> Call:
    def function(h0, inputs, active):
        return recurrent.scan(lambda h, p: torch.tanh(h + p), h0, inputs, active)

    def oracle(given, answer):
        h, right, inputs = given["h0"], [], given["inputs"]
        active = torch.ones(inputs.shape[:2]).bool() if given["active"] is None else given["active"]
        assert inputs[active].isfinite().all()
        for t in range(inputs.shape[1]):
            h = torch.where(active[:, t, None], torch.tanh(h + inputs[:, t]), h)
            right.append(h)
        return differs("states", answer, torch.stack(right, 1))

    arguments = {"h0": draw.normal(2, 3), "inputs": draw.normal(2, 4, 3), "active": draw.mask(2, 4)}
    return Call(function, arguments, oracle, unread=("inputs",))


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
        gradient = given["gradient"].double()
        norm = math.hypot(*gradient.flatten().tolist())
        factor = min(1.0, given["max_norm"] / (norm + 1e-6))
        return first_complaint(
            differs("norm", answer[0], norm, np.asarray(1e-9 * norm)),
            differs("factor", answer[1], factor, np.asarray(1e-9 * factor)),
            differs("gradient", answer[2], factor * gradient, np.asarray(1e-9 * factor * norm + 1e-321)),
        )

    arguments = {"max_norm": draw.uniform(0.1, 3.0), "gradient": gradient}
    return Call(function, arguments, oracle, also=("model",))


def weight_constraints(draw: Draw) -> Call:
    weight = draw.normal(3, 3)

    def function(weight, gain, radius, norm):
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
    return Call(function, arguments, oracle, unread=("weight",))


def weight_bounds(draw: Draw) -> Call:
    def constrained(weight, constrain, *bound):
        model = nn.Module()
        trained = isinstance(weight, torch.Tensor) and weight.is_floating_point()
        model.W_hh = nn.Parameter(weight.detach().clone()) if trained else weight
        constrain(model, *bound)
        return model.W_hh.detach()

    def function(W_hh, bound):
        return (
            constrained(W_hh, recurrent.bound_spectral_radius, bound),
            constrained(W_hh, recurrent.bound_spectral_norm, bound),
            constrained(W_hh, recurrent.keep_orthogonal),
        )

    def oracle(given, answer):
        W, bound = given["W_hh"].double().numpy(), given["bound"]
        unit = np.abs(W).max()
        radius, norm = np.abs(np.linalg.eigvals(W / unit)).max(), np.linalg.norm(W / unit, 2)
        Q = answer[2].double().numpy()
        return first_complaint(
            differs("by radius", answer[0], W / unit * min(unit, bound / radius), 1e-5),
            differs("by norm", answer[1], W / unit * min(unit, bound / norm), 1e-5),
            differs("orthogonal", Q.T @ Q, np.eye(len(Q)), 1e-5),
        )

    arguments = {"W_hh": draw.normal(3, 3), "bound": draw.uniform(0.5, 2.0)}
    return Call(function, arguments, oracle, also=("name",))


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
        history = training.fit(model, loss, [(x, y)], epochs=epochs, validation=validation, **how)
        return history.train_losses, history.gradient_norms, model.weight.detach()

    def oracle(given, answer):
        """Adam, written out; its steps do not look at the validation that only repeats the batch."""
        x, y, theta = given["x"].numpy(), given["y"].numpy(), np.array([0.1, 0.1, 0.0])
        assert x.shape[1] == 2 and x.dtype == y.dtype == np.float64 and y.shape == (len(x), 1)
        first, second, losses, norms = np.zeros(3), np.zeros(3), [], []
        inputs = np.concatenate([x, np.ones((len(x), 1))], 1)
        for step in range(1, given["epochs"] + 1):
            residual = inputs @ theta - y[:, 0]
            gradient = 2 * inputs.T @ residual / len(x)
            losses.append((residual**2).mean())
            norms.append(np.linalg.norm(gradient))
            if given["clip"] is not None:
                gradient = gradient * min(1.0, given["clip"] / (norms[-1] + 1e-6))
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            theta = theta - given["learning_rate"] * first / (1 - 0.9**step) / size
        assert given["patience"] is None or sorted(losses, reverse=True) == losses
        assert np.isfinite(theta).all() and given["patience"] is None
        return first_complaint(
            differs("losses", answer[0], losses, 1e-6),
            differs("gradient norms", answer[1], norms, 1e-6),
            differs("weight", answer[2][0], theta[:2], 1e-6),
        )

    arguments = {"x": x, "y": y, "epochs": draw.whole(1, 3), "learning_rate": 0.01}
    return Call(
        function,
        {**arguments, "patience": draw.choice([None, 2]), "clip": draw.choice([None, 1.0])},
        oracle,
        also=("loss", "batches"),
    )


BUILDERS = {
    "VanillaRNN LeakyRNN": cell,
    "VanillaRNN LeakyRNN sizes": cell_sizes,
    "LSTM GRU MinGRU": gated_cell,
    "LSTM GRU MinGRU Stacked sizes": gated_sizes,
    "Bidirectional Stacked": layers,
    "from_torch to_torch": torch_layers,
    "affine_scan": affine_scan,
    "memory_time_constant forget_bias_for cutoff_frequency": memory,
    "frequency_response": frequency_response,
    "chrono_": chrono,
    "gradient_profile truncated_loss truncated_bptt": recurrent_gradients,
    "GRUD BaselineGRUD GRUDelta ODERNN GRUODE": irregular_cells,
    "step_jacobians jacobian_product": jacobians,
    "truncation_curve": truncation_curve,
    "scan": scan,
    "path_count path_decomposition": paths,
    "first_non_finite refuse_non_finite": finiteness,
    "clip": clip,
    "orthogonal_ spectral_radius_ spectral_norm_": weight_constraints,
    "bound_spectral_radius bound_spectral_norm keep_orthogonal": weight_bounds,
    "training.fit": train,
}
