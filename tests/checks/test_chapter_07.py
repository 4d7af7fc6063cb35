"""Checks of chapter 07: answers written here, in another way, against what each check says about them."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torchdiffeq import odeint

from helpers.checks import chapter_07 as checks
from helpers.dynamics import Flow, fixed_points
from helpers.fields import QuadraticField, conserved_quantities
from helpers.systems import MassAction, ToggleSwitch

SEEDS = (1, 2026)
CYCLE = MassAction(["E + X <-> EX", "EX -> E + Xp", "F + Xp <-> FXp", "FXp -> F + X"], 1.0)


def pairs(t, y0, r):
    """By SciPy, and the end from the slope of 1/y."""
    y0, r = float(y0), float(r)
    run = solve_ivp(lambda t, y: r * y**2, (0, float(t[-1])), [y0], t_eval=t.double(), rtol=1e-10, atol=1e-12)
    y = torch.from_numpy(run.y[0])
    slope = (1 / y[-1] - 1 / y0) / t[-1]
    return y, -1 / y0 / slope


def sphere(t, wait):
    return torch.where(t > wait, (t - wait) ** 3, torch.zeros_like(t))


def project(F, L):
    """By an orthonormal basis of what changes no total."""
    basis = torch.linalg.svd(L.double()).Vh[len(L) :]
    return F.double() @ basis.mT @ basis


def euler_maruyama(f, t, y, dt, sigma, generator):
    """The kick as one of two halves, whose variances add."""
    halves = torch.randn(2, *y.shape, generator=generator) * math.sqrt(dt / 2)
    return y + f(t, y) * dt + (halves * sigma).sum(0)


def heun_step(f, t, y, dt):
    """Sample by sample, as the trapezoidal rule with Euler's forecast."""
    rows = []
    for t_i, y_i, dt_i in zip(t.split(1), y.split(1), dt.split(1), strict=True):
        forecast = y_i + dt_i * f(t_i, y_i)
        rows.append(y_i + dt_i * torch.stack([f(t_i, y_i), f(t_i + dt_i, forecast)]).mean(0))
    return torch.cat(rows)


def trajectory_loss(field, t, y, mask):
    """Sample by sample, measurement by measurement."""
    errors = []
    for y_b, mask_b in zip(y, mask, strict=True):
        predicted = odeint(field, y_b[:1], t)[:, 0]
        errors += ((predicted - y_b)[mask_b] ** 2).tolist()
    return sum(errors) / len(errors)


def product(x, y):
    """x y = (x² + y² - (x - y)²) / 2."""
    return 0.5 * (x**2 + y**2 - (y - x).square())


def autocatalysis(x, y):
    return (x.square() + y) ** 2 * 0.25 - torch.square(x**2 - y) / 4


def multiple_shooting(flow, starts, y, weight):
    """Piece by piece."""
    predicted, n = flow(starts), len(y) // len(starts)
    misfit = sum(((predicted[k, :n] - y[k * n : (k + 1) * n]) ** 2).sum() for k in range(len(starts)))
    jumps = [predicted[k, n] - starts[k + 1] for k in range(len(starts) - 1)]
    return misfit / y.numel() + weight * (torch.cat(jumps) ** 2).mean()


TOTALS = [[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 0, 1]]
RIGHT = {
    "growth": (pairs, sphere),
    "totals": (TOTALS, project),
    "euler_maruyama": (euler_maruyama,),
    "heun_step": (heun_step,),
    "trajectory_loss": (trajectory_loss,),
    "by_squares": (product, autocatalysis),
    "multiple_shooting": (multiple_shooting,),
}


