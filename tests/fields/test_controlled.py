"""Fields driven by inputs, and inputs from samples."""

import copy
import math
import re

import pytest
import torch
from torch import nn
from torchdiffeq import odeint

from helpers.dynamics import Flow
from helpers.fields import ControlledField, LinearInterpolation, MLPField, StoichiometricField, ZeroOrderHold
from helpers.odes import solve
from helpers.series import IrregularBatch, collate


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TIMES = double(0.0, 1.0, 3.0)
SHARED = double([0.0, 5.0], [2.0, 4.0], [-2.0, 0.0])  # (T, I)
OWN = torch.stack((SHARED, 10 * SHARED, -SHARED, SHARED + 1))  # (B, T, I)


def test_held_by_hand():
    u = ZeroOrderHold(TIMES, SHARED)
    for t, expected in {-1.0: 0, 0.0: 0, 0.999: 0, 1.0: 1, 2.9: 1, 3.0: 2, 7.0: 2}.items():
        assert torch.equal(u(t), SHARED[expected]) and torch.equal(u(torch.tensor(t)), SHARED[expected])
    assert torch.equal(u(double(2.9, 7.0, 0.5, 1.0)), SHARED[[1, 2, 0, 1]])
    assert torch.equal(ZeroOrderHold(TIMES[:1], SHARED[:1])(4.0), SHARED[0])


def test_interpolated_by_hand():
    u = LinearInterpolation(TIMES, SHARED)
    inside = {0.0: [0, 5], 0.25: [0.5, 4.75], 1.0: [2, 4], 2.0: [0, 2], 3.0: [-2, 0]}
    by_hand = inside | {-1.0: [0, 5], 9.0: [-2, 0]}
    for t, expected in by_hand.items():
        torch.testing.assert_close(u(t), double(*expected), rtol=1e-14, atol=1e-14)
    together = u(double(*by_hand))
    torch.testing.assert_close(together, double(*by_hand.values()), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_each_series_has_its_own_samples(kind):
    u, t = kind(TIMES, OWN), double(2.5, 0.3, 1.0, 8.0)
    expected = torch.stack([kind(TIMES, own)(time) for own, time in zip(OWN, t, strict=True)])
    assert torch.equal(u(t), expected)
    assert torch.equal(u(0.3), torch.stack([kind(TIMES, own)(0.3) for own in OWN]))


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_dtype_and_device_are_those_of_the_samples(kind, device):
    u = kind(TIMES.to(device, torch.float32), OWN.to(device, torch.float32))
    for t in (0.5, torch.tensor(0.5, dtype=torch.float64), torch.full((4,), 0.5, device=device).expand(4)):
        assert u(t).dtype == torch.float32 and u(t).device.type == device.type and u(t).shape == (4, 2)


OWN_TIMES = torch.stack((TIMES, 2 * TIMES, TIMES - 5, TIMES / 10))  # (B, T)


@pytest.mark.parametrize("values", [pytest.param(SHARED, id="shared"), pytest.param(OWN, id="own")])
@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_each_series_has_its_own_times(kind, values):
    u, t = kind(OWN_TIMES, values), double(2.5, 2.0, -3.0, 0.2)
    alone = [kind(*of) for of in zip(OWN_TIMES, values.expand(4, 3, 2), strict=True)]
    assert torch.equal(u(t), torch.stack([one(time) for one, time in zip(alone, t, strict=True)]))
    assert torch.equal(u(0.25), torch.stack([one(0.25) for one in alone]))
    with pytest.raises(ValueError, match=re.escape("t must have one time for each of 4 series: got 3")):
        u(TIMES)


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_samples_are_buffers_of_the_field_that_they_drive(kind, device):
    field = ControlledField(MLPField(2, 8, inputs=2), kind(TIMES.float(), OWN.float()))
    state = field.state_dict()
    assert {"u.times", "u.values"} <= set(state) and not set(state) & {"u", "field"}
    other = ControlledField(MLPField(2, 8, inputs=2), kind(TIMES.float() + 1, 0 * OWN.float()))
    other.load_state_dict(state)
    other = copy.deepcopy(other).to(device).double()
    assert torch.equal(other.u(0.5).cpu(), kind(TIMES, OWN)(0.5))
    change = other(0.5, torch.ones(4, 2, dtype=torch.float64, device=device))
    assert change.dtype == torch.float64 and change.device.type == device.type
    assert not [name for name, _ in field.named_parameters() if name.startswith("u.")]


def test_samples_that_are_learnt_are_parameters():
    u = ZeroOrderHold(TIMES, nn.Parameter(OWN.clone()))
    u(2.0).sum().backward()
    expected = torch.zeros_like(OWN)
    expected[:, 1] = 1
    assert torch.equal(u.values.grad, expected)


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_inputs_are_taken_in_the_dtype_of_the_states(kind):
    law = MLPField(3, 8, inputs=2)
    field, y = ControlledField(law, kind(TIMES, OWN)), random(4, 3).float()
    assert torch.equal(field(0.7, y), law(0.7, y, field.u(0.7).float()))
    assert torch.equal(field.jacobian(0.7, y), law.jacobian(0.7, y, field.u(0.7).float()))


def test_breaks_are_the_jumps_and_the_kinks():
    field = ControlledField(lambda t, y, u: u - y, ZeroOrderHold(OWN_TIMES, SHARED))
    assert torch.equal(field.breaks, OWN_TIMES[:, 1:])
    assert torch.equal(ControlledField(field.field, LinearInterpolation(TIMES, OWN)).breaks, TIMES)
    assert ControlledField(field.field, lambda t: double(1.0)).breaks is None


def test_inputs_that_are_no_tensor():
    with pytest.raises(ValueError, match="u must return a tensor: got float"):
        ControlledField(lambda t, y, u: u - y, lambda t: 1.0)(0.0, random(4, 2))


def test_gradients_of_interpolated():
    t, values = double(0.3, 1.7, 2.2, 0.9).requires_grad_(), OWN.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t, values: LinearInterpolation(TIMES, values)(t), [t, values])


