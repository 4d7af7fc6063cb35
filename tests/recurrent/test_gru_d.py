"""GRU-D against the paper's equations written out, and against what published codes make of them."""

import math

import numpy as np
import pytest
import torch
from irregular_cells import FEATURES, UNITS, cells, perturbed, ragged
from torch.autograd import forward_ad

from helpers.recurrent import GRUD, gradient_profile, gru_d, gru_d_loop, scan
from helpers.series import IrregularBatch, Standardiser, one_series

DEVIATIONS = {
    "feeds 1 - m": 0.05,
    "blends the undecayed state": 0.1,
    "carries values back from the future": 0.03,
    "has one decay for all units": 0.005,
    "decays the current value": 0.05,
    "decays towards nothing but the last value": 0.05,
    "leaves the reset gate out": 0.01,
    "leaves the mask out of the candidate": 0.05,
    "decays after the update": 0.1,
    "counts the gap since the last step only": 0.05,
    "counts from the observation of the step itself": 0.1,
    "mixes features in the input decay": 0.005,
}
"""What a published code did, and by how much at least a state then differs in the case below."""


def written_out(model, times, values, mask, deviation=None):
    """The paper's equations for one series, in numpy, or a deviation from them."""
    W = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    w_x, b_x = W["input_decay.w_gamma_x"], W["input_decay.b_gamma_x"]
    W_h, b_h, mean = W["W_gamma_h"], W["b_gamma_h"], model.input_decay.mean.numpy()
    W_x, W_m, U, b = (np.split(W[name], 3) for name in ("W_xh", "W_mh", "W_hh", "b"))
    h, last, states = np.zeros(len(b_h)), mean.copy(), []
    delta = np.zeros(len(mean))
    if deviation == "carries values back from the future":
        last = np.array([values[m, d][0] if (m := mask[:, d]).any() else mean[d] for d in range(len(mean))])
    for t in range(len(times)):
        m, x = mask[t].astype(float), np.where(mask[t], values[t], 0.0)
        if t:
            gap = times[t] - times[t - 1]
            since = deviation == "counts the gap since the last step only"
            delta = gap + np.where(mask[t - 1] | since, 0.0, delta)
        if deviation == "counts from the observation of the step itself":
            delta = np.where(mask[t], 0.0, delta)
        rate = w_x * delta
        if deviation == "mixes features in the input decay":
            rate = np.full_like(rate, rate.mean())
        gamma_x = np.exp(-np.maximum(0, rate + b_x))
        gamma_h = np.exp(-np.maximum(0, W_h @ delta + b_h))
        if deviation == "has one decay for all units":
            gamma_h = gamma_h[:1]
        carried = x if deviation == "decays the current value" else last
        goal = last if deviation == "decays towards nothing but the last value" else mean
        x_hat = m * x + (1 - m) * (gamma_x * carried + (1 - gamma_x) * goal)
        h_hat = h if deviation == "decays after the update" else gamma_h * h
        fed = 1 - m if deviation == "feeds 1 - m" else m
        r = 1 / (1 + np.exp(-(W_x[0] @ x_hat + U[0] @ h_hat + W_m[0] @ fed + b[0])))
        z = 1 / (1 + np.exp(-(W_x[1] @ x_hat + U[1] @ h_hat + W_m[1] @ fed + b[1])))
        if deviation == "leaves the reset gate out":
            r = np.ones_like(r)
        told = 0 * fed if deviation == "leaves the mask out of the candidate" else fed
        n = np.tanh(W_x[2] @ x_hat + U[2] @ (r * h_hat) + W_m[2] @ told + b[2])
        h = (1 - z) * (h if deviation == "blends the undecayed state" else h_hat) + z * n
        if deviation == "decays after the update":
            h = gamma_h * h
        last = np.where(mask[t], values[t], last)
        states.append(h)
    return np.stack(states)


def case():
    model, batch = perturbed(cells()["GRU-D"]), ragged(lengths=(7,))
    return model, batch, (batch.times[0].numpy(), batch.values[0].numpy(), batch.mask[0].numpy())


def test_gru_d_is_the_papers_equations():
    model, batch, series = case()
    states = model(batch, return_states=True)[0].detach().numpy()
    assert np.abs(states - written_out(model, *series)).max() < 1e-14


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_gru_d_has_no_published_deviation(deviation):
    model, batch, series = case()
    states = model(batch, return_states=True)[0].detach().numpy()
    assert np.abs(states - written_out(model, *series, deviation)).max() > DEVIATIONS[deviation]


def test_the_mean_is_over_what_was_observed():
    """Over all entries, with zeros for what was not observed, it would be 1.5."""
    values = torch.tensor([[2.0], [0.0], [4.0], [0.0]])
    train = one_series(torch.arange(4.0), values, values > 0)
    assert Standardiser.fit(train).mean.tolist() == [3.0]


