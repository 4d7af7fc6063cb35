"""Checks of chapter 04: answers written here, in another way, against what each check says about them."""

import math

import pytest
import torch
from scipy.optimize import brentq

from helpers.checks import chapter_04 as checks
from helpers.dynamics import Map, false_neighbours, fixed_points
from helpers.dynamics import delay_vectors as librarys_delay_vectors
from helpers.dynamics import lyapunov_spectrum as librarys_spectrum

SEEDS = (1, 2026)


def jacobians(W, b, h):
    """By autograd, of each row of h."""
    return torch.func.vmap(torch.func.jacrev(lambda state: torch.tanh(W @ state + b)))(h)


def defect(W, b, h):
    return torch.tanh(h @ W.T + b) - h


def stability(w, h):
    """By a small deviation, from the neuron whose fixed point this is."""
    w, h = w.double(), h.double()
    b, tiny = h.atanh() - w * h, 1e-6
    slope = (torch.tanh(w * (h + tiny) + b) - torch.tanh(w * (h - tiny) + b)) / (2 * tiny)
    return slope, (slope > -1) & (slope < 1)


def fold(w):
    """Where b = ln(h / (1 - h)) - w h, as a function of h, has its minimum between 1/2 and 1."""
    states = [
        brentq(lambda h, each=each: 1 / h + 1 / (1 - h) - each, 0.5, 1 - 1e-12) if each > 4 else 0.5
        for each in w.double().tolist()
    ]
    h = torch.tensor(states, dtype=torch.float64)
    return h, torch.log(h / (1 - h)) - w.double() * h


def newton(W, b, h, steps):
    """With inverses, one start after the other."""
    W, b = W.double(), b.double()
    states = []
    for state in h.double():
        for _ in range(steps):
            J = torch.func.jacrev(lambda s: torch.tanh(W @ s + b))(state)
            state = state + torch.linalg.inv(torch.eye(len(W)) - J) @ (torch.tanh(W @ state + b) - state)
        states.append(state)
    states = torch.stack(states)
    return states, torch.linalg.vector_norm(defect(W, b, states), dim=1)


def outcomes(W, b, h, tolerance):
    """With the gradient of q by autograd."""
    with torch.enable_grad():
        states = h.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((defect(W, b, states) ** 2).sum() / 2, states)
    fixed = defect(W, b, h).norm(dim=1) <= tolerance
    return fixed, (gradient.norm(dim=1) <= tolerance) & ~fixed


def euler_rnn(J, c, dt):
    """W and b by taking the step; the limit by bisection on the spectral radius."""
    eye, eigenvalues = torch.eye(len(J)), torch.linalg.eigvals(J.double())
    W = eye + (eye @ J.T).T * dt
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = (1 + middle * eigenvalues).abs().max() < 1
        low, high = (middle, high) if inside else (low, middle)
    return W, dt * c, low


def lyapunov_exponent(x, r, transient):
    """From the growth of a product of slopes, in pieces that do not overflow."""
    slopes = (r - 2 * r * x.double())[transient:].abs()
    return sum(piece.prod().log() for piece in slopes.split(100)) / len(slopes)


def lyapunov_spectrum(jacobians):
    """By Gram and Schmidt."""
    D = jacobians.shape[-1]
    vectors, growth = list(torch.eye(D).to(jacobians)), torch.zeros(D).to(jacobians)
    for J in jacobians:
        carried, vectors = [J @ v for v in vectors], []
        for i, v in enumerate(carried):
            for u in vectors:
                v = v - (u @ v) * u
            growth[i] += v.norm().log()
            vectors.append(v / v.norm())
    return growth / len(jacobians)


def delay_vectors(x, delay, dimension):
    return librarys_delay_vectors(x, delay, dimension)[0]