def test_a_driven_decay_in_closed_form():
    """y' = u - y with u = 1 from t = 1 on: y is 0, then 1 - e^(1-t)."""
    u = ZeroOrderHold(double(0.0, 1.0), double([0.0], [1.0]))
    field = ControlledField(lambda t, y, u: u - y, u)
    times = double(0.0, 0.5, 1.0, 2.0, 4.0)
    y = odeint(
        field,
        torch.zeros(2, 1, dtype=torch.float64),
        times,
        rtol=1e-9,
        atol=1e-9,
        options={"jump_t": double(1.0)},  # else its interpolation across the jump is off by 2e-7
    )
    expected = (1 - torch.exp(1 - times)).clamp(min=0)
    torch.testing.assert_close(y[:, 1, 0], expected, rtol=0, atol=1e-8)


def test_a_ramp_in_closed_form():
    """y' = u - y with u = t: y = t - 1 + e^(-t)."""
    field = ControlledField(
        lambda t, y, u: u - y, LinearInterpolation(double(0.0, 9.0), double([0.0], [9.0]))
    )
    times = torch.linspace(0, 5, 6, dtype=torch.float64)
    y = odeint(field, torch.zeros(2, 1, dtype=torch.float64), times, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(y[:, 0, 0], times - 1 + torch.exp(-times), rtol=0, atol=1e-8)


def test_it_hands_on_t_y_and_u():
    law = MLPField(3, 8, time=True, inputs=2, dtype=torch.float64)
    field, t, y = ControlledField(law, LinearInterpolation(TIMES, OWN)), random(4), random(4, 3, seed=1)
    assert torch.equal(field(t, y), law(t, y, field.u(t)))
    assert torch.equal(field.jacobian(t, y), law.jacobian(t, y, field.u(t)))
    assert torch.equal(Flow(field).jacobian(y), law.jacobian(0.0, y, field.u(0.0)))
    derived = ControlledField(lambda t, y, u: law(t, y, u), field.u).jacobian(t, y)
    torch.testing.assert_close(derived, field.jacobian(t, y), rtol=1e-12, atol=1e-14)


def test_stoichiometry_under_control():
    network = MLPField(2, 8, inputs=2, outputs=1, dtype=torch.float64)
    field = ControlledField(
        StoichiometricField(torch.tensor([[-1], [1]]), network), ZeroOrderHold(TIMES, SHARED)
    )
    change = field(0.5, random(4, 2))
    torch.testing.assert_close(change.sum(-1), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-15)
    assert len(list(field.parameters())) == 6


def test_a_learnt_input_is_trained_too():
    class Dose(nn.Module):
        def __init__(self):
            super().__init__()
            self.size = nn.Parameter(double(0.0))

        def forward(self, t):
            return self.size

    field = ControlledField(lambda t, y, u: u - y, Dose())
    y, times, losses = torch.zeros(1, 1, dtype=torch.float64), double(0.0, 1.0), []
    optimiser = torch.optim.SGD(field.parameters(), lr=1.0)
    for _ in range(20):
        loss = (odeint(field, y, times, method="rk4")[-1] - 0.5).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_it_is_solved_by_helpers_odes():
    """y' = u - y on a line u = a + b s from y_k: y = a + b (s - 1) + (y_k - a + b) e^(-s)."""
    field, y = ControlledField(lambda t, y, u: u - y, LinearInterpolation(TIMES, OWN)), random(4, 2)
    expected = [y]
    for k, s in enumerate(TIMES.diff()):
        a, b = OWN[:, k], (OWN[:, k + 1] - OWN[:, k]) / s
        expected.append(a + b * (s - 1) + (expected[-1] - a + b) * torch.exp(-s))
    found = solve(field, y, TIMES, rtol=1e-9, atol=1e-9).y
    torch.testing.assert_close(found, torch.stack(expected, dim=1), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
@pytest.mark.parametrize(
    "times, values, message",
    [
        pytest.param(
            TIMES[None, None],
            SHARED,
            "times must have shape (T,) or (B, T) with T at least",
            id="times of three axes",
        ),
        pytest.param(
            TIMES[:0], SHARED[:0], "times must have shape (T,) or (B, T) with T at least", id="no times"
        ),
        pytest.param(
            [0.0, 1.0, 3.0],
            SHARED,
            "times must be a floating-point tensor or an IrregularBatch: got list",
            id="list of times",
        ),
        pytest.param(
            TIMES, SHARED.numpy(), "values must be a floating-point tensor: got ndarray", id="array of values"
        ),
        pytest.param(
            TIMES.expand(3, 3),
            OWN,
            "values must have the number of series of times: got 4 and 3",
            id="times of other series",
        ),
        pytest.param(
            torch.stack((TIMES, TIMES.flip(0))),
            SHARED,
            "times must increase within each series: series 1 has times[1] = 1 after 3",
            id="one series that falls",
        ),
        pytest.param(
            TIMES,
            SHARED[:2],
            "values must have shape (T, I) or (B, T, I) with T = 3: got (2, 2)",
            id="values too short",
        ),
        pytest.param(
            TIMES,
            SHARED[:, 0],
            "values must have shape (T, I) or (B, T, I) with T = 3: got (3,)",
            id="values without inputs",
        ),
        pytest.param(
            TIMES,
            SHARED.float(),
            "values must have the dtype of times: got torch.float32 and torch.float64",
            id="values of another dtype",
        ),
        pytest.param(
            TIMES.long(),
            SHARED.long(),
            "times must be a floating-point tensor: got a torch.int64 tensor",
            id="whole times",
        ),
        pytest.param(TIMES / 0, SHARED, "times must be finite: times[0] = nan", id="times not finite"),
        pytest.param(TIMES, OWN / 0, "values must be finite: values[0, 0, 0] = nan", id="values not finite"),
        pytest.param(
            double(0.0, 2.0, 2.0), SHARED, "times must increase: times[2] = 2 after 2", id="times that stay"
        ),
        pytest.param(
            double(0.0, 2.0, 1.5), SHARED, "times must increase: times[2] = 1.5 after 2", id="times that fall"
        ),
    ],
)
def test_wrong_samples(kind, times, values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(times, values)


def test_one_sample_is_no_line():
    with pytest.raises(ValueError, match=re.escape("with T at least 2: got (1,)")):
        LinearInterpolation(TIMES[:1], SHARED[:1])


def test_wrong_times_and_parts():
    with pytest.raises(ValueError, match=re.escape("t must have one time for each of 4 series: got 3")):
        ZeroOrderHold(TIMES, OWN)(TIMES)
    with pytest.raises(ValueError, match=re.escape("one for each sample, (B,): got shape (1, 3)")):
        ZeroOrderHold(TIMES, OWN)(TIMES[None])
    with pytest.raises(ValueError, match="u must be callable: got float"):
        ControlledField(MLPField(2, inputs=1), math.pi)
    with pytest.raises(ValueError, match="field must be callable: got Tensor"):
        ControlledField(TIMES, ZeroOrderHold(TIMES, OWN))


@pytest.mark.parametrize("kind", [ZeroOrderHold, LinearInterpolation])
def test_a_ragged_batch_is_what_each_of_its_series_is_alone(kind):
    """In the padding too, whatever stands there; and the solver's answers are the same."""
    series = [
        (double(0.0, 1.0, 3.0), OWN[0]),
        (double(-1.0, 2.0), OWN[1, :2]),
        (double(0.5, 0.7), OWN[2, :2]),
    ]
    batch = collate([IrregularBatch(*_one(times, values)) for times, values in series])
    u, alone = kind(batch), [kind(times, values) for times, values in series]
    for t in (-2.0, 0.6, 1.5, 2.9, 1e9):
        expected = torch.stack([each(t) for each in alone])
        assert torch.equal(u(t), expected)
        assert torch.equal(u(double(t).expand(3)), expected)
    assert u.breaks.isfinite().all()
    y0 = double([1.0], [2.0], [3.0])
    together = solve(ControlledField(lambda t, y, u: u[..., :1] - y, u), y0, double(0.0, 4.0)).y
    for b, each in enumerate(alone):
        one = solve(ControlledField(lambda t, y, u: u[..., :1] - y, each), y0[b : b + 1], double(0.0, 4.0)).y
        torch.testing.assert_close(together[b : b + 1], one, rtol=1e-6, atol=1e-8)
    copied = kind(batch)
    copied.load_state_dict(u.state_dict())


def _one(times, values):
    steps = len(times)
    return times[None], values[None], torch.ones(1, *values.shape, dtype=torch.bool), torch.tensor([steps])


def test_batches_that_do_not_say_what_the_input_is():
    times, values, mask, lengths = _one(TIMES, SHARED)
    hole = mask.clone()
    hole[0, 1, 1] = False
    for kind, batch, given, message in (
        (ZeroOrderHold, (times, values, hole, lengths), None, "series 0 lacks input 1 at its time 1"),
        (
            ZeroOrderHold,
            (times, values, mask & False, 0 * lengths),
            None,
            "at least 1 samples in each series",
        ),
        (
            LinearInterpolation,
            (times, values, mask, lengths),
            values,
            "values must be left out where times is",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            kind(IrregularBatch(*batch), given)
    mask[0, 1:] = False
    with pytest.raises(ValueError, match="times must have at least 2 samples in each series: series 0 has 1"):
        LinearInterpolation(IrregularBatch(times, values, mask, torch.tensor([1])))


@pytest.mark.parametrize("wrong", [None, "three", math.nan, [0.0]], ids=str)
def test_a_time_that_is_none(wrong):
    for call in (ZeroOrderHold(TIMES, SHARED), lambda t: MLPField(2, time=True)(t, torch.ones(3, 2))):
        with pytest.raises(ValueError, match="t must be a finite number or a tensor: got"):
            call(wrong)


@pytest.mark.parametrize("wrong", [None, "three", [1.0, 2.0]], ids=str)
def test_a_state_that_is_none(wrong):
    controlled = ControlledField(lambda t, y, u: u - y, ZeroOrderHold(TIMES, SHARED))
    for field in (controlled, MLPField(2), StoichiometricField(double([1.0]), MLPField(1).double())):
        with pytest.raises(ValueError, match="y must be a"):
            field(0.0, wrong)
