"""States that are a tuple or dict of tensors: what the same states side by side in one tensor give."""

import copy
import pickle
from collections import namedtuple

import pytest
import torch
from ode_problems import double

from helpers.odes import SolveError, solve

T = torch.linspace(0, 2, 9, dtype=torch.float64)
PREY = double([1.0, 0.5, 2.0], [0.3, 0.2, 1.0])
MATRIX = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 2, 2)
LEVEL = double(0.4, 0.7)


def of_dict(t, y):
    """Three parts that act on each other; their shapes are (3,), (2, 2) and ()."""
    level = y["level"]
    return {
        "level": torch.cos(3 * t) - level * y["prey"].mean(1),
        "prey": -y["prey"] * level[:, None] + y["matrix"].sum((1, 2))[:, None] ** 2,
        "matrix": -y["matrix"] + torch.sin(y["matrix"].mT),
    }


def states():
    return {"prey": PREY.clone(), "matrix": MATRIX.clone(), "level": LEVEL.clone()}


def split(y):
    """The parts of a flat state (..., 8)."""
    return {"prey": y[..., :3], "matrix": y[..., 3:7].unflatten(-1, (2, 2)), "level": y[..., 7]}


def join(y):
    return torch.cat([y["prey"], y["matrix"].flatten(1), y["level"][:, None]], 1)


def flat(t, y):
    return join(of_dict(t, split(y)))


def of_tuple(t, y):
    return tuple(of_dict(t, dict(zip(("prey", "matrix", "level"), y, strict=True))).get(k) for k in states())


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
@pytest.mark.parametrize("per_sample", [True, False], ids=["per sample", "joint"])
@pytest.mark.parametrize("several", ["dict", "tuple"])
def test_the_same_as_one_flat_state(method, per_sample, several):
    how = {"method": method, "per_sample": per_sample}
    y0, f = (states(), of_dict) if several == "dict" else (tuple(states().values()), of_tuple)
    ours, theirs = solve(f, y0, T, **how), solve(flat, join(states()), T, **how)
    assert type(ours.y) is type(y0)
    within = double(0.13, 1.9, 0.7)
    for found, expected in ((ours.y, theirs.y), (ours.interpolant(within), theirs.interpolant(within))):
        parts = found.values() if several == "dict" else found
        for part, right in zip(parts, split(expected).values(), strict=True):
            assert part.equal(right)
    assert ours.stats.evaluations.equal(theirs.stats.evaluations)


def test_gradients_by_every_part_are_those_of_the_flat_state():
    def loss(y):
        return y["prey"].square().sum() + y["matrix"].sin().sum() + (y["level"] ** 3).sum()

    y0 = {name: part.requires_grad_() for name, part in states().items()}
    t = T.clone().requires_grad_()
    found = torch.autograd.grad(loss(solve(of_dict, y0, t).y), (*y0.values(), t))
    start, t = join(states()).requires_grad_(), T.clone().requires_grad_()
    by_start, by_t = torch.autograd.grad(loss(split(solve(flat, start, t).y)), (start, t))
    for part, right in zip(found, (*split(by_start).values(), by_t), strict=True):
        torch.testing.assert_close(part, right, rtol=1e-12, atol=1e-14)


def test_gradient_against_finite_differences():
    def last(prey, level):
        solution = solve(of_dict, {"prey": prey, "matrix": MATRIX, "level": level}, T, rtol=1e-9, atol=1e-11)
        return solution.y["prey"][:, -1]

    assert torch.autograd.gradcheck(last, (PREY.clone().requires_grad_(), LEVEL.clone().requires_grad_()))


def test_each_part_has_its_own_tolerance():
    each = {"prey": double(1e-3, 1e-4, 1e-5), "matrix": 1e-6, "level": 1e-7}
    row = torch.cat([each["prey"], double(1e-6).expand(4), double(1e-7)])
    ours = solve(of_dict, states(), T, rtol=each, atol=1e-8)
    assert join({k: v[:, -1] for k, v in ours.y.items()}).equal(
        solve(flat, join(states()), T, rtol=row, atol=1e-8).y[:, -1]
    )
    loose = solve(of_dict, states(), T, atol={"prey": 1e-3, "matrix": 1e-3, "level": 1e-3}, rtol=1e-3)
    assert (loose.stats.accepted < ours.stats.accepted).all()


def test_a_field_may_write_into_its_parts():
    def writes(t, y):
        slope = {"a": -y["a"], "b": y["a"].clone()}
        y["a"] += 1.0
        return slope

    def spares(t, y):
        return {"a": -y["a"], "b": y["a"].clone()}

    y0 = {"a": double([1.0], [2.0]), "b": double([0.0], [0.0])}
    assert solve(writes, y0, T).y["b"].equal(solve(spares, y0, T).y["b"])


def test_breaks_of_a_field_of_parts_are_found():
    class Pulse:
        breaks = double(1.0, 1.01)

        def __call__(self, t, y):
            return ((((t > 1.0) & (t < 1.01)) * 100.0)[:, None] + 0 * y[0],)

    (y,) = solve(Pulse(), (double([0.0]),), double(0.0, 2.0)).y
    assert y[0, -1, 0].item() == pytest.approx(1.0, abs=1e-9)