@pytest.mark.parametrize("check", RIGHT)
@pytest.mark.parametrize("seed", (*SEEDS, 10, 11, 12))
def test_right_answers_pass(check, seed):
    verdict = getattr(checks, check)(*RIGHT[check], seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == pytest.approx(3.0)


def with_y(y):
    return lambda t, y0, r: (y(t, y0, r), 1 / (r * y0))


def with_end(end):
    return lambda t, y0, r: (y0 / (1 - r * y0 * t), end(y0, r))


GROWTH = {
    "exponential": (with_y(lambda t, y0, r: y0 * torch.exp(r * t)), "that is exponential growth, y' = r y"),
    "exponential at the first rate": (
        with_y(lambda t, y0, r: y0 * torch.exp(r * y0 * t)),
        "at the first moment's rate",
    ),
    "shrinking": (with_y(lambda t, y0, r: 1 / (1 / y0 + r * t)), "your population shrinks"),
    "without r": (with_y(lambda t, y0, r: 1 / (1 / y0 - t)), "your solution lacks r"),
    "starts at 1": (with_y(lambda t, y0, r: 1 / (1 - r * t)), "at t = 0 your solution is 1"),
    "constant y0": (with_y(lambda t, y0, r: 1 / (y0 - r * t)), "the constant of integration is 1/y0, not y0"),
    "1/y": (with_y(lambda t, y0, r: 1 / y0 - r * t), "that is 1/y; turn it over"),
    "one Euler step": (with_y(lambda t, y0, r: y0 + t * r * y0**2), "one step of Euler's method"),
    "doubling time": (with_end(lambda y0, r: 0.5 / (r * y0)), "that is the time in which it doubles"),
    "end without y0": (with_end(lambda y0, r: 1 / r), "put y0 in"),
    "end without r": (with_end(lambda y0, r: 1 / y0), "put r in"),
    "end y0/r": (with_end(lambda y0, r: y0 / r), "yours comes later"),
    "end r y0": (with_end(lambda y0, r: r * y0), "turn it over: where is"),
    "endless": (with_end(lambda y0, r: torch.tensor(math.inf)), "your end never comes"),
}
SPHERE = {
    "negative before": (lambda t, wait: (t - wait) ** 3, "before `wait` your answer is negative"),
    "zero for ever": (lambda t, wait: 0 * t, "yours is 0 for ever"),
    "without wait": (lambda t, wait: t**3, "yours does not wait"),
    "jumps": (lambda t, wait: torch.where(t > wait, t**3, 0.0), "yours jumps when the wait is over"),
    "difference of cubes": (lambda t, wait: (t**3 - wait**3).relu(), "it is the clock that is shifted"),
    "factor 3 lost": (lambda t, wait: ((t - wait).relu() / 3) ** 3, "you lost the factor 3"),
    "root for cube": (lambda t, wait: (t - wait).relu() ** (1 / 3), "the root is taken the wrong way round"),
}


def row_by_row(F, L):
    for row in L:
        F = F - torch.outer(F @ row, row) / (row @ row)
    return F


def with_unit_rows(F, L):
    L = torch.nn.functional.normalize(L, dim=1)
    return F - (F @ L.T) @ L


PROJECT = {
    "not divided": (lambda F, L: F - F @ L.T @ L, "Divide by L Lᵀ"),
    "unit rows": (with_unit_rows, "each row by itself"),
    "row by row": (row_by_row, "one row after the other"),
    "part that breaks": (
        lambda F, L: F @ torch.linalg.pinv(L) @ L,
        "you return the part that breaks the totals",
    ),
    "part added": (lambda F, L: F + F @ torch.linalg.pinv(L) @ L, "you add the part that breaks the totals"),
    "unchanged": (lambda F, L: F + 0, "you return F as it is"),
    "zeros": (lambda F, L: 0 * F, "a field of zeros keeps every total"),
}


def steps(a=1.0, c=1.0, b=(0.5, 0.5), expand=lambda dt: dt[:, None]):
    def answer(f, t, y, dt):
        h = expand(dt)
        k = f(t, y)
        return y + h * b[0] * k + h * b[1] * f(t + c * dt, y + a * h * k)

    return answer


def only_where_it_runs(f, t, y, dt):
    """Multiplies the columns, where that is possible."""
    return steps(expand=lambda dt: dt)(f, t, y, dt)


HEUN = {
    "Euler": (steps(b=(1, 0)), "that is Euler's method", "order: half the step only halves the error"),
    "second slope at t": (
        steps(c=0),
        "you take the second slope at the time t",
        "order: half the step only halves the error",
    ),
    "second slope at y": (steps(a=0), "you take the second slope at the state y"),
    "first slope twice": (steps(a=0, c=0, b=(0.5, 0.5)), "that is Euler's method"),
    "midpoint": (
        steps(a=0.5, c=0.5, b=(0, 1)),
        "that is the midpoint method",
        "✓ order: half the step divides the error by",
    ),
    "half a step": (steps(a=0.5, c=0.5), "you go half a step for the second slope"),
    "slopes added": (
        steps(b=(1, 1)),
        "you add both slopes",
        "order: the error does not fall with the step",
    ),
    "second slope alone": (steps(b=(0, 1)), "you use the second slope alone"),
    "columns": (only_where_it_runs, "multiplies the columns"),
    "increment": (lambda f, t, y, dt: steps()(f, t, y, dt) - y, "you return what the step adds"),
    "no step in the mean": (
        lambda f, t, y, dt: y + (f(t, y) + f(t + dt, y + dt[:, None] * f(t, y))) / 2,
        "you forget Δt where the slopes are averaged",
    ),
    "no step in the forecast": (
        lambda f, t, y, dt: y + dt[:, None] / 2 * (f(t, y) + f(t + dt, y + f(t, y))),
        "you forget Δt on the way to the second slope",
    ),
}


def shaken(size=lambda sigma, dt: sigma * dt**0.5, draw=torch.randn, shape=lambda y: y.shape):
    def answer(f, t, y, dt, sigma, generator):
        return y + dt * f(t, y) + size(sigma, dt) * draw(shape(y), generator=generator)

    return answer


def drifting(drift):
    def answer(f, t, y, dt, sigma, generator):
        return drift(f, t, y, dt) + sigma * dt**0.5 * torch.randn(y.shape, generator=generator)

    return answer


def seeds_itself(f, t, y, dt, sigma, generator):
    z = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return y + dt * f(t, y) + sigma * dt**0.5 * z


def draws_from_elsewhere(f, t, y, dt, sigma, generator):
    return y + dt * f(t, y) + sigma * dt**0.5 * torch.randn_like(y)


NOISE = {
    "root of the step at the drift": (
        drifting(lambda f, t, y, dt: y + dt**0.5 * f(t, y)),
        "√Δt belongs to the noise",
    ),
    "no step at the drift": (drifting(lambda f, t, y, dt: y + f(t, y)), "you forget Δt at the drift"),
    "increment": (drifting(lambda f, t, y, dt: dt * f(t, y)), "you return what the step adds"),
    "no drift": (drifting(lambda f, t, y, dt: y), "the drift does not come in"),
    "time 0": (drifting(lambda f, t, y, dt: y + dt * f(0.0, y)), "the time does not come in"),
    "drift at the end": (
        drifting(lambda f, t, y, dt: y + dt * f(t + dt, y)),
        "the drift is taken at the end",
    ),
    "step for its root": (
        shaken(lambda sigma, dt: sigma * dt),
        "with Δt the noise would vanish",
        "in the long run: y' = -y with noise 1 has the variance 0.0",
    ),
    "no step": (shaken(lambda sigma, dt: sigma), "you forget √Δt"),
    "no sigma": (shaken(lambda sigma, dt: dt**0.5), "without noise, one step of Euler"),
    "sigma squared": (shaken(lambda sigma, dt: sigma**2 * dt**0.5), "you multiply by σ²"),
    "root of both": (shaken(lambda sigma, dt: (sigma * dt) ** 0.5), "the root is of Δt alone"),
    "root of sigma": (shaken(lambda sigma, dt: sigma**0.5 * dt**0.5), "you multiply by √(σ Δt)"),
    "divided": (shaken(lambda sigma, dt: sigma / dt**0.5), "you divide by √Δt"),
    "no noise": (shaken(lambda sigma, dt: 0 * sigma), "all cells get the same kick"),
    "uniform": (shaken(draw=torch.rand), "`torch.rand` is uniform"),
    "one kick for all": (shaken(shape=lambda y: (1, y.shape[1])), "all cells get the same kick"),
    "one kick for both": (
        shaken(shape=lambda y: (len(y), 1)),
        "the kicks of u and v have the correlation 1.00",
    ),
    "seeds itself": (seeds_itself, "do not seed inside the function"),
    "another generator": (draws_from_elsewhere, "pass on `generator=generator`"),
}


def losses(predict=lambda solution, y: solution.transpose(0, 1), reduce=lambda e, mask: (e**2)[mask].mean()):
    return lambda field, t, y, mask: reduce(predict(odeint(field, y[:, 0], t), y) - y, mask)


def kept(solution, y):
    return solution


LOSS = {
    "both faults": (losses(kept, lambda e, mask: (e**2).mean()), "both faults are left"),
    "times first, summed": (
        losses(kept, lambda e, mask: (e**2 * mask).sum() / mask.sum()),
        "sample 3 at time 5 still meets",
    ),
    "times first": (losses(kept), "sample 3 at time 5 still meets"),
    "reshaped": (losses(lambda solution, y: solution.reshape(y.shape)), "samples and times are shuffled"),
    "zeros count": (losses(reduce=lambda e, mask: (e**2).mean()), "zeros that nobody measured still count"),
    "divided by all": (losses(reduce=lambda e, mask: (mask * e**2).mean()), "divide by all entries"),
    "mask inverted": (losses(reduce=lambda e, mask: (e**2)[~mask].mean()), "your mask is inverted"),
    "sum": (losses(reduce=lambda e, mask: (e[mask] ** 2).sum()), "you return the sum"),
    "root": (losses(reduce=lambda e, mask: (e[mask] ** 2).mean().sqrt()), "you return the root"),
    "absolute": (losses(reduce=lambda e, mask: e[mask].abs().mean()), "you average absolute errors"),
}
PRODUCT = {
    "4 x y": (lambda x, y: (x + y) ** 2 - (x - y) ** 2, "you have 4 x y"),
    "2 x y": (lambda x, y: (x + y) ** 2 - x**2 - y**2, "you have 2 x y"),
    "negative": (lambda x, y: ((x - y) ** 2 - (x + y) ** 2) / 4, "the sign is wrong"),
    "sum of squares": (lambda x, y: ((x - y) ** 2 + (x + y) ** 2) / 4, "the mixed terms cancel"),
    "quarter of one square": (lambda x, y: (x + y).square() / 4, "the pure squares are still in it"),
    "one square": (lambda x, y: (x + y).square(), "the pure squares are still in it"),
    "difference of squares": (lambda x, y: x.square() - y.square(), "you have x² - y²"),
}
AUTOCATALYSIS = {
    "x y squared": (lambda x, y: product(x, y**2), "you have x y²"),
    "x y": (product, "you have x y: square x"),
    "square of x y": (lambda x, y: product(x, y).square(), "you have x² y²"),
    "4 times": (lambda x, y: 4 * product(x**2, y), "you have 4 x² y"),
    "twice": (lambda x, y: product(x**2, y) * 2, "you have 2 x² y"),
    "16 times": (lambda x, y: 16 * product(x, product(x, y)), "you have 16 x² y"),
    "negative": (lambda x, y: -product(x**2, y), "the sign is wrong"),
    "x cubed": (lambda x, y: product(x**2, x), "you have x³"),
}


def shots(
    misfit=lambda p, data: ((p[:, :-1] - data) ** 2).mean(),
    jump=lambda p, starts, data: p[:-1, -1] - starts[1:],
    joints=lambda jump: (jump**2).mean(),
    cut=lambda y, k: y.view(k, -1, y.shape[1]),
    total=lambda misfit, joints, weight: misfit + weight * joints,
):
    def answer(flow, starts, y, weight):
        data = cut(y, len(starts))
        p = flow(starts)
        return total(misfit(p, data), joints(jump(p, starts, data)), weight)

    return answer


def from_the_data(flow, starts, y, weight):
    return multiple_shooting(flow, y[:: len(y) // len(starts)], y, weight)


SHOOTING = {
    "no joints": (shots(total=lambda misfit, joints, weight: misfit), "nothing makes the pieces meet"),
    "no misfit": (
        shots(total=lambda misfit, joints, weight: weight * joints),
        "the measurements are left out",
    ),
    "starts from data": (from_the_data, "you start each piece at its first measurement"),
    "end against data": (
        shots(jump=lambda p, starts, data: p[:-1, -1] - data[1:, 0]),
        "compared with the next measurement",
    ),
    "one interval early": (
        shots(jump=lambda p, starts, data: p[:-1, -2] - starts[1:]),
        "one interval too early",
    ),
    "own start": (shots(jump=lambda p, starts, data: p[:, -1] - starts), "with its own start"),
    "circle": (shots(jump=lambda p, starts, data: p[:, -1] - starts.roll(-1, 0)), "you close the circle"),
    "start before": (shots(jump=lambda p, starts, data: p[1:, -1] - starts[:-1]), "shift the other way"),
    "one interval late": (shots(misfit=lambda p, data: ((p[:, 1:] - data) ** 2).mean()), "one interval late"),
    "interleaved": (
        shots(cut=lambda y, k: torch.stack([y[i::k] for i in range(k)])),
        "the pieces are interleaved",
    ),
    "no weight": (shots(total=lambda misfit, joints, weight: misfit + joints), "`weight` does not come in"),
    "weight of both": (
        shots(total=lambda misfit, joints, weight: weight * (misfit + joints)),
        "the brackets are wrong",
    ),
    "weight of the misfit": (
        shots(total=lambda misfit, joints, weight: weight * misfit + joints),
        "it belongs to the jumps",
    ),
    "jumps not squared": (shots(joints=torch.mean), "you do not square the jumps"),
    "jumps absolute": (shots(joints=lambda jump: jump.abs().mean()), "you take absolute jumps"),
    "jumps summed": (shots(joints=lambda jump: (jump**2).sum()), "you sum the squared jumps"),
    "sums": (
        shots(misfit=lambda p, data: ((p[:, :-1] - data) ** 2).sum(), joints=lambda jump: (jump**2).sum()),
        "you return sums",
    ),
}
MISCONCEPTIONS = {
    "growth-pairs": (GROWTH, lambda answer: (answer, sphere)),
    "growth-sphere": (SPHERE, lambda answer: (pairs, answer)),
    "totals": (PROJECT, lambda answer: (TOTALS, answer)),
    "euler_maruyama": (NOISE, lambda answer: (answer,)),
    "heun_step": (HEUN, lambda answer: (answer,)),
    "trajectory_loss": (LOSS, lambda answer: (answer,)),
    "by_squares-product": (PRODUCT, lambda answer: (answer, autocatalysis)),
    "by_squares-autocatalysis": (AUTOCATALYSIS, lambda answer: (product, answer)),
    "multiple_shooting": (SHOOTING, lambda answer: (answer,)),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("check", "answers", "messages"),
    [
        pytest.param(exercise.split("-")[0], beside(answer), messages, id=f"{exercise}-{name}")
        for exercise, (answers, beside) in MISCONCEPTIONS.items()
        for name, (answer, *messages) in answers.items()
    ],
)
def test_each_misconception_gets_its_own_message(check, answers, messages, seed, assert_says):
    verdict = getattr(checks, check)(*answers, seed=seed)
    assert not verdict.passed
    assert_says(verdict, *messages)


def multiplies(x, y):
    return x * y


def multiplies_by_torch(x, y):
    return torch.mul(x, y)


def divides(x, y):
    return x / y


def cubes(x, y):
    return x**3


def exponentiates(x, y):
    return x.exp()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (multiplies, "two unknowns are multiplied here"),
        (multiplies_by_torch, "this network adds, subtracts, scales by numbers"),
        (divides, "an unknown is divided by another"),
        (cubes, "the power 3 is taken here"),
        (exponentiates, "`.exp` is not there: this network adds"),
    ],
)
def test_nothing_but_squares_is_allowed(answer, message, assert_says):
    verdict = checks.by_squares(answer, autocatalysis)
    assert [item.passed for item in verdict.items] == [False, False, True, True]
    assert_says(verdict, "product, x = 3, y = 2, by hand: your function stopped with TypeError", message)


def changed(row, new):
    return [new if number == row else old for number, old in enumerate(TOTALS)]


TOTALS_MISSED = {
    "bound protein left out": (
        changed(2, [0, 1, 0, 1, 0, 0]),
        2,
        "row 3, X + Xp: `E + X -> EX` changes it by -1; the protein sits",
    ),
    "one complex of two, FXp left out": (
        changed(2, [0, 1, 1, 1, 0, 0]),
        2,
        "`F + Xp -> FXp` changes it by -1; the protein sits in both",
    ),
    "one complex of two, EX left out": (
        changed(2, [0, 1, 0, 1, 0, 1]),
        2,
        "the protein sits in both complexes; you count one",
    ),
    "bound kinase left out": (
        changed(0, [1, 0, 0, 0, 0, 0]),
        2,
        "row 1, E: `E + X -> EX` changes it by -1; the kinase is free or at",
    ),
    "bound phosphatase left out": (
        changed(1, [0, 0, 0, 0, 2, 0]),
        2,
        "row 2, 2 F: `F + Xp -> FXp` changes it by -2; the phosphatase",
    ),
    "all molecules": (changed(2, [1, 1, 1, 1, 1, 1]), 2, "two molecules become one where they bind"),
    "a sign": (
        changed(2, [0, 1, -1, 1, 0, 1]),
        2,
        "row 3, X - EX + Xp + FXp: `E + X -> EX` changes it by -2; the left",
    ),
    "sum of two totals": (
        changed(2, [1, 0, 1, 0, 1, 1]),
        3,
        "that of the protein is missing: your rows give 2 of three",
    ),
    "twice the first": (changed(1, [2, 0, 2, 0, 0, 0]), 3, "that of the phosphatase is missing"),
    "zeros": (changed(0, [0, 0, 0, 0, 0, 0]), 2, "row 1, 0: it says nothing"),
    "two rows": (TOTALS[:2], 2, "row 3 is missing: there are three totals"),
    "four rows": ([*TOTALS, [1, 1, 2, 1, 0, 1]], 3, "4 rows are more than needed"),
    "transposed": (torch.tensor(TOTALS).T[:, :2], 0, "yours has shape (6, 2)"),
    "a vector": ([1, 1, 1], 0, "L: write three rows of 6 numbers, one for each of E, X, EX, Xp, F, FXp"),
    "text": ("E + EX", 0, "L: write three rows"),
    "ragged": ([[1, 0], [1]], 0, "L: write three rows"),
    "dots": (..., 0, "L: not answered yet"),
}


@pytest.mark.parametrize(("L", "passed", "message"), TOTALS_MISSED.values(), ids=TOTALS_MISSED)
def test_totals_missed(L, passed, message, assert_says):
    verdict = checks.totals(L, project)
    assert [item.passed for item in verdict.items[4:]] == [True, True, True]
    assert sum(item.passed for item in verdict.items[:4]) == passed
    assert_says(verdict, message)


BASES = {
    "of the library": conserved_quantities(CYCLE.stoichiometry),
    "orthonormal": torch.linalg.svd(CYCLE.stoichiometry).U[:, 3:].T,
    "in single precision": torch.linalg.svd(CYCLE.stoichiometry.float()).U[:, 3:].T,
    "mixed": [[2, 1, 3, 1, 0, 1], [1, 0, 1, 0, -1, -1], [0, 0, 0, 0, 0.5, 0.5]],
}


@pytest.mark.parametrize("L", BASES.values(), ids=BASES)
def test_any_basis_of_the_totals_passes(L):
    verdict = checks.totals(L, project)
    assert verdict.passed, verdict


def test_the_library_agrees_on_products():
    """The network of the library is the reference's polynomial, at the amounts that the check uses."""
    field = QuadraticField(torch.tensor([[1, 1], [2, 1]]), torch.eye(2, dtype=torch.float64))
    given = []
    checks.by_squares(lambda x, y: given.append((x.value, y.value)))
    x, y = (value.double() for value in given[1])
    expected = field(0.0, torch.stack([x, y], 1))
    assert torch.allclose(product(x, y), expected[:, 0])
    assert torch.allclose(autocatalysis(x, y), expected[:, 1])


@pytest.mark.parametrize(
    ("check", "answers", "missing"),
    [
        pytest.param("growth", (pairs, ...), "sphere", id="sphere"),
        pytest.param("growth", (..., sphere), "pairs", id="pairs"),
        pytest.param("totals", (..., project), "L", id="L"),
        pytest.param("totals", (TOTALS, ...), "project", id="project"),
        pytest.param("by_squares", (product, ...), "autocatalysis", id="autocatalysis"),
        pytest.param("by_squares", (..., autocatalysis), "product", id="product"),
    ],
)
def test_half_an_exercise_is_not_all(check, answers, missing, assert_says):
    verdict = getattr(checks, check)(*answers)
    assert not verdict.passed and any(item.passed for item in verdict.items)
    assert_says(verdict, f"✗ {missing}: not answered yet")


def without_generator(f, t, y, dt, sigma):
    return y


def forgets_the_state(f, t, y, dt):
    return f(t)


def time_as_a_column(f, t, y, dt):
    return y + dt[:, None] * f(t[:, None], y)


@pytest.mark.parametrize(
    ("check", "answer", "messages"),
    [
        ("euler_maruyama", without_generator, ["noise: your function could not be called"]),
        ("euler_maruyama", print, ["noise: your function returns None"]),
        ("heun_step", forgets_the_state, ["order: your function stopped with TypeError"]),
        ("heun_step", time_as_a_column, ["f wants t of shape (1,)", "order: your function stopped"]),
    ],
    ids=["without generator", "returns None", "forgets the state", "time as a column"],
)
def test_a_function_that_fails_has_no_properties(check, answer, messages, assert_says):
    verdict = getattr(checks, check)(answer)
    assert not any(item.passed for item in verdict.items)
    assert_says(verdict, *messages)


@pytest.mark.parametrize("check", ["euler_maruyama", "heun_step", "by_squares"])
def test_a_number_is_no_function(check, assert_says):
    assert_says(getattr(checks, check)(0.1), "the answer should be a function, but it is of type float")


def test_cases_worked_by_hand():
    assert checks.heun_step(lambda f, t, y, dt: torch.full_like(y, 3.0)).items[0].passed
    assert checks.multiple_shooting(lambda *_: 1.5).items[0].passed
    assert checks.by_squares(lambda x, y: torch.tensor([6.0])).items[0].passed
    assert checks.by_squares(..., lambda x, y: torch.tensor([18.0])).items[1].passed
    late = checks.growth(..., lambda t, wait: torch.tensor([0.0, 0.0, 0.0, 1.0, 8.0]))
    assert late.items[1].passed
    nearest = checks.totals(..., lambda F, L: torch.tensor([[1.0, -1.0, 5.0]]))
    assert [item.passed for item in nearest.items[4:]] == [True, False, False]


def test_solutions_of_the_sphere_obey_its_law_and_are_many():
    t = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for wait in (0.0, 1.0, 2.5):
        y = sphere(t, torch.tensor(wait, dtype=torch.float64))
        (slope,) = torch.gradient(y, spacing=(t,))
        assert y[0] == 0
        assert torch.allclose(slope[1:-1], (3 * y ** (2 / 3))[1:-1], atol=1e-5)


def test_a_single_precision_solution_of_the_loss_passes():
    """A student's field may be solved with torchdiffeq's defaults, or with a looser tolerance."""
    assert checks.trajectory_loss(losses()).passed

    def looser(field, t, y, mask):
        predicted = odeint(field, y[:, 0], t, rtol=1e-6, atol=1e-6).movedim(0, 1)
        return torch.nn.functional.mse_loss(predicted[mask], y[mask])

    assert checks.trajectory_loss(looser).passed


def test_a_stub_is_not_an_attempt():
    def stub(x, y):
        """Docstring."""
        # YOUR CODE HERE
        ...

    for check, answers in RIGHT.items():
        assert getattr(checks, check)(*len(answers) * [...]).items == ()
        assert getattr(checks, check)(*len(answers) * [stub]).items == ()
    assert checks.switch_figure((..., ..., ..., ...), ...).items == ()
    assert checks.pitchfork(..., ..., ...).items == ()


NAMES = ("input", "noise", "law", "map")


def test_the_figure_is_read_right():
    assert checks.switch_figure(NAMES, 1.2).passed
    assert checks.switch_figure(["Input", " NOISE", "law", "map"], torch.tensor(1.3)).passed


@pytest.mark.parametrize(
    ("names", "messages"),
    [
        pytest.param(("law", "noise", "input", "map"), ['A is not "law"', 'C is not "input"'], id="swapped"),
        pytest.param(("input", "noise", "law", ...), ["D: not answered yet"], id="one left out"),
        pytest.param(("input", "sde", "law", "map"), ["B: 'sde' is none of"], id="no choice"),
        pytest.param((*NAMES, "law"), ["there are four pictures"], id="one too many"),
    ],
)
def test_the_figure_misread(names, messages, assert_says):
    verdict = checks.switch_figure(names, 1.2)
    assert not verdict.passed
    assert_says(verdict, *messages)


@pytest.mark.parametrize(
    ("saddle", "message"),
    [
        (..., "saddle: not answered yet"),
        ("middle", "saddle: give one number"),
        (2.6, "that is a stable state, where u has won"),
        (0.4, "that is a stable state, where v has won"),
        (3, "that is α; at the saddle"),
        (1.5, "that is α/2"),
        (2.0, "find the place on the diagonal"),
    ],
    ids=str,
)
def test_the_saddle_misread(saddle, message, assert_says):
    verdict = checks.switch_figure(NAMES, saddle)
    assert verdict.score(5) == 4.0
    assert_says(verdict, message)


def area(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def crossings(path, other):
    """How often two polygons cross at an angle of more than one degree; lines that merge do not."""
    p, q, r, s = path[:-1, None], path[1:, None], other[None, :-1], other[None, 1:]
    apart = (area(q - p, r - p) * area(q - p, s - p) < 0) & (area(s - r, p - r) * area(s - r, q - r) < 0)
    lengths = np.linalg.norm(q - p, axis=-1) * np.linalg.norm(s - r, axis=-1)
    return int((apart & (abs(area(q - p, s - r)) > 0.02 * lengths)).sum())


def test_each_picture_is_what_it_is_called():
    pictures = dict(zip(NAMES, (path.numpy() for path in checks.four_switches().values()), strict=True))
    numbers = range(6)
    cross = {
        name: sum(crossings(paths[i], paths[j]) for i in numbers for j in numbers if i < j)
        for name, paths in pictures.items()
    }
    assert cross["law"] == 0
    assert min(cross["input"], cross["noise"], cross["map"]) > 3
    assert (pictures["law"] > 0).all()
    turns = {name: np.abs(np.diff(paths, n=2, axis=1)).max() for name, paths in pictures.items()}
    assert max(turns["law"], turns["input"]) < 0.01 < 0.1 < turns["noise"] < 1 < turns["map"]
    run = solve_ivp(
        lambda t, y: ToggleSwitch(3.0)(t, torch.tensor(y)).numpy(), (0, 16), [0.3, 0.6], rtol=1e-9
    )
    assert pictures["law"][0, -1] == pytest.approx(run.y[:, -1], abs=1e-6)
    after = pictures["map"][:, 1]
    before = torch.from_numpy(pictures["map"][:, 0])
    assert after == pytest.approx((before + ToggleSwitch(3.0)(0.0, before)).numpy())


def test_the_saddle_of_the_figure_solves_its_equation(assert_says):
    saddle = brentq(lambda u: u * (1 + u**2) - 3, 0, 3)
    verdict = checks.switch_figure(NAMES, saddle)
    assert verdict.passed
    assert_says(verdict, f"saddle: u = v = {saddle:.2f}, to which the lines come")


def middle(n, alpha=1.5):
    """The largest eigenvalue of the library's Jacobian in the state u = v."""
    x = brentq(lambda x: x * (1 + x**n) - alpha, 0, alpha)
    J = ToggleSwitch(alpha, n).jacobian(0.0, torch.tensor([[x, x]], dtype=torch.float64))
    return torch.linalg.eigvals(J).real.max().item()


def test_the_pitchfork_is_where_the_library_says(assert_says):
    n = brentq(middle, 1.5, 4.0)
    memory = -1 / middle(2.0)
    verdict = checks.pitchfork(n, memory, 2.5)
    assert verdict.passed
    assert_says(
        verdict, f"two stable states from {n:.3f} on", "you predicted 2.5", f"= {memory:.2f} lifetimes"
    )
    starts = torch.cartesian_prod(*2 * [torch.linspace(0.1, 1.5, 9, dtype=torch.float64)])
    kinds = [fixed_points(Flow(ToggleSwitch(1.5, n + gap)), starts).stability for gap in (-0.03, 0.03)]
    assert kinds == [("stable",), ("stable", "saddle", "stable")]


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (2, "n: at 2 a small difference u - v changes at the rate -0.148: it fades"),
        (3, "n: at 3 a small difference u - v changes at the rate +0.229: it grows"),
        (1, "n: 1 is too low for any α"),
        (50, "more than any repressor has"),
        (..., "n: not answered yet"),
        ("two", "n: give one number"),
    ],
    ids=str,
)
def test_the_pitchfork_missed(n, message, assert_says):
    verdict = checks.pitchfork(n, "later")
    assert not verdict.passed
    assert_says(verdict, message)


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (0.148, "that is the rate at which it fades"),
        (-0.148, "that is the eigenvalue"),
        (-6.74, "a time is positive"),
        (4.67, "that is the half-life"),
        (0.54, "that is how fast a sum u + v fades"),
        (1, "so long lives a protein alone"),
        (-4.36, "that is for n = 3"),
        (20, "it is -1 over the largest eigenvalue"),
        (..., "memory: not answered yet"),
        ("long", "memory: give one number"),
    ],
    ids=str,
)
def test_the_memory_missed(memory, message, assert_says):
    verdict = checks.pitchfork("later", memory)
    assert not verdict.passed
    assert_says(verdict, message)
