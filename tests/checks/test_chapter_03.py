"""Checks of chapter 03: answers written here, in another way, against what each check says about them."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from helpers.checks import chapter_03 as checks

SEEDS = (1, 2026)


def run(x, h_0, W_xh, W_hh, b):
    """torch.nn.RNN with these weights."""
    rnn = nn.RNN(x.shape[2], h_0.shape[1], batch_first=True)
    weights = {"weight_ih_l0": W_xh, "weight_hh_l0": W_hh, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    rnn.load_state_dict(weights)
    return rnn(x, h_0[None])[0]


def reach(W, epsilon):
    """By counting: multiply until the product is small enough."""
    counts = []
    for matrix in W.double():
        power, T = matrix, 1
        while torch.linalg.matrix_norm(power, ord=2) > epsilon and T < 2000:
            power, T = power @ matrix, T + 1
        counts.append(float(T) if T < 2000 else math.inf)
    return torch.tensor(counts)


def bptt(h, W_hh, dL_dhT):
    """Forwards: dh_t/dW is carried along as a tensor of shape (H, H, H)."""
    units = len(W_hh)
    sensitivity = torch.zeros(units, units, units)
    for before, after in zip(h[:-1], h[1:], strict=True):
        direct = torch.einsum("ij,k->ijk", torch.eye(units), before)
        through = torch.einsum("il,ljk->ijk", W_hh, sensitivity)
        sensitivity = (1 - after**2)[:, None, None] * (direct + through)
    return torch.einsum("i,ijk->jk", dL_dhT, sensitivity)


def transient(rho, peak):
    """Lower triangular; the corner found by bisection on the powers themselves."""
    k = torch.arange(1, 1001, dtype=torch.float64)

    def largest(c):
        return max((k * c * rho ** (k - 1)).max().item(), c)

    low, high = 0.0, peak
    for _ in range(60):
        c = (low + high) / 2
        low, high = (c, high) if largest(c) < peak else (low, c)
    return torch.tensor([[rho, 0.0], [1.0001 * high, rho]])


def descend(W_hh, read, target, learning_rate, max_norm):
    """By the backward pass above, and torch's own clipping."""
    states = [torch.zeros(len(W_hh))]
    for read_t in read:
        states.append(torch.tanh(torch.addmv(read_t, W_hh, states[-1])))
    W = nn.Parameter(W_hh.clone())
    W.grad = bptt(torch.stack(states), W_hh, 2 * (states[-1] - target))
    clip_grad_norm_([W], float(max_norm))
    return W_hh - learning_rate * W.grad


def clip(dW_hh, db, max_norm):
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in (dW_hh, db)]
    for parameter, g in zip(parameters, (dW_hh, db), strict=True):
        parameter.grad = g.clone()
    clip_grad_norm_(parameters, float(max_norm))
    return tuple(parameter.grad for parameter in parameters)


def leak(tau, dt, delay):
    """Step by step, from a state of 1."""
    kept = torch.ones_like(tau)
    for unit, n in enumerate((delay / dt).round().int().tolist()):
        for _ in range(n):
            kept[unit] = kept[unit] + dt[unit] * (-kept[unit] / tau[unit])
    return dt / tau, kept


FUNCTIONS = [run, reach, bptt, transient, descend, clip, leak]


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_pass(answer, seed):
    verdict = getattr(checks, answer.__name__)(answer, seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == 3.0


def loop(cell):
    """Wrong cells, given as what they make of x_t, h and the weights."""

    def answer(x, h_0, W_xh, W_hh, b):
        h, states = h_0, []
        for t in range(x.shape[1]):
            h = cell(x[:, t], h, W_xh, W_hh, b)
            states.append(h)
        return torch.stack(states, 1)

    return answer


bias_outside = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.T + h @ W_hh.T) + b)
no_bias = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.T + h @ W_hh.T))
not_squashed = loop(lambda x, h, W_xh, W_hh, b: x @ W_xh.T + h @ W_hh.T + b)
memory_outside = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.T + b) + h @ W_hh.T)
recurrent_transposed = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.T + h @ W_hh + b))
input_transposed = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh + h @ W_hh.T + b))


def reads_the_step_before(x, h_0, W_xh, W_hh, b):
    return run(torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1], h_0, W_xh, W_hh, b)