def test_a_feature_never_observed_in_training_is_named_or_takes_its_prior():
    train = IrregularBatch(
        torch.arange(2.0).expand(2, 2),
        torch.tensor([[[1.0, 9.0], [2.0, 9.0]], [[3.0, 9.0], [6.0, 9.0]]]),
        torch.tensor([True, False]).expand(2, 2, 2),
        torch.tensor([2, 2]),
    )
    with pytest.raises(ValueError, match=r"feature 1 is never observed"):
        Standardiser.fit(train)
    undefined = train.values.sum((0, 1)) * 0 + torch.tensor([3.0, torch.nan])
    with pytest.raises(ValueError, match=r"mean must be finite: mean\[1\] = nan"):
        GRUD(2, 3, mean=undefined)
    mean = Standardiser.fit(train, prior_mean=0.5, prior_scale=1.0).mean
    model = GRUD(2, 3, mean=mean)
    assert model.input_decay.mean.tolist() == [3.0, 0.5]
    model(train).square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_before_its_first_observation_a_feature_stands_at_the_mean():
    model, batch, _ = case()
    u = model.encode(batch)[0]
    x, first = u[:, :FEATURES], batch.mask[0].int().argmax(0)
    for feature, step in enumerate(first):
        assert (x[:step, feature] == model.input_decay.mean[feature]).all()
        assert x[step, feature] == batch.values[0, step, feature]


def test_nothing_looks_ahead():
    model, batch, _ = case()
    states = model(batch, return_states=True)
    cut = IrregularBatch(batch.times[:, :4], batch.values[:, :4], batch.mask[:, :4], torch.tensor([4]))
    assert torch.allclose(model(cut, return_states=True), states[:, :4], atol=1e-14, rtol=0)


def test_every_decay_starts_with_the_time_constant_and_a_gradient():
    """The authors' code starts all decay weights at 0, where max(0, ·) has no gradient: there they stay."""
    batch = ragged(lengths=(7, 7), unit=24.0)
    model = cells()["GRU-D"]
    started = GRUD(FEATURES, UNITS, mean=0.0, tau=24.0, dtype=torch.float64)
    _, _, delta = started.encode(batch).chunk(3, -1)
    gamma_h = started.project(started.encode(batch))[..., :UNITS]
    expected = torch.exp(-delta.mean(-1, keepdim=True) / 24).expand_as(gamma_h)
    assert torch.allclose(gamma_h, expected, atol=1e-15)
    for start, learns in ((1 / 24, True), (0.0, False), (-0.1, False)):
        model = GRUD(FEATURES, UNITS, mean=1.0, tau=24.0, dtype=torch.float64)
        if not learns:
            for weight in (model.W_gamma_h, model.input_decay.w_gamma_x):
                torch.nn.init.constant_(weight, start)
        model(batch).sum().backward()
        assert bool(model.W_gamma_h.grad.any()) == bool(model.input_decay.w_gamma_x.grad.any()) == learns


def test_minutes_for_hours_leave_a_decay_nothing_to_learn_from():
    hours = ragged(lengths=(7, 7), unit=2.0)
    minutes = IrregularBatch(60 * hours.times, hours.values, hours.mask, hours.lengths)
    sizes = []
    for batch, tau in ((hours, 2.0), (minutes, 120.0), (minutes, 2.0)):
        generator = torch.Generator().manual_seed(0)
        model = GRUD(FEATURES, UNITS, mean=1.0, tau=tau, dtype=torch.float64, generator=generator)
        model(batch).sum().backward()
        sizes.append(float(model.W_gamma_h.grad.norm() * model.W_gamma_h.detach().norm()))
    assert sizes[1] == pytest.approx(sizes[0], rel=1e-9)
    assert sizes[2] < 1e-3 * sizes[1]


def test_the_papers_rule_on_a_grid_and_off_it():
    """w = 0.1 per hour: one gap of 6 h leaves 0.549, six steps of 1 h without a reading 0.122."""
    once = hidden_decay(torch.tensor([0.0, 6.0]))
    hourly = hidden_decay(torch.arange(7.0))
    assert once == pytest.approx(math.exp(-0.6), abs=1e-12) and round(once, 3) == 0.549
    assert hourly == pytest.approx(math.exp(-0.1 * 6 * 7 / 2), abs=1e-12) and round(hourly, 3) == 0.122


def hidden_decay(times):
    """What is left of a state of 1 after steps at which nothing is observed, if no gate opens."""
    model = GRUD(1, 1, mean=0.0, tau=10.0, dtype=torch.float64)
    with torch.no_grad():
        model.b[1] = -torch.inf  # z = 0
    nothing = torch.zeros(len(times), 1, dtype=torch.float64)
    gap = one_series(times.double(), nothing, nothing > 0)
    return float(model(gap, torch.ones(1, 1, dtype=torch.float64)).detach())


