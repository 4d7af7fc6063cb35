"""Checks of chapter 03: answers written here, in another way, against what each check says about them."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from helpers.checks import chapter_03 as checks

SEEDS = (1, 2026)


def run(x, h, W_xh, W_hh, b):
    """torch.nn.RNN with these weights, one network after the other."""
    if x.ndim == 4:
        return torch.stack([run(*weights) for weights in zip(x, h, W_xh, W_hh, b.squeeze(-2), strict=True)])
    rnn = nn.RNN(x.shape[2], h.shape[1], batch_first=True)
    weights = {"weight_ih_l0": W_xh, "weight_hh_l0": W_hh, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    rnn.load_state_dict(weights)
    return rnn(x, h[None])[0]


def reach(W, epsilon):
    """By counting: multiply until the product is small enough."""
    counts = []
    for matrix in W.double():
        power, T = matrix, 1
        while torch.linalg.matrix_norm(power, ord=2) > epsilon and T < 2000:
            power, T = power @ matrix, T + 1
        counts.append(float(T) if T < 2000 else math.inf)
    return torch.tensor(counts)


def bptt(h, W_hh, at_once):
    """Forwards: dh_t/dW and dh_t/dh_0 are carried along, (H, H, H) and (H, H), and meet each loss."""
    units = len(W_hh)
    of_W, of_first = torch.zeros(units, units, units), torch.eye(units)
    dW_hh, dh_0 = torch.zeros(units, units), at_once[0]
    for before, after, here in zip(h[:-1], h[1:], at_once[1:], strict=True):
        direct = torch.einsum("ij,k->ijk", torch.eye(units), before)
        of_W = (1 - after**2)[:, None, None] * (direct + torch.einsum("il,ljk->ijk", W_hh, of_W))
        of_first = torch.diag(1 - after**2) @ W_hh @ of_first
        dW_hh = dW_hh + torch.einsum("i,ijk->jk", here, of_W)
        dh_0 = dh_0 + here @ of_first
    return dW_hh, dh_0


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
    at_once = torch.zeros(len(states), len(W_hh))
    at_once[-1] = 2 * (states[-1] - target)
    W.grad = bptt(torch.stack(states), W_hh, at_once)[0]
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


def accumulate(J, tau):
    """Each product on its own, as the formula is written."""
    total = torch.zeros(tau.shape[1])
    for n in range(len(J)):
        product = torch.eye(tau.shape[1])
        for k in range(n + 1, len(J)):
            product = J[k] @ product
        total += product @ tau[n]
    return total


def growth(h, gain):
    """The root mean square slope of each step first, and their geometric mean over steps."""
    squares = (1 / torch.cosh(torch.atanh(h)) ** 2).square().mean((0, 2))  # (T,)
    return gain * (squares.log().mean() / 2).exp()


FUNCTIONS = [run, bptt, reach, transient, accumulate, clip, leak, descend, growth]


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_pass(answer, seed):
    verdict = getattr(checks, answer.__name__)(answer, seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == 3.0


def loop(step):
    """Wrong networks, given as what they make of x_t, h and the weights."""

    def answer(x, h, W_xh, W_hh, b):
        states = []
        for t in range(x.shape[-2]):
            h = step(x[..., t, :], h, W_xh, W_hh, b)
            states.append(h)
        return torch.stack(states, -2)

    return answer


bias_outside = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.mT + h @ W_hh.mT) + b)
no_bias = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.mT + h @ W_hh.mT))
not_squashed = loop(lambda x, h, W_xh, W_hh, b: x @ W_xh.mT + h @ W_hh.mT + b)
memory_outside = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.mT + b) + h @ W_hh.mT)
recurrent_transposed = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh.mT + h @ W_hh + b))
input_transposed = loop(lambda x, h, W_xh, W_hh, b: torch.tanh(x @ W_xh + h @ W_hh.mT + b))


def reads_the_step_before(x, h, W_xh, W_hh, b):
    return run(torch.nn.functional.pad(x, (0, 0, 1, 0))[..., :-1, :], h, W_xh, W_hh, b)


def states_before(x, h, W_xh, W_hh, b):
    states = run(x, h, W_xh, W_hh, b)
    return torch.stack([h, *states.unbind(-2)[:-1]], -2)


def never_updates(x, h, W_xh, W_hh, b):
    return torch.cat([run(x[..., [t], :], h, W_xh, W_hh, b) for t in range(x.shape[-2])], -2)


def one_network_only(x, h, W_xh, W_hh, b):
    states = []
    for x_t in x.unbind(1):
        h = torch.tanh(x_t @ W_xh.mT + h @ W_hh.mT + b)
        states.append(h)
    return torch.stack(states, 1)


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


def backwards(slope=None, state=None, carry=None, meet=None):
    """Wrong backward passes, as one wrong line of it."""

    def answer(h, W_hh, at_once):
        a, dW_hh = at_once[-1], torch.zeros(W_hh.shape)
        for t in range(len(h) - 1, 0, -1):
            d = (slope(h, t) if slope else 1 - h[t] ** 2) * a
            dW_hh += torch.outer(d, h[t] if state else h[t - 1])
            carried = carry(d, a, W_hh) if carry else W_hh.T @ d
            a = meet(at_once[t - 1], carried) if meet else at_once[t - 1] + carried
        return dW_hh, a

    return answer


def last_step_only(h, W_hh, at_once):
    return torch.outer((1 - h[-1] ** 2) * at_once[-1], h[-2]), bptt(h, W_hh, at_once)[1]


def with_weights(change):
    return lambda h, W, at_once: (change(bptt(h, W, at_once)[0], h), bptt(h, W, at_once)[1])


def with_first_state(change):
    return lambda h, W, at_once: (bptt(h, W, at_once)[0], change(h, W, at_once))


def carried(step):
    """Wrong recursions of a sum that is carried on."""

    def answer(J, tau):
        e = torch.zeros(tau.shape[1])
        for n in range(len(J)):
            e = step(e, J, tau, n)
        return e

    return answer


def wrong_order(J, tau):
    return sum(
        torch.linalg.multi_dot([torch.eye(len(t)), *J[n + 1 :], torch.eye(len(t))]) @ t
        for n, t in enumerate(tau)
    )


def steps_before(J, tau):
    units = torch.eye(tau.shape[1])
    return sum(torch.linalg.multi_dot([units, *J[: n + 1].flip(0), units]) @ t for n, t in enumerate(tau))


def by_slopes(formula):
    return lambda h, gain: formula(1 - h**2, gain)


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

    def answer(dW_hh, db, theta):
        by = factor(torch.cat([dW_hh.flatten(), db]), dW_hh.norm(), db.norm(), theta)
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
        (no_bias, "your network has no bias"),
        (not_squashed, "the activation is missing"),
        (memory_outside, "you squash the input only"),
        (recurrent_transposed, "you use the transpose of W_hh"),
        (input_transposed, "you use the transpose of W_xh"),
        (reads_the_step_before, "your h_t reads x_{t-1}"),
        (states_before, "your entry for step t is the state before it"),
        (never_updates, "every step of yours starts from the first state again"),
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
        (backwards(meet=lambda here, carried: carried), "only the loss of the last step is in your gradient"),
        (backwards(meet=lambda here, carried: here), "nothing is carried back"),
        (backwards(slope=lambda h, t: 1.0), "you forgot φ'"),
        (backwards(slope=lambda h, t: 1 - h[t - 1] ** 2), "your φ' belongs to the wrong step"),
        (backwards(slope=lambda h, t: 1 - h[t]), "φ'(z_t) is 1 - h_t², with the square"),
        (backwards(slope=lambda h, t: 1 - torch.tanh(h[t]) ** 2), "you take tanh' of h_t"),
        (backwards(state=True), "you pair d_t with h_t"),
        (last_step_only, "only the last step is in your sum"),
        (backwards(carry=lambda d, a, W: W @ d), "backwards it is the transpose"),
        (backwards(carry=lambda d, a, W: W.T @ a), "you carry a_t itself back"),
        (backwards(carry=lambda d, a, W: d), "between d_t and h_{t-1} stands the weight"),
        (with_weights(lambda dW_hh, h: dW_hh.T), "your gradient is transposed"),
        (with_weights(lambda dW_hh, h: dW_hh / (len(h) - 1)), "you average over steps"),
        (with_first_state(lambda h, W, g: bptt(h, W, g)[1] - g[0]), "at_once[0], is missing"),
        (with_first_state(lambda h, W, g: bptt(h[1:], W, g[1:])[1]), "that is a_1"),
    ],
    "accumulate": [
        (carried(lambda e, J, tau, n: J[n] @ (e + tau[n])), "you carry τ_n through step n itself"),
        (lambda J, tau: tau.sum(0), "you add up what each step makes"),
        (carried(lambda e, J, tau, n: J[max(n - 1, 0)] @ e + tau[n]), "the Jacobian of the step before"),
        (carried(lambda e, J, tau, n: J[n].T @ e + tau[n]), "you use transposes"),
        (wrong_order, "your products are in the wrong order"),
        (steps_before, "the Jacobians of the steps before"),
        (carried(lambda e, J, tau, n: J[-1] @ e + tau[n]), "you use the last Jacobian at every step"),
        (carried(lambda e, J, tau, n: J[0] @ e + tau[n]), "you use the first Jacobian at every step"),
        (lambda J, tau: accumulate(J, tau) - tau[-1], "your sum lacks the last step"),
        (lambda J, tau: tau[-1], "only the last step is in your sum"),
    ],
    "growth": [
        (lambda h, gain: gain, "that is the linear network's growth"),
        (lambda h, gain: gain * (1 - h.mean() ** 2), "as if every unit were at 0"),
        (by_slopes(lambda slope, gain: gain * slope.mean()), "you average the slopes"),
        (by_slopes(lambda slope, gain: gain * slope.log().mean().exp()), "you multiply the slopes"),
        (by_slopes(lambda slope, gain: gain**2 * slope.square().mean()), "the *square* of the length"),
        (by_slopes(lambda slope, gain: gain * slope.square().mean()), "lacks its root"),
        (by_slopes(lambda slope, gain: slope.square().mean() ** 0.5), "the gain is missing"),
        (by_slopes(lambda slope, gain: gain * slope.amax(2).mean()), "you take the largest slope"),
        (by_slopes(lambda slope, gain: 1 / (gain * slope.square().mean() ** 0.5)), "1 over the growth"),
        (lambda h, gain: gain * (1 - h.abs()).square().mean() ** 0.5, "φ' is 1 - h², with the square"),
        (lambda h, gain: gain * torch.cosh(h).pow(-4).mean() ** 0.5, "you take tanh' of h"),
        (lambda h, gain: 0.7, "which slopes does a gradient meet"),
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
        (scaled(lambda g, W, b, m: 1.0 if g.norm() <= m else m / (g @ g)), "has the norm θ / ‖g‖"),
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
        "bptt": (torch.tensor([[1.125]]), torch.tensor([3.05])),  # d_2 = 15/16, d_1 = 0.75 · 1.75
        "accumulate": torch.tensor([21.0]),  # 5 · 3 + 5 + 1
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
RIGHT_REMEDIES = ("longer window", "larger radius", "no detach", "clip")


def test_profiles_read_right():
    verdict = checks.profile_figure(RIGHT_PROFILES, 14, 168, RIGHT_REMEDIES)
    assert verdict.passed
    assert verdict.score(2) == 2.0


def test_profiles_misread_are_explained(assert_says):
    names = ("vanishing", "Truncated", "detached")
    verdict = checks.profile_figure(names, 14, 171, RIGHT_REMEDIES)
    assert verdict.score(10) == 7.0
    assert_says(verdict, "A is not vanishing", "B is not truncated", "C is detached", "D: not answered yet")
    too_many = checks.profile_figure((*RIGHT_PROFILES, "vanishing"), 14, 171, RIGHT_REMEDIES)
    assert_says(too_many, "there are four profiles")


def test_remedies_misplaced_are_explained(assert_says):
    verdict = checks.profile_figure(RIGHT_PROFILES, 14, 171, ("clip", "clip", "no detach", "adam"))
    assert verdict.score(10) == 7.0
    assert_says(
        verdict,
        'remedy for A is not "clip". You would know it by this: it keeps short',
        "remedy for D: 'adam' is none of",
    )


def test_blank_parts_of_the_figure_earn_no_more_than_wrong_ones():
    right = (RIGHT_PROFILES, 14, 171, RIGHT_REMEDIES)
    wrong = (("clip",) * 4, 3, 3, ("truncated",) * 4)
    for part in range(4):
        blank = checks.profile_figure(*(... if i == part else right[i] for i in range(4)))
        tried = checks.profile_figure(*(wrong[i] if i == part else right[i] for i in range(4)))
        assert blank.score(10) == tried.score(10) < 10


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
    verdict = checks.profile_figure(RIGHT_PROFILES, window, 171, RIGHT_REMEDIES)
    assert verdict.score(10) == 9.0
    assert_says(verdict, message)


@pytest.mark.parametrize(
    ("slow_from", "message"),
    [
        (math.ceil(149 * math.log(2) / math.log(1 / 0.6)), "exactly zero, and fast again"),
        (math.ceil(24 * math.log(2) / math.log(1 / 0.6)), "lost beside a term of size 1"),
        (math.ceil(1022 * math.log(2) / math.log(1 / 0.6)), "that is float64"),
        (40, "follow the line on"),
        (391, "solve factor^j = 2^-126"),
        pytest.param(..., "slow_from: not answered yet", id="untouched"),
    ],
)
def test_a_slow_step_misread_is_explained(slow_from, message, assert_says):
    verdict = checks.profile_figure(RIGHT_PROFILES, 14, slow_from, RIGHT_REMEDIES)
    assert verdict.score(10) == 9.0
    assert_says(verdict, message)


def test_the_profiles_are_what_their_names_say():
    truncated, vanishing, detached, exploding = checks.four_profiles().values()
    steps = torch.arange(41, dtype=torch.float64)
    torch.testing.assert_close(vanishing, 0.6**steps)
    torch.testing.assert_close(exploding, 1.25**steps)
    torch.testing.assert_close(truncated, torch.where(steps < 14, 0.9**steps, 0.0))
    torch.testing.assert_close(detached, (steps == 0).double())


def test_the_vanishing_line_becomes_subnormal_where_the_check_says():
    sizes = torch.tensor(0.6, dtype=torch.float64) ** torch.arange(300.0, dtype=torch.float64)
    first = int((sizes < torch.finfo(torch.float32).tiny).nonzero()[0])
    assert checks.profile_figure(RIGHT_PROFILES, 14, first, RIGHT_REMEDIES).passed


def test_only_several_networks_at_once_need_the_axes_in_front(assert_says):
    verdict = checks.run(one_network_only)
    assert verdict.score(5) == 4.0
    assert_says(verdict, "three networks at once: your function")


def asked_of(check, case):
    """The arguments of one case of an exercise."""
    asked = []
    getattr(checks, check)(lambda *arguments: asked.append(arguments))
    return asked[case]


def test_local_errors_carried_on_are_the_error_of_euler():
    """A and dt are read off J = I + dt A(t), and Euler's method is run from the exact start."""
    J, tau = asked_of("accumulate", case=1)
    dt = ((J[1, 1, 0] - J[0, 1, 0]) / 2).sqrt()  # 2 dt (1 + t) grows by 2 dt² per step
    y = torch.tensor([1.0, 0.0])
    for n, J_n in enumerate(J):
        t = n * dt
        exact, slope = torch.stack([t.cos(), t.sin()]), torch.stack([-t.sin(), t.cos()])
        y = y + (J_n - torch.eye(2)) @ (y - exact) + dt * slope
    t = len(J) * dt
    torch.testing.assert_close(accumulate(J, tau), y - torch.stack([t.cos(), t.sin()]), rtol=1e-3, atol=1e-5)