def states_before(x, h_0, W_xh, W_hh, b):
    states = run(x, h_0, W_xh, W_hh, b)
    return torch.stack([h_0, *states.unbind(1)[:-1]], 1)


def never_updates(x, h_0, W_xh, W_hh, b):
    return torch.cat([run(x[:, [t]], h_0, W_xh, W_hh, b) for t in range(x.shape[1])], 1)


def by_formula(formula):
    """Wrong closed forms of ρ and ε, with the question whether ρ < 1 asked."""

    def answer(W, epsilon):
        rho = torch.linalg.eigvals(W).abs().max(-1).values
        return torch.where(rho < 1, formula(rho, epsilon), torch.inf)

    return answer


def by_radius(radius):
    """Wrong radii in the right formula."""

    def answer(W, epsilon):
        rho = radius(W)
        return torch.where(rho < 1, (epsilon.log() / rho.log()).ceil(), torch.inf)

    return answer


def never_guarded(W, epsilon):
    return (epsilon.log() / torch.linalg.eigvals(W).abs().max(-1).values.log()).ceil()


def backwards(slope=None, state=None, carry=None):
    """Wrong backward passes, as one wrong line of it."""

    def answer(h, W_hh, dL_dhT):
        a, gradient = dL_dhT, torch.zeros(W_hh.shape)
        for t in range(len(h) - 1, 0, -1):
            d = (slope(h, t) if slope else 1 - h[t] ** 2) * a
            gradient += torch.outer(d, h[t] if state else h[t - 1])
            a = carry(d, a, W_hh) if carry else W_hh.T @ d
        return gradient

    return answer


def last_step_only(h, W_hh, dL_dhT):
    return torch.outer((1 - h[-1] ** 2) * dL_dhT, h[-2])


def trained(*, detach=False, clip_after=False, change=None):
    """Steps of training with the faults of exercise 5, and others."""

    def answer(W_hh, read, target, learning_rate, max_norm):
        W = W_hh.clone().requires_grad_()
        h = torch.zeros(len(W))
        for read_t in read:
            h = torch.tanh(read_t + W @ (h.detach() if detach else h))
        (h - target).square().sum().backward()
        if change:
            W.grad = change(W.grad, max_norm)
        elif not clip_after:
            clip_grad_norm_([W], max_norm)
        with torch.no_grad():
            W -= learning_rate * W.grad
        if clip_after:
            clip_grad_norm_([W], max_norm)
        return W.detach()

    return answer


def climbs(W_hh, read, target, learning_rate, max_norm):
    return 2 * W_hh - descend(W_hh, read, target, learning_rate, max_norm)


def clips_the_step(W_hh, read, target, learning_rate, max_norm):
    step = descend(W_hh, read, target, 1.0, 1e9) - W_hh
    length = learning_rate * step.norm()
    return W_hh + learning_rate * step * min(1.0, float(max_norm / length))


def scaled(factor):
    """Wrong clippings by one factor, given both norms and max_norm."""

    def answer(dW_hh, db, max_norm):
        by = factor(torch.cat([dW_hh.flatten(), db]), dW_hh.norm(), db.norm(), max_norm)
        return dW_hh * by, db * by

    return answer


def each_by_itself(dW_hh, db, max_norm):
    return tuple(g / (g.norm() / max_norm).clamp(min=1) for g in (dW_hh, db))


def by_value(dW_hh, db, max_norm):
    return dW_hh.clip(-max_norm, max_norm), db.clip(-max_norm, max_norm)


def with_alpha(formula):
    return lambda tau, dt, delay: (formula(tau, dt), leak(tau, dt, delay)[1])


def with_kept(formula):
    return lambda tau, dt, delay: (dt / tau, formula(tau, dt, delay))


