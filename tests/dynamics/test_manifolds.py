"""The stable manifold of saddles for which it is known."""

import math

import pytest
import torch

from helpers.dynamics import Flow, Map, fixed_points, stable_manifold
from helpers.systems import ToggleSwitch

BEND = 0.05


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def bent(t, y):
    """x' = -x, w' = w - 3 a x² has the stable manifold w = a x²."""
    x, w = y.unbind(-1)
    return torch.stack([-x, w - 3 * BEND * x**2], dim=-1)


def off_the_parabola(points):
    x, w = stable_manifold(Flow(bent), double(0.0, 0.0), length=4.0, points=points, offset=1e-4).unbind(-1)
    return (w - BEND * x**2).abs().max().item()


def test_a_parabola_is_followed_through_the_saddle_from_end_to_end():
    curve = stable_manifold(Flow(bent), double(0.0, 0.0), length=4.0, points=24, offset=1e-2)
    assert curve.shape == (49, 2)
    assert (curve[24] == 0).all()
    assert (curve[:, 0].diff() > 0).all()
    torch.testing.assert_close(curve[:, 1], BEND * curve[:, 0] ** 2, rtol=0, atol=1e-4)


def test_it_is_as_long_as_asked_and_its_points_are_equally_far_apart():
    curve = stable_manifold(Flow(bent), double(0.0, 0.0), length=3.0, points=61, offset=1e-2)
    gaps = curve.diff(dim=0).norm(dim=-1)
    torch.testing.assert_close(gaps[:60], torch.full((60,), 0.05, dtype=torch.float64), rtol=1e-4, atol=0)
    assert gaps[60:62].tolist() == pytest.approx([0.01, 0.01])


def test_points_twice_as_dense_are_sixteen_times_as_accurate():
    coarse, fine = off_the_parabola(9), off_the_parabola(17)
    assert math.log2(coarse / fine) == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("alpha", [2.1, 3.0, 6.0])
def test_equal_genes_are_divided_by_the_diagonal(alpha):
    flow = Flow(ToggleSwitch(alpha))
    found = fixed_points(flow, double([0.1, 0.1], [1.0, 1.0]))
    assert found.stability == ("saddle",)
    length = 0.9 * math.sqrt(2) * found.states[0, 0].item()
    curve = stable_manifold(flow, found.states[0], length=length, points=20)
    torch.testing.assert_close(curve[:, 0], curve[:, 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1.0, 1e9])
def test_units_of_states_and_of_time_do_not_matter(unit, time):
    flow = Flow(lambda t, y: unit * bent(t, y / unit) / time)
    curve = stable_manifold(flow, double(0.0, 0.0), length=4 * unit, points=24) / unit
    expected = stable_manifold(Flow(bent), double(0.0, 0.0), length=4.0, points=24)
    torch.testing.assert_close(curve, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(curve[:, 1], BEND * curve[:, 0] ** 2, rtol=0, atol=1e-3)
    assert curve[25].norm().item() == pytest.approx(0.04)


def test_in_three_dimensions_it_is_a_curve_where_one_eigenvalue_is_negative():
    matrix = double([1.0, 0.0, 2.0], [0.0, -0.5, 0.0], [0.0, 0.0, 3.0])
    curve = stable_manifold(
        Flow(lambda t, y: y @ matrix.T), double(0.0, 0.0, 0.0), length=2.0, points=5, offset=0.01
    )
    torch.testing.assert_close(curve[:, [0, 2]], torch.zeros(11, 2, dtype=torch.float64))
    torch.testing.assert_close(curve[6:, 1], 0.01 + 0.5 * torch.arange(5, dtype=torch.float64))


def test_device_and_dtype_follow_the_saddle(device):
    saddle = torch.zeros(2, device=device)
    curve = stable_manifold(Flow(bent), saddle, length=1.0, points=3)
    assert (curve.device, curve.dtype) == (saddle.device, torch.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"system": Map(lambda h: h)}, "system must be a Flow: got Map", id="map"),
        pytest.param(
            {"saddle": torch.zeros(1, 2)}, r"saddle must have shape \(D,\): got \(1, 2\)", id="batch"
        ),
        pytest.param({"saddle": [0.0, 0.0]}, "saddle must be a floating-point tensor: got list", id="list"),
        pytest.param({"saddle": double(0.0, torch.nan)}, r"saddle\[1\] = nan", id="nan"),
        pytest.param({"system": Flow(lambda t, y: -y)}, "one eigenvalue.*: got 2 among", id="sink"),
        pytest.param({"system": Flow(lambda t, y: y)}, "one eigenvalue.*: got 0 among", id="source"),
        pytest.param({"system": bent}, r"got function; of a vector field f\(t, y\) make one by", id="field"),
        pytest.param(
            {"system": Flow(lambda t, y: bent(t, y) + t)}, "system must not depend on time", id="driven"
        ),
        pytest.param({"length": 0.0}, "length must be positive and finite: got 0.0", id="length"),
        pytest.param({"points": 1}, "points must be a whole number of at least 2: got 1", id="points"),
        pytest.param({"offset": -1.0}, "offset must be positive and finite: got -1.0", id="offset"),
    ],
)
def test_refuses(changes, message):
    arguments = {"system": Flow(bent), "saddle": double(0.0, 0.0), "length": 1.0, "points": 3} | changes
    with pytest.raises(ValueError, match=message):
        stable_manifold(**arguments)
