"""Every cell that reads the times: what it may not depend on, its edges, and its gradients."""

import math

import pytest
import torch
from irregular_cells import FEATURES, UNITS, cells, perturbed, ragged
from torch.autograd import gradcheck, gradgradcheck

from helpers.dynamics import semigroup_defect
from helpers.odes import solve
from helpers.recurrent import (
    GRUODE,
    ODERNN,
    BaselineGRUD,
    Bidirectional,
    gradient_profile,
    jacobian_product,
    scan,
    step_jacobians,
    truncated_bptt,
    truncation_curve,
)
from helpers.series import IrregularBatch, collate

KINDS = list(cells())
FLOWS = KINDS[3:]
JUMPING = [KINDS[1], *FLOWS]


def states_by_hand(cell, batch, h):
    """One series after another, step after step, never beyond its length."""
    p = cell.project(cell.encode(batch))
    rows = []
    for series, length in enumerate(batch.lengths.tolist()):
        state, row = h[series : series + 1], []
        for t in range(p.shape[1]):
            state = cell.step(state, p[series : series + 1, t]) if t < length else state
            row.append(state)
        rows.append(torch.stack(row, 1))
    return torch.cat(rows)


def start(batch, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(len(batch), UNITS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_those_of_a_plain_loop(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    h0 = start(batch).requires_grad_()
    weights = [weight for weight in cell.parameters() if weight.requires_grad]
    found = cell(batch, h0, return_states=True)
    right = states_by_hand(cell, batch, h0)
    assert torch.allclose(found, right, atol=1e-13, rtol=0)
    toward = torch.randn(found.shape, generator=torch.Generator().manual_seed(5), dtype=found.dtype)
    for one, other in zip(
        torch.autograd.grad((found * toward).sum(), [h0, *weights]),
        torch.autograd.grad((right * toward).sum(), [h0, *weights]),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_keeps_six_digits(kind):
    batch = ragged()
    double, single = perturbed(cells()[kind]), perturbed(cells()[kind]).float()
    found = single(batch.to(torch.float32))
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), double(batch), atol=2e-6)
    found.square().sum().backward(), double(batch).square().sum().backward()
    for one, other in zip(single.parameters(), double.parameters(), strict=True):
        if other.requires_grad:
            size = other.grad.abs().max() if other.grad.numel() else 0.0
            assert torch.allclose(one.grad.double(), other.grad, atol=float(3e-6 * size + 1e-7))


@pytest.mark.parametrize("kind", KINDS)
def test_times_in_double_and_values_in_single_precision_go_together(kind):
    batch = ragged()
    mixed = IrregularBatch(batch.times + 1e6, batch.values.float(), batch.mask, batch.lengths)
    found = cells(torch.float32)[kind](mixed)
    shifted = IrregularBatch(batch.times, batch.values.float(), batch.mask, batch.lengths)
    assert torch.allclose(found, cells(torch.float32)[kind](shifted), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_is_alone_in_its_batch(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    together = cell(batch)
    alone = torch.cat([cell(series) for series in batch])
    assert torch.allclose(alone, together, atol=1e-13, rtol=0)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(cell(batch[order]), together[order], atol=1e-13, rtol=0)
    wild = collate([batch[:3], ragged(lengths=(7,), unit=40.0, seed=9)])
    assert torch.allclose(cell(wild)[:3], together[:3], atol=1e-13, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_observed_is_never_read(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    spoilt = IrregularBatch(
        torch.where(batch.valid, batch.times, -1e30),
        torch.where(batch.mask, batch.values, 1e30),
        batch.mask,
        batch.lengths,
    )
    spoilt.values.requires_grad_(), batch.values.requires_grad_()
    assert torch.equal(cell(spoilt), cell(batch))
    gradients = [torch.autograd.grad(cell(each).sum(), each.values)[0] for each in (spoilt, batch)]
    assert torch.equal(*gradients)
    assert not gradients[0][~batch.mask].any() and gradients[0][batch.mask].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_is_that_of_each_series_own_last_step(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    h0 = start(batch)
    states, last = cell(batch, h0, return_states=True), cell(batch, h0)
    for series, length in enumerate(batch.lengths.tolist()):
        own = states[series, length - 1] if length else h0[series]
        assert torch.equal(last[series], own)
        assert (states[series, length:] == own).all()
    assert not cell(batch)[3].any()  # the series without a step


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lengths", "steps"),
    [
        pytest.param((), 3, id="no series"),
        pytest.param((0, 0), 0, id="no steps"),
        pytest.param((0, 0), 2, id="only padding"),
        pytest.param((1, 1), 1, id="one step"),
    ],
)
def test_empty_and_shortest_batches(kind, lengths, steps):
    cell, batch = cells()[kind], ragged(lengths, steps)
    h0 = start(batch)
    last = cell(batch, h0)
    assert last.shape == (len(lengths), UNITS) and last.isfinite().all()
    assert cell(batch, h0, return_states=True).shape == (len(lengths), steps, UNITS)
    if not any(lengths):
        assert torch.equal(last, h0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("observed", [pytest.param(0.0, id="nothing"), pytest.param(None, id="two features")])
def test_features_that_are_never_observed(kind, observed):
    batch = ragged(observed=1.0 if observed is None else observed)
    if observed is None:
        mask = batch.mask & torch.tensor([True, False, True])
        batch = IrregularBatch(batch.times, torch.where(mask, batch.values, torch.nan), mask, batch.lengths)
    cell = cells()[kind]
    h0 = start(batch)
    states = cell(batch, h0, return_states=True)
    states.square().sum().backward()
    assert states.isfinite().all()
    for name, weight in cell.named_parameters():
        assert not weight.requires_grad or weight.grad.isfinite().all(), name
    if observed == 0.0 and kind in JUMPING:
        since = (batch.times - batch.times[:, :1])[0]
        flown = torch.stack([cell.evolve(h0[:1], float(dt)) for dt in since], 1)
        assert torch.allclose(states[:1], flown, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_and_their_gradients_are_right(kind):
    cell, batch = perturbed(cells()[kind]), ragged(lengths=(3, 2, 0), steps=3)
    names = [name for name, weight in cell.named_parameters() if weight.requires_grad]
    weights = [dict(cell.named_parameters())[name].detach().clone().requires_grad_() for name in names]
    values = torch.where(batch.mask, batch.values, 0.0).requires_grad_()

    def last(h0, values, *weights):
        series = IrregularBatch(batch.times, values, batch.mask, batch.lengths)
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(cell, given, (series, h0), strict=False)

    inputs = (start(batch).requires_grad_(), values, *weights)
    assert gradcheck(last, inputs, fast_mode=True, atol=1e-6)
    assert gradgradcheck(last, inputs, fast_mode=True, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_times_have_gradients_too(kind):
    cell, batch = perturbed(cells()[kind]), ragged(lengths=(4,), steps=4)
    assert gradcheck(
        lambda times: cell(IrregularBatch(times, batch.values, batch.mask, batch.lengths)),
        (batch.times.clone().requires_grad_(),),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_tools_for_gradients_take_a_batch(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    h0 = start(batch)

    def loss(states, steps=None):
        return states.square().sum()

    profile = gradient_profile(cell, batch, loss, h0=h0)
    first = h0.clone().requires_grad_()
    (right,) = torch.autograd.grad(loss(cell(batch, first, return_states=True)), first)
    assert torch.allclose(profile.gradients[:, 0], right, atol=1e-12)
    each = step_jacobians(cell, batch, h0=h0)
    jacobian = torch.autograd.functional.jacobian(lambda h: cell(batch, h).sum(0), h0).movedim(1, 0)
    assert torch.allclose(jacobian_product(cell, batch, 0, h0=h0).matrix, jacobian, atol=1e-12)
    assert torch.equal(each[3, 0], torch.eye(UNITS).double())  # a step that is none
    cell.zero_grad()
    assert torch.allclose(truncated_bptt(cell, batch, loss, 3, h0=h0).state, cell(batch, h0), atol=1e-13)
    assert truncation_curve(cell, batch, loss, [7], h0=h0).relative_error.item() < 1e-12
    encoded = gradient_profile(cell, cell.encode(batch), loss, h0=h0, lengths=batch.lengths)
    assert torch.equal(encoded.gradients, profile.gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_made_in_inference_mode_can_train(kind):
    cell = cells()[kind]
    with torch.inference_mode():
        batch = ragged()
        expected = cell(batch)
    found = cell(batch)
    found.square().sum().backward()
    assert torch.allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FLOWS])
def test_a_step_can_be_mapped_over_series(kind):
    cell, batch = perturbed(cells()[kind]), ragged()
    p, h = cell.project(cell.encode(batch))[:, 2], start(batch)
    mapped = torch.func.vmap(lambda h, p: cell.step(h[None], p[None])[0])(h, p)
    assert torch.allclose(mapped, cell.step(h, p), atol=1e-14)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no rule for mapping addmm_
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FLOWS])
def test_each_series_gradient_at_once(kind):
    cell, batch = perturbed(cells()[kind]), ragged(lengths=(7, 7, 7))
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}

    def loss(weights, u):
        with torch.nn.utils.stateless._reparametrize_module(cell, weights):
            return scan(cell.step, u.new_zeros(1, UNITS), cell.project(u.unsqueeze(0)))[0, -1].sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, cell.encode(batch))
    for number, series in enumerate(batch):
        cell.zero_grad()
        cell(series).sum().backward()
        for name, weight in cell.named_parameters():
            assert torch.allclose(found[name][number], weight.grad, atol=1e-12), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_is_saved_and_loaded_with_all_that_it_knows(kind):
    cell, other, batch = perturbed(cells()[kind]), cells(seed=7)[kind], ragged()
    other.load_state_dict(cell.state_dict())
    assert torch.equal(other(batch), cell(batch))


@pytest.mark.parametrize("kind", KINDS)
def test_every_device_gives_the_same(kind, device):
    cell, batch = perturbed(cells()[kind]), ragged()
    expected = cell(batch)
    found = cell.to(device)(batch.to(device))
    assert found.device.type == device.type
    assert torch.allclose(found.cpu(), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_weights(kind):
    one, same, other = cells(seed=1)[kind], cells(seed=1)[kind], cells(seed=2)[kind]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# Gaps.


@pytest.mark.parametrize("kind", KINDS[:3])
def test_gaps_of_a_hundred_thousand_keep_everything_finite(kind):
    for dtype in (torch.float32, torch.float64):
        cell, batch = cells(dtype)[kind], ragged(unit=1e5, dtype=dtype)
        states = cell(batch, return_states=True)
        states.square().sum().backward()
        assert states.isfinite().all() and (states.abs() <= 1).all()
        assert all(weight.grad.isfinite().all() for weight in cell.parameters())


@pytest.mark.parametrize("kind", FLOWS)
def test_a_gap_far_beyond_the_longest_step_is_refused(kind):
    message = r"max_step must leave at most 10000 steps: 0.25 does not, for series \d with a gap of \d+"
    with pytest.raises(ValueError, match=message):
        cells()[kind](ragged(unit=1e5))


@pytest.mark.parametrize("kind", JUMPING)
def test_no_time_is_no_change(kind):
    cell = perturbed(cells()[kind])
    h = start(ragged())
    assert torch.equal(cell.evolve(h, 0.0), h)
    assert torch.equal(cell.evolve(h, torch.zeros(len(h), 1).double()), h)


@pytest.mark.parametrize("kind", KINDS)
def test_two_readings_at_one_time(kind):
    """A batch has increasing times; the encoded form may hold Δt = 0, where only the jump is left."""
    cell, batch = perturbed(cells()[kind]), ragged(lengths=(4,), steps=4, observed=1.0)
    u = cell.encode(batch).clone()
    u[:, 2, 2 * FEATURES :] = 0.0
    states = cell.run(u, start(batch), batch.lengths)
    assert states.isfinite().all()
    if kind in JUMPING:
        jumped = cell.cell.step(states[:, 1], cell.project(u)[:, 2, 2:])
        assert torch.allclose(states[:, 2], jumped, atol=1e-14)


@pytest.mark.parametrize("kind", JUMPING)
def test_each_series_goes_its_own_time(kind):
    cell, h = perturbed(cells()[kind]), start(ragged())
    gaps = torch.tensor([0.0, 0.3, 1.7, 5.0]).double()
    together = cell.evolve(h, gaps.unsqueeze(-1))
    alone = torch.cat([cell.evolve(h[b : b + 1], float(dt)) for b, dt in enumerate(gaps)])
    assert torch.allclose(together, alone, atol=1e-14)


# The semigroup property.


def test_the_baseline_is_where_a_long_gap_ends():
    cell = perturbed(cells()["GRU-D to a baseline"])
    h = start(ragged())
    assert torch.equal(cell.evolve(h, 1e5), cell.h_inf.expand_as(h))
    assert torch.equal(cell.evolve(h, torch.full((4, 1), torch.inf).double()), cell.h_inf.expand_as(h))


def test_a_unit_without_decay_keeps_what_it_has():
    cell = cells()["GRU-D to a baseline"]
    with torch.no_grad():
        cell.log_gamma.fill_(-torch.inf)
    h = start(ragged())
    assert torch.equal(cell.evolve(h, 1e5), h)
    cell(ragged()).sum().backward()
    assert cell.log_gamma.grad.isfinite().all()


def after_nothing(cell, kind):
    """A whole step at which nothing is observed, as a map of what it changes: of GRU-D, h and δ."""

    def step(state, dt):
        h, delta = state[:, :UNITS], state[:, UNITS:] + dt
        nothing = torch.zeros(len(h), 2 * FEATURES).double()
        if kind.startswith("GRU-D"):
            nothing[:, :FEATURES] = cell.input_decay.mean
        waited = {"GRU-D": delta, "GRU-D to a baseline": torch.cat([delta, delta[:, :1] * 0 + dt], -1)}
        time = waited.get(kind, torch.full((len(h), 1), float(dt)).double())
        p = cell.project(torch.cat([nothing, time], -1).unsqueeze(1))[:, 0]
        return torch.cat([cell.step(h, p).detach(), delta], -1)

    return step


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        pytest.param("GRU-D", 0.01, 1.0, id="GRU-D"),
        pytest.param("GRU-D to a baseline", 0.0, 1e-12, id="GRU-D to a baseline"),
        pytest.param("GRU fed the gap", 0.01, 1.0, id="GRU fed the gap"),
        pytest.param("ODE-RNN", 0.0, 1e-4, id="ODE-RNN"),
        pytest.param("GRU-ODE", 0.0, 1e-4, id="GRU-ODE"),
    ],
)
def test_who_breaks_the_semigroup_law(kind, least, most):
    cell, h = perturbed(cells()[kind]), start(ragged())
    states = torch.cat([h, torch.zeros(len(h), FEATURES).double()], -1)
    defect = semigroup_defect(after_nothing(cell, kind), states, 0.7)
    assert (least <= defect).all() and (defect <= most).all()
    if kind in JUMPING:
        assert (semigroup_defect(cell.evolve, h, 0.7) <= most).all()


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flows_defect_is_its_solvers_error_and_falls_with_the_fifth_power(kind):
    cell, h = perturbed(cells()[kind]), start(ragged())
    defects = []
    for step in (0.8, 0.4):
        cell.max_step = step
        defects.append(semigroup_defect(cell.evolve, h, step / 2).detach().mean())
    assert 4.0 < math.log2(defects[0] / defects[1]) < 6.0
    cell.max_step = 0.25
    assert (semigroup_defect(cell.evolve, h, 0.5) < 1e-14).all()  # the same steps either way


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flow_is_what_the_solvers_find(kind):
    cell, h = perturbed(cells()[kind]), start(ragged()).detach()
    with torch.no_grad():
        times = torch.tensor([0.0, 1.3]).double()
        right = solve(lambda t, y: cell.field(y), h, times, rtol=1e-10, atol=1e-12).y[:, -1]
        cell.max_step = 0.01
        assert torch.allclose(cell.evolve(h, 1.3), right, atol=1e-8)


def test_gru_ode_is_the_limit_of_short_gru_steps():
    """n steps h ← h + (z / n) ⊙ (n - h) of the GRU without input come as near as 1 / n."""
    cell, h = perturbed(cells()["GRU-ODE"]), start(ragged())
    right, errors = cell.evolve(h, 1.0), []
    for n in (50, 100):
        y = h
        for _ in range(n):
            gates = cell.flow.gates(y, cell.flow.b)
            y = torch.lerp(y, gates.n, gates.z / n)
        errors.append(float((y - right).abs().max().detach()))
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)


def test_gru_ode_stays_between_minus_one_and_one():
    cell = perturbed(cells()["GRU-ODE"])
    with torch.no_grad():
        cell.flow.W_hh.mul_(20)
    assert (cell(ragged(unit=30.0, lengths=(7, 7)), return_states=True).abs() <= 1).all()


# What is refused.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("batch", "message"),
    [
        pytest.param(torch.zeros(2, 3, FEATURES), "batch must be an IrregularBatch", id="a tensor"),
        pytest.param(
            ragged().select_features([0, 1]),
            r"batch.values must have shape \(B, T, 3\): got \(4, 7, 2\)",
            id="two features",
        ),
        pytest.param(
            ragged(dtype=torch.float32),
            "batch.values must have the dtype of the weights: got torch.float32 and torch.float64",
            id="single precision",
        ),
    ],
)
def test_misuse_of_a_batch(kind, batch, message):
    with pytest.raises(ValueError, match=message):
        cells()[kind](batch)


@pytest.mark.parametrize("kind", KINDS)
def test_an_observed_nan_and_times_that_go_back_are_refused(kind):
    batch = ragged(observed=1.0)
    values, times = batch.values.clone(), batch.times.clone()
    values[0, 2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"observed values must be finite: series 0 has values\[2, 1\]"):
        cells()[kind](IrregularBatch(batch.times, values, batch.mask, batch.lengths))
    times[1, 2] = 0.0
    with pytest.raises(ValueError, match=r"times must increase .* series 1 has times\[2\] = 0.0"):
        cells()[kind](IrregularBatch(times, batch.values, batch.mask, batch.lengths))
    u = cells()[kind].encode(batch).clone()
    u[0, 2, -1] = -1.0
    with pytest.raises(ValueError, match="durations in u must not be negative"):
        cells()[kind].project(u)
    with pytest.raises(ValueError, match=r"u must have shape \(B, T, "):
        cells()[kind].project(u[..., 1:])


@pytest.mark.parametrize("kind", JUMPING)
@pytest.mark.parametrize("dt", [pytest.param(-0.1, id="negative"), pytest.param(math.nan, id="NaN")])
def test_time_does_not_run_backwards(kind, dt):
    with pytest.raises(ValueError, match="dt must be finite and not negative"):
        cells()[kind].evolve(start(ragged()), dt)


@pytest.mark.parametrize("kind", KINDS)
def test_misuse_of_the_first_state(kind):
    with pytest.raises(ValueError, match=r"h0 must have shape \(B, 5\) = \(4, 5\): got \(4, 4\)"):
        cells()[kind](ragged(), torch.zeros(4, 4).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: ODERNN(0, 3), "input_size must be a whole number", id="no features"),
        pytest.param(lambda: ODERNN(2, 3, max_step=0.0), "max_step must be positive", id="no step"),
        pytest.param(lambda: ODERNN(2, 3, field_size=0), "field_size must be a whole number", id="no field"),
        pytest.param(lambda: GRUODE(2, 3, max_step=math.inf), "max_step must be positive", id="endless step"),
        pytest.param(lambda: BaselineGRUD(2, 3), "mean must be given", id="no mean"),
        pytest.param(lambda: BaselineGRUD(2, 3, mean=0.0, tau=-1.0), "tau must be positive", id="tau"),
        pytest.param(lambda: Bidirectional(GRUODE(2, 3)), "cell must be a cell, such as", id="backwards"),
    ],
)
def test_misuse_of_a_cell(make, message):
    with pytest.raises(ValueError, match=message):
        make()