MISCONCEPTIONS = {
    "run": [
        (bias_outside, "you add the bias after squashing"),
        (no_bias, "your cell has no bias"),
        (not_squashed, "the activation is missing"),
        (memory_outside, "you squash the input only"),
        (recurrent_transposed, "you use the transpose of W_hh"),
        (input_transposed, "you use the transpose of W_xh"),
        (reads_the_step_before, "your h_t reads x_{t-1}"),
        (states_before, "your entry for step t is the state before it"),
        (never_updates, "every step of yours starts from h_0 again"),
    ],
    "reach": [
        (never_guarded, "with ρ ≥ 1 the gradient never falls"),
        (by_formula(lambda rho, eps: (eps.log() / rho.log()).floor()), "you round down"),
        (by_formula(lambda rho, eps: eps.log() / rho.log()), "so it is a whole number: round up"),
        (by_formula(lambda rho, eps: (eps.log() / rho.log()).ceil() + 1), "one step too many"),
        (by_formula(lambda rho, eps: (rho.log() / eps.log()).ceil()), "your quotient is upside down"),
        (by_formula(lambda rho, eps: (eps.log10() / rho.log()).ceil()), "logarithms of two bases"),
        (by_formula(lambda rho, eps: (eps.log() / rho.log10()).ceil()), "logarithms of two bases"),
        (by_formula(lambda rho, eps: (-eps.log() / rho.log()).ceil()), "the sign is wrong"),
        (by_formula(lambda rho, eps: (math.log(0.5) / rho.log()).ceil()), "in which the gradient halves"),
        (by_formula(lambda rho, eps: (-eps.log() / (1 - rho)).ceil()), "good near ρ = 1 only"),
        (by_radius(lambda W: torch.linalg.eigvalsh(W)[:, -1]), "the largest eigenvalue with its sign"),
        (by_radius(torch.linalg.matrix_norm), "you take the Frobenius norm"),
        (by_radius(lambda W: W.abs().flatten(1).max(1).values), "you take the largest entry of W"),
    ],
    "bptt": [
        (backwards(slope=lambda h, t: 1.0), "you forgot φ'"),
        (backwards(slope=lambda h, t: 1 - h[t - 1] ** 2), "your φ' belongs to the wrong step"),
        (backwards(slope=lambda h, t: 1 - h[t]), "φ'(z_t) is 1 - h_t², with the square"),
        (backwards(slope=lambda h, t: 1 - torch.tanh(h[t]) ** 2), "you take tanh' of h_t"),
        (backwards(state=True), "you pair d_t with h_t"),
        (last_step_only, "only the last step is in your sum"),
        (backwards(carry=lambda d, a, W: W @ d), "backwards it is the transpose"),
        (backwards(carry=lambda d, a, W: W.T @ a), "you carry a_t itself back"),
        (backwards(carry=lambda d, a, W: a), "you do not carry a back"),
        (lambda h, W, g: bptt(h, W, g).T, "your gradient is transposed"),
        (lambda h, W, g: bptt(h, W, g) / (len(h) - 1), "you average over steps"),
    ],
    "descend": [
        (trained(detach=True, clip_after=True), "both faults are left"),
        (trained(detach=True), "the state is still cut from the graph"),
        (trained(clip_after=True), "your step is longer than learning_rate × max_norm"),
        (trained(change=lambda g, m: g.clip(-m, m)), "you clip entry by entry"),
        (trained(change=lambda g, m: g / g.norm() * m), "you stretch a gradient"),
        (clips_the_step, "you clip the step, learning rate included"),
        (climbs, "you climb"),
    ],
    "clip": [
        (each_by_itself, "you clip each parameter by itself"),
        (by_value, "you clip each entry"),
        (scaled(lambda g, W, b, m: m / g.norm()), "you stretch gradients that are shorter"),
        (scaled(lambda g, W, b, m: min(1.0, m / (g @ g))), "you divide by the squared norm"),
        (scaled(lambda g, W, b, m: 1.0 if g.norm() <= m else m / (g @ g)), "has the norm max_norm / ‖g‖"),
        (scaled(lambda g, W, b, m: min(1.0, m / (W + b))), "you add the two norms"),
        (scaled(lambda g, W, b, m: min(1.0, m / max(W, b))), "you compare the larger of the two norms"),
        (scaled(lambda g, W, b, m: min(1.0, m / g.abs().max())), "you compare the largest entry"),
        (scaled(lambda g, W, b, m: 1.0 if g.norm() <= m else 1 / g.norm()), "to length 1"),
        (scaled(lambda g, W, b, m: 1.0), "you return the gradient as it was"),
    ],
    "leak": [
        (with_alpha(lambda tau, dt: torch.exp(-dt / tau)), "e^(-Δt/τ) is what the exact solution keeps"),
        (with_alpha(lambda tau, dt: 1 - torch.exp(-dt / tau)), "what the exact solution renews"),
        (with_alpha(lambda tau, dt: tau / dt), "your quotient is upside down"),
        (with_alpha(lambda tau, dt: 1 - dt / tau), "that is 1 - α"),
        (with_kept(lambda tau, dt, s: torch.exp(-s / tau)), "the limit of ever shorter steps"),
        (with_kept(lambda tau, dt, s: (dt / tau) ** (s / dt)), "α^n is not what is kept"),
        (with_kept(lambda tau, dt, s: 1 - s / tau), "1 - n α is right for one step"),
        (with_kept(lambda tau, dt, s: 1 - (1 - dt / tau) ** (s / dt)), "the share that is lost"),
        (with_kept(lambda tau, dt, s: (1 - dt / tau) ** s), "your exponent is the delay in hours"),
        (with_kept(lambda tau, dt, s: 1 - dt / tau), "what a single step keeps"),
        (with_kept(lambda tau, dt, s: (1 - dt / tau) ** (s / dt + 1)), "you count one step too many"),
        (with_kept(lambda tau, dt, s: (1 - dt / tau) ** (s / dt - 1)), "you count one step too few"),
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


def test_one_gradient_alone_earns_its_half(assert_says):
    verdict = checks.clip(lambda *arguments: clip(*arguments)[0])
    assert verdict.score(4) == 2.0
    assert_says(verdict, "db, norm 5 clipped to 2, by hand: your function returns shape (1, 1)")


def test_cases_worked_by_hand():
    by_hand = {
        "run": torch.tensor([1.0, 2 * math.tanh(1), 0.0]).reshape(1, 3, 1).tanh(),
        "reach": torch.tensor([4.0]),  # 1/16 is below 0.1, 1/8 is not
        "bptt": torch.tensor([[0.9375 * 0.5 + 0.9375 * 0.8 * 0.75 * 0.5]]),
        "leak": (torch.tensor([0.5]), torch.tensor([0.125])),
        "clip": (torch.tensor([[1.2]]), torch.tensor([1.6])),
    }
    by_hand["run"][0, 2, 0] = math.tanh(2 * math.tanh(2 * math.tanh(1)))
    for check, answer in by_hand.items():
        verdict = getattr(checks, check)(lambda *arguments, answer=answer: answer)
        first = [item for item in verdict.items if "by hand" in item.message]
        assert first and all(item.passed for item in first), verdict


WRONG_MATRICES = {
    "a first step of peak": (
        lambda rho, peak: torch.tensor([[rho, peak], [0, rho]]),
        "the powers go on growing: the largest power",
    ),
    "both corners of peak": (
        lambda rho, peak: torch.tensor([[rho, peak], [peak, rho]]),
        "its largest |eigenvalue| is 4.7, not 0.7",
    ),
    "both corners": (lambda rho, peak: torch.tensor([[rho, 1.0], [1.0, rho]]), "with both corners filled"),
    "a multiple of the identity": (lambda rho, peak: rho * torch.eye(2), "your matrix is normal"),
    "a rotation": (
        lambda rho, peak: torch.tensor([[0.6, -0.8], [0.8, 0.6]]) * rho,
        "your matrix is normal",
    ),
    "nilpotent": (lambda rho, peak: torch.tensor([[0.0, rho], [0.0, 0.0]]), "0.7 is its spectral norm"),
    "a small corner": (
        lambda rho, peak: torch.tensor([[rho, 0.1], [0.0, rho]]),
        "less than 4: the corner of W^k",
    ),
    "a large corner": (
        lambda rho, peak: torch.tensor([[rho, 99.0], [0.0, rho]]),
        "more than 1.2 times what was asked",
    ),
    "another radius": (lambda rho, peak: torch.tensor([[0.5, 1.0], [0.0, 0.5]]), "is 0.5, not 0.7"),
    "a list": (lambda rho, peak: [[rho, peak], [0.0, rho]], "returns a value of type list"),
    "NaN": (lambda rho, peak: torch.full((2, 2), torch.nan), "holds an infinity or NaN"),
    "no function": (torch.eye(2), "the answer should be a function, but it is of type Tensor"),
}


@pytest.mark.parametrize(("answer", "message"), WRONG_MATRICES.values(), ids=WRONG_MATRICES.keys())
def test_a_matrix_that_does_not_grow_as_asked_is_described(answer, message, assert_says):
    verdict = checks.transient(answer)
    assert not verdict.passed
    assert_says(verdict, message)


def test_any_basis_will_do():
    def turned(rho, peak):
        angle = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
        return angle @ transient(rho, peak).double() @ angle.T

    assert checks.transient(turned).passed


RIGHT_PROFILES = ("truncated", "vanishing", "detached", "exploding")


def test_profiles_read_right():
    verdict = checks.profile_figure(RIGHT_PROFILES, 14)
    assert verdict.passed
    assert verdict.score(2) == 2.0


def test_profiles_misread_are_explained(assert_says):
    verdict = checks.profile_figure(("vanishing", "Truncated", "detached"), 14)
    assert verdict.score(5) == 2.0
    assert_says(verdict, "A is not vanishing", "B is not truncated", "C is detached", "D: not answered yet")
    assert_says(checks.profile_figure((*RIGHT_PROFILES, "vanishing"), 14), "there are four profiles")


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (13, "it is the last of one more"),
        (15, "one less: the first zero"),
        (26, "at which the window starts"),
        (40, "that is the length of the series"),
        (14.2, "14.2 is not it; count the states"),
        pytest.param(..., "window_read: not answered yet", id="untouched"),
    ],
)
def test_a_window_misread_is_explained(window, message, assert_says):
    verdict = checks.profile_figure(RIGHT_PROFILES, window)
    assert verdict.score(5) == 4.0
    assert_says(verdict, message)