FUNCTIONS = [
    stability,
    fold,
    newton,
    outcomes,
    euler_rnn,
    lyapunov_exponent,
    lyapunov_spectrum,
]


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", (*SEEDS, 10, 11, 12))
def test_right_answers_pass(answer, seed):
    verdict = getattr(checks, answer.__name__)(answer, seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == pytest.approx(3.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_delay_vectors_of_the_library_pass(seed):
    verdict = checks.delay_vectors(delay_vectors, 2, seed=seed)
    assert verdict.passed, verdict


def newton_in_single_precision(W, b, h, steps):
    for _ in range(steps):
        J = (1 - torch.tanh(h @ W.T + b) ** 2)[:, :, None] * W
        h = h - torch.linalg.solve(J - torch.eye(len(W)), defect(W, b, h))
    return h, defect(W, b, h).norm(dim=1)


@pytest.mark.parametrize("seed", (*SEEDS, *range(10, 30)))
def test_single_precision_is_enough_for_newton(seed):
    verdict = checks.newton(newton_in_single_precision, seed=seed)
    assert verdict.passed, verdict


def stability_with(slope=lambda w, h: w * (1 - h**2), stable=lambda slope: slope.abs() < 1):
    return lambda w, h: (slope(w, h), stable(slope(w, h)))


def fold_with(state=lambda w: 0.5 + (0.25 - 1 / w).sqrt(), bias=lambda w, h: torch.log(h / (1 - h)) - w * h):
    def answer(w):
        h = state(w)
        return h, bias(w, h)

    return answer


def newton_with(matrix=None, F=defect, sign=-1.0, residual=None):
    def answer(W, b, h, steps):
        before = h
        for _ in range(steps):
            J = jacobians(W, b, h)
            A = J - torch.eye(len(W)) if matrix is None else matrix(J, W, b, h)
            before, h = h, h + sign * torch.linalg.solve(A, F(W, b, h))
        left = defect(W, b, h).norm(dim=1) if residual is None else residual(W, b, before, h)
        return h, left

    return answer


def iterates(W, b, h, steps):
    for _ in range(steps):
        h = torch.tanh(h @ W.T + b)
    return h, defect(W, b, h).norm(dim=1)


def outcomes_with(fixed=None, slow=None):
    def answer(W, b, h, tolerance):
        F = defect(W, b, h)
        J = jacobians(W, b, h)
        gradient = ((J - torch.eye(len(W)).to(J)).mT @ F[..., None]).squeeze(-1)
        at_rest = gradient.norm(dim=1) <= tolerance
        is_fixed = (F.norm(dim=1) <= tolerance) if fixed is None else fixed(F, at_rest, tolerance)
        return is_fixed, (at_rest & ~is_fixed) if slow is None else slow(is_fixed, at_rest, J, F)

    return answer


def euler_with(W=None, b=None, dt_max=None):
    def answer(J, c, dt):
        right = euler_rnn(J, c, dt)
        e = torch.linalg.eigvals(J)
        changes = (W, b, dt_max)
        arguments = ((J, dt), (J, c, dt), (e,))
        pairs = zip(changes, arguments, right, strict=True)
        return tuple(value if change is None else change(*given) for change, given, value in pairs)

    return answer


def exponent_with(average, slope=lambda x, r: r * (1 - 2 * x)):
    return lambda x, r, transient: average(slope(x[transient:], r))


def mean_log(slope):
    return slope.abs().log().mean()


def qr_with(carry=lambda J, Q: J @ Q, growth=lambda R: R.diagonal().abs().log()):
    def answer(jacobians):
        Q, rows = torch.eye(jacobians.shape[-1]).to(jacobians), []
        for J in jacobians:
            Q, R = torch.linalg.qr(carry(J, Q))
            rows.append(growth(R))
        return torch.stack(rows).mean(0)

    return answer


def only_normalises(jacobians):
    V, growth = torch.eye(jacobians.shape[-1]).to(jacobians), 0.0
    for J in jacobians:
        V = J @ V
        growth = growth + V.norm(dim=0).log()
        V = V / V.norm(dim=0)
    return growth / len(jacobians)


def product_of(jacobians):
    product = torch.eye(jacobians.shape[-1]).to(jacobians)
    for J in jacobians:
        product = J @ product
    return product


def never_orthogonal(jacobians):
    return product_of(jacobians).norm(dim=0).log() / len(jacobians)


def eigenvalues_of(matrix):
    return torch.linalg.eigvals(matrix).abs().sort(descending=True).values.log()


def stacked(columns):
    return lambda x, d, m: torch.stack(columns(x, d, m), 1)


MISCONCEPTIONS = {
    "stability": [
        (stability_with(slope=lambda w, h: w.clone()), "you forget tanh'"),
        (stability_with(slope=lambda w, h: 1 - h**2), "you forget the inner derivative"),
        (stability_with(slope=lambda w, h: w * (1 - h.tanh() ** 2)), "h is tanh(w h + b) already"),
        (
            stability_with(slope=lambda w, h: w * (1 - (w * h).tanh() ** 2)),
            "you take tanh' at w h, without b",
        ),
        (stability_with(slope=lambda w, h: w * (1 - h)), "you do not square h"),
        (stability_with(slope=lambda w, h: 1 - w * h**2), "mind the brackets"),
        (stability_with(slope=lambda w, h: (w * (1 - h**2)).abs()), "says that the deviation alternates"),
        (stability_with(slope=lambda w, h: w * (1 - h**2) - 1), "you return the slope of h' - h"),
        (stability_with(stable=lambda slope: slope < 1), "a slope below -1 is unstable too"),
        (stability_with(stable=lambda slope: slope < 0), "is the criterion of a flow"),
        (lambda w, h: (w * (1 - h**2), w.abs() < 1), "you compare |w| with 1"),
        (lambda w, h: (w * (1 - h**2), 1 - h**2 < 1), "the slope has the factor w as well"),
        (stability_with(stable=lambda slope: slope > -1), "a slope above 1 is unstable too"),
        (stability_with(stable=lambda slope: slope.abs() > 1), "your mask is inverted"),
    ],
    "fold": [
        (fold_with(state=lambda w: torch.sqrt((w - 1) / w)), "whose slope is w (1 - h²)"),
        (fold_with(state=lambda w: 0.5 - (0.25 - 1 / w).sqrt()), "that is the lower root"),
        (fold_with(state=lambda w: 1 - 2 / w), "you drop the square root"),
        (fold_with(state=lambda w: 1 + (1 - 4 / w).sqrt()), "you do not halve"),
        (fold_with(state=lambda w: 0.5 + (0.25 + 1 / w).sqrt()), "your slope is -1"),
        (fold_with(state=lambda w: 1 / w), "you solve w h = 1"),
        (fold_with(state=lambda w: 0.5 * torch.ones_like(w)), "at h = 1/2 the slope is w/4"),
        (
            fold_with(lambda w: ((w - 1) / w).sqrt(), lambda w, h: torch.atanh(h) - (w * (w - 1)).sqrt()),
            "that is the fold of a tanh neuron",
        ),
        (fold_with(bias=lambda w, h: w * h - h.logit()), "the sign is wrong"),
        (fold_with(bias=lambda w, h: h.atanh() - w * h), "you take artanh"),
        (fold_with(bias=lambda w, h: h.sigmoid() - w * h), "you apply σ where its inverse belongs"),
        (fold_with(bias=lambda w, h: h - w * h), "you subtract w h from h"),
        (fold_with(bias=lambda w, h: torch.log((1 - h) / h) - w * h), "your logit is upside down"),
        (fold_with(bias=lambda w, h: torch.log(h) - w * h), "your logit lacks the 1 - h"),
        (fold_with(bias=lambda w, h: h.logit()), "w h is missing"),
        (fold_with(bias=lambda w, h: -w * h), "the logit is missing"),
        (fold_with(bias=lambda w, h: h.logit() + w * h), "you add w h"),
    ],
    "newton": [
        (newton_with(lambda J, W, b, h: J), "you solve with J"),
        (newton_with(sign=1.0), "you step away from the fixed point"),
        (newton_with(lambda J, W, b, h: (W - torch.eye(len(W))).expand_as(J)), "you use W for J"),
        (
            newton_with(lambda J, W, b, h: (1 - h**2)[:, :, None] * W - torch.eye(len(W))),
            "you take tanh' = 1 - h²",
        ),
        (
            newton_with(
                lambda J, W, b, h: W * (1 - torch.tanh(h @ W.T + b) ** 2)[:, None] - torch.eye(len(W))
            ),
            "multiplies the columns of W",
        ),
        (newton_with(lambda J, W, b, h: J.mT - torch.eye(len(W))), "your J is transposed"),
        (newton_with(F=lambda W, b, h: torch.tanh(h @ W.T + b)), "you look for a zero of f(h)"),
        (iterates, "you iterate the network"),
        (
            newton_with(residual=lambda W, b, before, h: defect(W, b, before).norm(dim=1)),
            "your residual belongs to the states before the last step",
        ),
        (
            newton_with(residual=lambda W, b, before, h: (h - before).norm(dim=1)),
            "you return the length of the last step",
        ),
        (
            newton_with(residual=lambda W, b, before, h: (defect(W, b, h) ** 2).sum(1)),
            "you return the squared norm",
        ),
        (
            newton_with(residual=lambda W, b, before, h: 0.5 * (defect(W, b, h) ** 2).sum(1)),
            "you return half the squared norm",
        ),
        (
            newton_with(residual=lambda W, b, before, h: defect(W, b, h).abs().max(1).values),
            "you return the largest entry",
        ),
        (newton_with(residual=lambda W, b, before, h: 0 * h[:, 0]), "you return zeros"),
    ],
    "outcomes": [
        (outcomes_with(lambda F, at_rest, tolerance: at_rest), "the search has come to rest there"),
        (outcomes_with(lambda F, at_rest, tolerance: at_rest), "you never say slow"),
        (outcomes_with(lambda F, at_rest, tol: (F**2).sum(1) / 2 <= tol), "you compare a square"),
        (outcomes_with(lambda F, at_rest, tol: F.norm(dim=1) <= 1e-3), "your threshold is looser"),
        (outcomes_with(lambda F, at_rest, tol: (F.abs() <= tol).any(1)), "one of its entries only"),
        (outcomes_with(lambda F, at_rest, tol: (tol >= F).all(1)), "you forget the absolute value"),
        (outcomes_with(slow=lambda fixed, at_rest, J, F: at_rest), "a fixed point is no slow point"),
        (outcomes_with(slow=lambda fixed, at_rest, J, F: ~fixed), "you call slow whatever is not"),
        (outcomes_with(slow=lambda fixed, at_rest, J, F: 0 * F[:, 0] > 0), "you never say slow"),
        (outcomes_with(slow=lambda fixed, at_rest, J, F: ~at_rest), "True is for a search at rest"),
    ],
    "euler_rnn": [
        (euler_with(W=lambda J, dt: dt * J), "you forget the state itself"),
        (euler_with(W=lambda J, dt: torch.eye(len(J)) + J), "you forget Δt"),
        (euler_with(W=lambda J, dt: torch.matrix_exp(dt * J)), "is the exact solution over a step"),
        (euler_with(W=lambda J, dt: (torch.eye(len(J)) - dt * J).inverse()), "is the implicit Euler method"),
        (euler_with(W=lambda J, dt: torch.eye(len(J)) - dt * J), "W, decay at 4 per h, by hand: the"),
        (euler_with(W=lambda J, dt: 1 + dt * J), "you add 1 to every entry"),
        (euler_with(W=lambda J, dt: torch.eye(len(J)) + dt * J.T), "you use the transpose of J"),
        (euler_with(b=lambda J, c, dt: c + 0), "c is a rate too"),
        (euler_with(b=lambda J, c, dt: -c * dt), "b, decay at 4 per h, by hand: the sign"),
        (euler_with(b=lambda J, c, dt: -J.inverse() @ c), "you return the equilibrium"),
        (euler_with(dt_max=lambda e: 2 / e.abs().max()), "2/|λ| holds for real λ only"),
        (euler_with(dt_max=lambda e: 1 / e.abs().max()), "1/|λ| is the time constant"),
        (euler_with(dt_max=lambda e: (-2 / e.real).min()), "you drop the imaginary part"),
        (euler_with(dt_max=lambda e: (-1 / e.real).min()), "a real λ does not even overshoot"),
        (euler_with(dt_max=lambda e: (-e.real / e.abs() ** 2).min()), "you lack a factor 2"),
        (euler_with(dt_max=lambda e: (-2 * e.real / e.abs()).min()), "you divide by |λ|, not by"),
        (
            euler_with(dt_max=lambda e: (-2 * e.real / e.abs() ** 2)[e.abs().argmax()]),
            "the fastest eigenvalue is not always the one",
        ),
        (euler_with(dt_max=lambda e: (-2 * e.real / e.abs() ** 2).max()), "take the least of the limits"),
        (euler_with(dt_max=lambda e: (2 * e.real / e.abs() ** 2).min()), "your limit is negative"),
    ],
    "lyapunov_exponent": [
        (exponent_with(lambda s: s.abs().mean().log()), "the logarithm of the mean slope"),
        (lambda x, r, transient: mean_log(r * (1 - 2 * x)), "you include the transient"),
        (exponent_with(lambda s: s.log().mean()), "you forget the absolute value"),
        (exponent_with(lambda s: s[s > 0].log().mean()), "the steps with a negative slope"),
        (
            lambda x, r, transient: (r * (1 - 2 * x[transient:])).abs().log().sum() / len(x),
            "you divide by the length of the whole series",
        ),
        (exponent_with(lambda s: s.abs().log().sum()), "you return the sum"),
        (exponent_with(lambda s: s.abs().log2().mean()), "yours has base 2"),
        (exponent_with(lambda s: s.abs().log10().mean()), "yours has base 10"),
        (exponent_with(mean_log, lambda x, r: r * x * (1 - x)), "you average x'"),
        (exponent_with(mean_log, lambda x, r: r * (1 - x)), "is not that of r x (1 - x)"),
        (exponent_with(mean_log, lambda x, r: 1 - 2 * x), "lacks the factor r"),
        (exponent_with(lambda s: s.abs().mean()), "you return the mean of |f'|"),
    ],
    "lyapunov_spectrum": [
        (lambda J: eigenvalues_of(J[-1]), "eigenvalues of the last Jacobian"),
        (lambda J: eigenvalues_of(J).mean(0), "you average the eigenvalues of single steps"),
        (lambda J: eigenvalues_of(J.mean(0)), "eigenvalues of the mean Jacobian"),
        (only_normalises, "you never make the tangent vectors orthogonal again"),
        (never_orthogonal, "you never make the tangent vectors orthogonal again"),
        (
            lambda J: torch.linalg.svdvals(product_of(J)).log() / len(J),
            "the singular values of the whole product",
        ),
        (lambda J: eigenvalues_of(product_of(J)) / len(J), "the eigenvalues of the whole product"),
        (qr_with(carry=lambda J, Q: J), "you decompose J, or Q J"),
        (qr_with(carry=lambda J, Q: Q @ J), "you decompose J, or Q J"),
        (qr_with(carry=lambda J, Q: J.T @ Q), "you use the transpose of J"),
        (lambda J: lyapunov_spectrum(J.flip(0)), "you go through the Jacobians backwards"),
        (lambda J: len(J) * lyapunov_spectrum(J), "you return sums"),
        (qr_with(growth=lambda R: R.diagonal().log()), "you forget the absolute value"),
    ],
    "delay_vectors": [
        (
            stacked(lambda x, d, m: [x[k * d : len(x) - (m - 1 - k) * d] for k in range(m)]),
            "from t that looks ahead",
        ),
        (
            stacked(lambda x, d, m: [x[(m - 1) * d - k : len(x) - k] for k in range(m)]),
            "the values of a row follow each other directly; they",
        ),
        (
            stacked(lambda x, d, m: [x[k : len(x) - (m - 1) * d + k] for k in range(m)]),
            "the values of a row follow each other directly, and forwards",
        ),
        (stacked(lambda x, d, m: [x.roll(k * d)[: len(x) - (m - 1) * d] for k in range(m)]), "wraps around"),
        (lambda x, d, m: delay_vectors(x, d, m).flip(0), "your rows run backwards in time"),
    ],
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        pytest.param(check, answer, message, id=f"{check}-{message}")
        for check, wrong in MISCONCEPTIONS.items()
        for answer, message in wrong
    ],
)
def test_each_misconception_gets_its_own_message(check, answer, message, seed, assert_says):
    verdict = getattr(checks, check)(answer, seed=seed)
    assert not verdict.passed
    assert_says(verdict, message)


def test_one_tensor_alone_earns_its_part(assert_says):
    slope_alone = checks.stability(lambda w, h: w * (1 - h**2))
    assert slope_alone.score(2) == 1.0
    assert_says(
        slope_alone, "stable, w = 2, at rest in the middle, by hand: your function returns 2 at [0]; 0 is"
    )
    without_limit = checks.euler_rnn(lambda J, c, dt: euler_rnn(J, c, dt)[:2])
    assert without_limit.score(3) == pytest.approx(2.0)
    assert_says(without_limit, "dt_max, decay at 4 per h, by hand: your function returns")


def test_masks_may_be_numbers():
    assert checks.outcomes(lambda *arguments: tuple(mask.float() for mask in outcomes(*arguments))).passed


def test_cases_worked_by_hand():
    middle = checks.stability(lambda w, h: (torch.full_like(w, 2.0), torch.zeros_like(w, dtype=torch.bool)))
    assert [item.passed for item in middle.items] == [True, False, False, False] * 2
    cusp = checks.fold(lambda w: (torch.full_like(w, 0.5), torch.full_like(w, -2.0)))
    assert [item.passed for item in cusp.items] == [True, False, False, False] * 2
    quarter = checks.fold(lambda w: (torch.full_like(w, 0.75), torch.full_like(w, math.log(3) - 4)))
    assert [item.passed for item in quarter.items] == [False, True, False, False] * 2
    arrived = checks.newton(
        lambda W, b, h, steps: (
            torch.ones_like(h),
            torch.full_like(h[:, 0], 1 - math.tanh(2 / 3 + math.atanh(0.5))),
        )
    )
    assert arrived.items[0].passed and arrived.items[4].passed
    fading = checks.euler_rnn(lambda J, c, dt: (torch.full_like(J, 0.6), torch.full_like(c, 0.2), 0.5))
    assert fading.items[0].passed and fading.items[4].passed and fading.items[8].passed
    assert checks.lyapunov_exponent(lambda x, r, transient: math.log(2)).items[0].passed
    doubled = checks.lyapunov_spectrum(lambda J: math.log(2) * torch.tensor([1.0, -1.0]))
    assert [item.passed for item in doubled.items] == [True, False, False]


def test_the_cases_names_tell_the_truth():
    given = {}

    def keeps(name):
        return lambda *arguments: given.setdefault(name, []).append(arguments)

    checks.lyapunov_exponent(keeps("exponent"))
    checks.lyapunov_spectrum(keeps("spectrum"))
    assert lyapunov_exponent(*given["exponent"][3]) == pytest.approx(math.log(2), abs=0.005)
    assert lyapunov_exponent(*given["exponent"][1]) < 0 < lyapunov_exponent(*given["exponent"][2])
    assert lyapunov_spectrum(*given["spectrum"][1]).sum() == pytest.approx(math.log(0.3), abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_librarys_own_exponents_of_henons_map_agree(seed):
    """The library starts from other tangent vectors, which matters for the first few of 200 steps only."""
    given = []
    checks.lyapunov_spectrum(lambda jacobians: given.append(jacobians), seed=seed)
    henon = Map(
        lambda h: torch.stack([1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], 1),
        lambda h: torch.stack([-2.8 * h[:, 0], 1 + 0 * h[:, 0], 0.3 + 0 * h[:, 0], 0 * h[:, 0]], 1).view(
            -1, 2, 2
        ),
    )
    x, y = given[1][0, 0, 0] / -2.8, (given[1][1, 0, 0] / -2.8) - 1 + 1.4 * (given[1][0, 0, 0] / -2.8) ** 2
    library = librarys_spectrum(henon, torch.stack([x, y])[None], 200)
    assert lyapunov_spectrum(given[1]).tolist() == pytest.approx(library.exponents[0].tolist(), abs=0.02)


@pytest.mark.parametrize("seed", (*SEEDS, 10, 11, 12))
def test_a_search_would_stop_at_every_slow_point(seed):
    """They are minima of q = ‖F‖²/2, not only places where its gradient is zero."""
    given = []
    checks.outcomes(lambda *arguments: given.append(arguments), seed=seed)
    for W, b, h, tolerance in given:
        for state in h[outcomes(W, b, h, tolerance)[1]]:
            hessian = torch.autograd.functional.hessian(
                lambda s, W=W, b=b: (defect(W, b, s) ** 2).sum() / 2, state
            )
            assert torch.linalg.eigvalsh(hessian).min() > 0


def test_the_library_calls_the_same_states_fixed():
    given = []
    checks.outcomes(lambda *arguments: given.append(arguments))
    for W, b, h, tolerance in given:
        library = fixed_points(Map(lambda s, W=W, b=b: torch.tanh(s @ W.T + b)), h)
        fixed, slow = outcomes(W, b, h, tolerance)
        ours = ["fixed point" if f else "slow point" for f, s in zip(fixed, slow, strict=True) if f or s]
        at_rest = (fixed | slow).tolist()
        assert [named for named, rests in zip(library.outcomes, at_rest, strict=True) if rests] == ours


def test_untouched_answers_are_not_attempts():
    for function in FUNCTIONS:
        assert getattr(checks, function.__name__)(...).items == ()
    assert checks.delay_vectors(..., ...).items == ()
    assert checks.cobweb_figure((..., ..., ..., ...), ...).items == ()
    assert checks.edge_of_chaos(..., ..., ...).items == ()


RIGHT_NAMES = ("periodic", "chaotic", "fixed", "bistable")


def test_the_figure_is_read_right():
    assert checks.cobweb_figure(RIGHT_NAMES, 0.2).passed
    assert checks.cobweb_figure(["Periodic ", "CHAOTIC", "fixed", "bistable"], torch.tensor(0.17)).passed


def test_maps_misread_are_explained(assert_says):
    verdict = checks.cobweb_figure(("chaotic", "stable", "fixed", ...), 0.2)
    assert verdict.score(5) == 2.0
    assert_says(verdict, "A is not chaotic", "B: 'stable' is none of", "D: not answered yet")
    assert_says(checks.cobweb_figure((*RIGHT_NAMES, "fixed"), 0.2), "there are four maps")


@pytest.mark.parametrize(
    ("border", "message"),
    [
        (-0.95, "the states below the border come to rest"),
        (0.9, "the states above the border come to rest"),
        (0, "for a bias of 0 only"),
        (-0.2, "from 0 the state falls"),
        (0.5, "that the cobwebs leave on both sides"),
        pytest.param(..., "border: not answered yet", id="untouched"),
    ],
)
def test_a_border_misread_is_explained(border, message, assert_says):
    verdict = checks.cobweb_figure(RIGHT_NAMES, border)
    assert verdict.score(5) == 4.0
    assert_says(verdict, message)


def follow(f, h, steps):
    for _ in range(steps):
        h = f(h)
    return h


def slope_of(f, h):
    return (f(h + 1e-6) - f(h - 1e-6)) / 2e-6


def test_each_map_does_what_it_is_called():
    maps = dict(zip(RIGHT_NAMES, checks.four_maps().values(), strict=True))
    starts = torch.linspace(-0.99, 0.99, 50, dtype=torch.float64)
    late = {name: follow(f, starts, 1000) for name, f in maps.items()}
    assert late["fixed"].std() < 1e-9
    assert -1 < slope_of(maps["fixed"], late["fixed"][0]) < 0
    f = maps["periodic"]
    assert (f(f(late["periodic"])) - late["periodic"]).abs().max() < 1e-9
    assert (f(late["periodic"]) - late["periodic"]).abs().min() > 1
    border = brentq(lambda h: maps["bistable"](torch.tensor(h)).item() - h, -0.5, 0.5)
    assert border == pytest.approx(0.19, abs=0.01)
    ends = late["bistable"]
    assert ends[starts < border].std() < 1e-9 and ends[starts > border].std() < 1e-9
    assert ends[-1] - ends[0] > 1.5
    h, total = torch.tensor(0.1, dtype=torch.float64), 0.0
    for _ in range(5000):
        total += slope_of(maps["chaotic"], h).abs().log() / 5000
        h = maps["chaotic"](h)
    assert total == pytest.approx(0.54, abs=0.03)


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        pytest.param(..., "dimension: not answered yet", id="untouched"),
        (1, "x_t alone is no state"),
        (0, "entry 0 of the shares belongs to dimension 1"),
        (5, "Takens' 2 D + 1"),
        (6, "each further value adds its own noise"),
        (3, "the first dimension with fewer than 1 %"),
    ],
)
def test_the_dimension_missed(dimension, message, assert_says):
    verdict = checks.delay_vectors(delay_vectors, dimension)
    assert [item.passed for item in verdict.items] == [True] * 4 + [False]
    assert_says(verdict, message)