def test_a_gradients_highway_is_what_the_decay_and_the_update_gate_keep():
    model, batch, _ = case()
    profile = gradient_profile(model, batch, lambda states: states[:, -1].sum(), by_path=True)
    p = model.project(model.encode(batch))
    before = torch.cat([torch.zeros(1, 1, UNITS).double(), model(batch, return_states=True)[:, :-1]], 1)
    gates = [model.gates(before[:, t], p[:, t]) for t in range(7)]
    kept = torch.stack([gate.gamma_h * (1 - gate.z) for gate in gates], 1)
    expected = kept.flip(1).cumprod(1).flip(1)
    assert torch.allclose(profile.highway[:, :-1], expected, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({}, r"mean must be given, .*Standardiser.fit\(train\).mean", id="no mean"),
        pytest.param({"mean": torch.zeros(2)}, r"mean must have shape \(D,\) = \(3,\)", id="shape"),
        pytest.param({"mean": [0.0] * 3}, "mean must be a tensor: got list; torch.as_tensor", id="list"),
        pytest.param(
            {"mean": torch.full((3,), torch.inf)},
            r"mean must be finite: mean\[0\] = inf",
            id="infinite",
        ),
        pytest.param(
            {"mean": torch.tensor([0, 1e300, 0], dtype=torch.float64)}, r"mean\[1\] = inf", id="too large"
        ),
        pytest.param({"mean": math.nan}, "mean must be a finite number: got nan", id="NaN"),
        pytest.param({"mean": 0.0, "tau": 0.0}, "tau must be positive and finite: got 0.0", id="tau"),
    ],
)
def test_misuse_of_gru_d(arguments, message):
    with pytest.raises(ValueError, match=message):
        GRUD(FEATURES, UNITS, **arguments)


# The faster loop.


def long_case(dtype, steps=200, seed=0):
    model = perturbed(cells(dtype)["GRU-D"])
    batch = ragged(lengths=(steps, steps // 3, 1, 0), steps=steps, dtype=dtype, unit=3.0, seed=seed)
    return model, model.encode(batch), batch.lengths, torch.zeros(4, UNITS, dtype=dtype)


def plain_states(model, u, lengths, h0):
    active = torch.arange(u.shape[1]) < lengths.unsqueeze(-1)
    return scan(model.step, h0, model.project(u), active)


@pytest.mark.parametrize(
    ("dtype", "within"),
    [
        pytest.param(torch.float32, 1e-6, id="single precision"),
        pytest.param(torch.float64, 1e-10, id="double precision"),
    ],
)
@pytest.mark.parametrize("where", ["all states", "last state"])
def test_the_faster_loop_has_the_gradients_of_the_plain_one(dtype, within, where):
    model, u, lengths, h0 = long_case(dtype)
    found, weights = [], list(model.parameters())
    for states in (model.run(u, h0, lengths), plain_states(model, u, lengths, h0)):
        chosen = states if where == "all states" else states[:, -1]
        found.append((states, torch.autograd.grad(chosen.square().mean(), weights)))
    (fast, fast_gradients), (plain, plain_gradients) = found
    assert torch.allclose(fast, plain, atol=within, rtol=0)
    for one, other in zip(fast_gradients, plain_gradients, strict=True):
        assert (one - other).abs().max() <= within * max(1e-2, float(other.abs().max()))


def test_the_faster_loop_is_the_one_that_runs():
    model, u, lengths, h0 = long_case(torch.float64, steps=3)
    made_by = model.run(u, h0, lengths).grad_fn
    assert "Loop" in type(made_by).__name__ or "Loop" in type(made_by.next_functions[0][0]).__name__


def test_gradients_do_not_become_subnormal():
    model, u, _, h0 = long_case(torch.float32)
    u, first = u[:1].detach(), h0[:1].clone().requires_grad_()
    parts = [part.detach().requires_grad_() for part in model.project_parts(u)]
    states = gru_d_loop.run(gru_d.move, *parts, model.W_hh, first, None)
    states[:, -1].sum().backward()
    smallest = torch.finfo(torch.float32).smallest_normal
    size = parts[1].grad.abs()
    assert (size > 0).any() and not (first.grad.abs() > 0).any()  # it has died on its way
    assert ((size == 0) | (size > 1e-3 * smallest)).all()
    assert ((size > 0) & (size < smallest)).double().mean() < 0.01


def test_a_backward_pass_can_be_repeated():
    model, batch, _ = case()
    loss = model(batch).square().sum()
    weights = list(model.parameters())
    once = torch.autograd.grad(loss, weights, retain_graph=True)
    again = torch.autograd.grad(loss, weights)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode
def test_other_ways_to_differentiate_go_through_the_plain_loop():
    model, batch, _ = case()
    u, h0, lengths = model.encode(batch), torch.zeros(1, UNITS).double(), batch.lengths
    direction = torch.ones_like(h0)
    with forward_ad.dual_level():
        dual = model.run(u, forward_ad.make_dual(h0, direction), lengths)[:, -1]
        forwards = forward_ad.unpack_dual(dual).tangent
    jacobian = torch.func.jacrev(lambda h: model.run(u, h, lengths)[0, -1])(h0)[:, 0]
    backwards = torch.autograd.functional.jacobian(lambda h: model.run(u, h, lengths)[0, -1], h0)[:, 0]
    assert torch.allclose(jacobian, backwards, atol=1e-14)
    assert torch.allclose(forwards[0], backwards @ direction[0], atol=1e-14)


def test_half_precision_goes_through_the_plain_loop():
    model, batch, _ = case()
    expected = model(batch)
    found = model.bfloat16()(batch.to(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.double(), expected, atol=0.05)