def test_a_failed_sample_keeps_the_others():
    def explodes(t, y):
        return {"a": y["a"] ** 2, "b": -y["b"]}

    y0 = {"a": double([10.0], [0.1]), "b": double([1.0], [1.0])}
    with pytest.raises(SolveError, match="sample 0 failed at t = 0.1") as caught:
        solve(explodes, y0, T)
    y = caught.value.solution.y
    assert y["b"][0, -1].isnan().all()
    torch.testing.assert_close(y["b"][1, -1], torch.exp(-T[-1:]), rtol=1e-5, atol=0)


def test_a_solution_of_parts_can_be_pickled_and_copied():
    solution = solve(Decay(), states(), T)
    for again in (pickle.loads(pickle.dumps(solution)), copy.deepcopy(solution)):
        assert again.y["matrix"].equal(solution.y["matrix"])
        assert again.interpolant(T[1:2])["prey"].equal(solution.y["prey"][:, 1:2])


class Decay:
    def __call__(self, t, y):
        return {name: -part for name, part in y.items()}


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "y0, message",
    [
        ({}, "y0 must be a tensor, or a tuple or dict of tensors: got an empty dict"),
        ((), "y0 must be a tensor, or a tuple or dict of tensors: got an empty tuple"),
        (Pair(PREY, LEVEL), "y0 must be a tensor, or a tuple or dict of tensors: got Pair"),
        (
            (PREY, PREY.float()),
            r"y0\[1\] must have the dtype of y0\[0\]: got torch.float32 and torch.float64",
        ),
        ((PREY, PREY.to("meta")), r"y0\[1\] must have the device of y0\[0\]: got meta and cpu"),
        ({"a": PREY, "b": PREY[:1]}, r"y0\['b'\] must have the number of samples of y0\['a'\]: got 1 and 2"),
        ({"a": PREY, "b": (PREY, PREY)}, r"y0\['b'\] must be a float32 or float64 tensor: got tuple"),
        ({"a": PREY * torch.nan}, r"y0\['a'\] must be finite: y0\['a'\]\[0, 0\] = nan"),
        ({"a": torch.tensor(1.0)}, r"y0\['a'\] must have shape \(B, ...\).*got shape \(\)"),
    ],
    ids=["nothing", "no tuple", "a named tuple", "dtypes", "devices", "batches", "nested", "nan", "no batch"],
)
def test_parts_that_are_refused(y0, message):
    with pytest.raises(ValueError, match=message):
        solve(lambda t, y: y, y0, T)


@pytest.mark.parametrize(
    "returned, message",
    [
        (
            lambda y: y["b"],
            r"f\(t, y\) must be a dict of f\(t, y\)\['a'\], f\(t, y\)\['b'\]: got a torch.float64 tensor",
        ),
        (lambda y: (y["a"], y["b"]), r"f\(t, y\) must be a dict of .*: got tuple"),
        (lambda y: {"a": y["a"]}, r"f\(t, y\) must be a dict of .*: got f\(t, y\)\['a'\], at t = 0"),
        (lambda y: {**y, "b": y["b"][:, :1]}, r"f must return the shape of y\['b'\], \(2, 3\): got \(2, 1\)"),
        (lambda y: {**y, "b": y["b"].float()}, r"f must return the dtype of y\['b'\], torch.float64: got"),
        (lambda y: {**y, "b": None}, r"f must return a tensor: got NoneType, at t = 0"),
    ],
    ids=["a tensor", "a tuple", "a part less", "shape", "dtype", "none"],
)
def test_slopes_that_are_refused(returned, message):
    with pytest.raises(ValueError, match=message):
        solve(lambda t, y: returned(y), {"a": LEVEL, "b": PREY}, T)


def test_slopes_that_go_wrong_later_are_refused_with_their_time():
    def forgets(t, y):
        return {"a": -y["a"]} if t[0] < 0.5 else {}

    with pytest.raises(
        ValueError, match=r"f\(t, y\) must be a dict of f\(t, y\)\['a'\]: got dict, at t = 0\.5|6"
    ):
        solve(forgets, {"a": LEVEL}, T)


@pytest.mark.parametrize(
    "rtol, message",
    [
        (
            {"prey": 1e-3},
            r"rtol must be a dict of rtol\['prey'\], rtol\['matrix'\], rtol\['level'\]: got rtol\['prey'\]",
        ),
        ((1e-3, 1e-3, 1e-3), "rtol must be a dict of .*: got tuple"),
        (double(1e-3, 1e-3), "rtol must be positive and finite: got tensor"),
        (
            {"prey": -1e-3, "matrix": 1e-3, "level": 1e-3},
            r"rtol\['prey'\] must be positive and finite: got -0.001",
        ),
        ({"prey": double(1.0, 1.0), "matrix": 1e-3, "level": 1e-3}, r"rtol\['prey'\] must be a number, or"),
    ],
    ids=["a part less", "a tuple", "a tensor", "negative", "another shape"],
)
def test_tolerances_that_are_refused(rtol, message):
    with pytest.raises(ValueError, match=message):
        solve(of_dict, states(), T, rtol=rtol)