def _parted_by_henon(start, seasons=2500):
    """Kennel's share of false neighbours in one dimension, from Hénon's own equation, along another orbit."""
    x = list(start)
    for _ in range(seasons + 200):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    before, now = (torch.tensor(x[-seasons - 1 + k :][:seasons], dtype=torch.float64) for k in (0, 1))
    apart = (now[:, None] - now).abs()
    t = torch.arange(seasons)
    apart[(t[:, None] - t).abs() <= 1] = torch.inf
    distance, nearest = apart.min(1)
    parting = (0.3 * (before - before[nearest]) - 1.4 * (now**2 - now[nearest] ** 2)).abs()
    return (
        ((parting > 15 * distance) | (torch.hypot(parting, distance) > 2 * now.std())).double().mean().item()
    )


def test_the_census_has_the_dimension_that_is_asked_for():
    """What follows x_t depends on x_{t-1}, too: by the equation, 0.716 ± 0.013 of other orbits part."""
    x = checks.census()
    shares = false_neighbours(x, 1, 6)
    assert shares[0].item() == pytest.approx(_parted_by_henon(x.flip(0)[:2].tolist()), abs=0.04)
    assert (shares[1:] < 0.01).all()
    assert (x[2:] - (1 - 1.4 * x[1:-1] ** 2 + 0.3 * x[:-2])).abs().max() < 1e-12