def test_the_profiles_are_what_their_names_say():
    truncated, vanishing, detached, exploding = checks.four_profiles().values()
    steps = torch.arange(41, dtype=torch.float64)
    torch.testing.assert_close(vanishing, 0.6**steps)
    torch.testing.assert_close(exploding, 1.25**steps)
    torch.testing.assert_close(truncated, torch.where(steps < 14, 0.9**steps, 0.0))
    torch.testing.assert_close(detached, (steps == 0).double())


def flat(inputs):
    """The gain at which the growth is 1, by bisection."""
    low, high = 1.0, 3.0
    for _ in range(9):
        gain = (low + high) / 2
        low, high = (gain, high) if checks.growth_per_step(gain, inputs) < 1 else (low, gain)
    return gain


def test_the_growth_of_a_linear_network_is_its_gain():
    assert checks.growth_per_step(0.8, activation="linear") == pytest.approx(0.8, abs=1e-9)


def test_the_flat_gain_is_found(assert_says):
    gain, larger = flat(0.5), flat(1.0)
    assert 1.0 < gain < larger
    verdict = checks.flat_profile(gain, larger, 1.0)
    assert verdict.passed
    assert_says(verdict, "per step into the past; you predicted 1")
    assert_says(checks.flat_profile(gain, gain), "that is the gain for the smaller inputs")


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        (1, "a gain of 1 is flat for a linear network"),
        (1.1, "per step into the past: go higher"),
        (3.0, "per step into the past: go lower"),
        (-1, "-1 is no gain; give a positive number"),
        ("one", "give one number"),
        pytest.param(..., "not answered yet", id="untouched"),
    ],
)
def test_a_gain_that_is_not_flat_is_measured(gain, message):
    small, _ = checks.flat_profile(gain, 1.0).items
    _, large = checks.flat_profile(1.0, gain).items
    assert not small.passed and not large.passed
    assert message in small.message and message in large.message


def test_the_growth_that_is_told_is_measured(assert_says):
    verdict = checks.flat_profile(1.2, 2.0)
    assert_says(
        verdict, "gain: at 1.200 the gradient is multiplied by 0.863 per step into the past: go higher"
    )
    assert_says(verdict, f"at 2.000 the gradient is multiplied by {checks.growth_per_step(2.0, 1.0):.3f}")


def test_untouched_answers_are_not_attempts():
    assert checks.profile_figure(..., ...).items == ()
    assert checks.flat_profile(..., ...).items == ()
    for function in FUNCTIONS:
        assert getattr(checks, function.__name__)(...).items == ()