def test_terms_of_a_bias_carried_on_are_its_gradient():
    """J_t = diag(φ') W and τ_t = φ' e_1 name one network; its first unit's slopes are in τ."""
    J, tau = asked_of("accumulate", case=2)
    assert torch.equal(tau[:, 1:], torch.zeros(len(tau), 2))
    first_row = J[:, 0] / tau[:, :1]
    torch.testing.assert_close(first_row, first_row[:1].expand_as(first_row))
    W, read = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.eye(9, 3)
    b, h, slopes = torch.zeros(3, requires_grad=True), torch.zeros(3), []
    for read_t in read:
        h = torch.tanh(read_t + W @ h + b)
        slopes.append(1 - h.detach() ** 2)
    slope = torch.stack(slopes)
    of_h = [torch.autograd.grad(h_i, b, retain_graph=True)[0][0] for h_i in h]
    total = accumulate(slope[:, :, None] * W, slope * torch.eye(3)[0])
    torch.testing.assert_close(total, torch.stack(of_h))


def test_the_growth_of_a_linear_network_is_its_gain():
    assert checks.measure_growth(0.8, 0.5, activation="linear")[0] == pytest.approx(0.8, abs=1e-9)


def test_no_constant_passes_for_a_formula():
    measured = [checks.measure_growth(gain, 1.0)[0] for gain in (0.5, 1.2)]
    for constant in measured:
        assert not checks.growth(lambda h, gain, constant=constant: constant).passed


def test_the_growth_is_told_beside_what_is_said(assert_says):
    growth, states = checks.measure_growth(1.2, 1.0, seed=1)
    assert states.shape == (32, 50, 64)
    mean = 1.2 * (1 - states**2).mean()
    verdict = checks.growth(lambda h, gain: gain * (1 - h**2).mean())
    assert_says(
        verdict, f"gain 1.2, inputs 1: measured is {growth:.3f}, you say {mean:.3f}", "the same again"
    )
    assert_says(checks.growth(lambda h, gain: h), "instead of a number")


def test_untouched_answers_are_not_attempts():
    assert checks.profile_figure(..., ..., ..., ...).items == ()
    for function in FUNCTIONS:
        assert getattr(checks, function.__name__)(...).items == ()