def test_a_dimension_alone_is_an_attempt():
    verdict = checks.delay_vectors(..., 2)
    assert [item.passed for item in verdict.items] == [False, True]
    assert "delay_vectors: not answered yet" in str(verdict)


@pytest.fixture(scope="module")
def edge():
    """The gain at which λ_1 = 0 under inputs of 1, by bisection."""
    return brentq(lambda gain: checks.largest_exponent(gain, inputs=1.0), 1.6, 2.2, xtol=3e-3)


def test_the_edge_is_where_the_tool_says(edge):
    first = 0.8 / math.exp(checks.largest_exponent(0.8, steps=4000))
    verdict = checks.edge_of_chaos(first, edge, 1)
    assert verdict.passed
    assert "you predicted 1" in str(verdict)


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        (0.8, "gain: at 0.8, λ_1 = -0.170; the state still falls to 0: go higher"),
        (1.0, "the state has left 0 already"),
        (2.0, "λ_1 reached 0 long before"),
        (-1.0, "gain: -1 is not a gain that amplifies"),
        pytest.param(..., "gain: not answered yet", id="untouched"),
    ],
)
def test_the_gain_missed(gain, message):
    verdict = checks.edge_of_chaos(gain, "later")
    assert not verdict.items[0].passed
    assert message in verdict.items[0].message


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        (0.95, "go higher"),
        (2.5, "go lower"),
        (0, "gain_with_inputs: 0 is not a gain that amplifies"),
        pytest.param(..., "gain_with_inputs: not answered yet", id="untouched"),
    ],
)
def test_the_gain_with_inputs_missed(gain, message):
    verdict = checks.edge_of_chaos("later", gain)
    assert not verdict.items[1].passed
    assert message in verdict.items[1].message
