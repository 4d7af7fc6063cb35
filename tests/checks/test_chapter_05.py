"""Checks of chapter 05: answers written here, in another way, against what each check says about them."""

import math

import pytest
import torch
from torch.nn.functional import pad

from helpers.checks import chapter_05 as checks
from helpers.recurrent import GRU, LSTM, Bidirectional, cutoff_frequency, gradient_profile
from helpers.statespace import LinearGaussian, kalman_filter, rts_smoother

SEEDS = (1, 2026)
USES = ("both ways", "forwards", "forwards", "with a delay", "both ways")
COUNTS = (19200, 14464)


def time_constant(f, dt):
    """The logarithm to base 2 counts halvings."""
    return dt * math.log2(math.e) / -f.log2().clamp(max=-0.0).where(f < 1, torch.tensor(-0.0))


def forget_bias(tau, dt):
    return torch.logit(torch.exp(-(dt / tau).double()))


def cutoff(f, dt):
    """By bisection on the response itself."""
    low, high = torch.zeros_like(f), torch.full_like(f, math.pi)

    def kept(omega):
        return (1 - f) ** 2 / torch.polar(f, omega).sub(1).abs() ** 2

    for _ in range(60):
        omega = (low + high) / 2
        above = kept(omega) > 0.5
        low, high = torch.where(above, omega, low), torch.where(above, high, omega)
    none = kept(torch.full_like(f, math.pi)) > 0.5
    return torch.where(none, torch.inf, omega / (2 * math.pi * dt))


def lstm_step(h, c, x, W_xh, W_hh, b):
    return torch.lstm_cell(x, (h, c), W_xh, W_hh, b, torch.zeros_like(b))


def gru_step(h, x, W_xh, W_hh, b, b_hn):
    """torch's cell, whose z is 1 - ours: the weights of its block have the other sign."""
    sign = torch.tensor([1.0, -1.0, 1.0]).repeat_interleave(len(b_hn))
    b_hh = torch.cat([torch.zeros(2 * len(b_hn)), b_hn])
    return torch.gru_cell(x, h, sign[:, None] * W_xh, sign[:, None] * W_hh, sign * b, b_hh)


def gru_gradient(z, w, n):
    """By autograd, in a unit whose inputs lead to these candidates; the highway with candidates cut off."""

    def derivative(cut):
        first = torch.full_like(z, 0.3, requires_grad=True)
        h = first
        for n_t in n.unbind(1):
            u_t = torch.atanh(n_t) - w * h.detach()
            h = (1 - z) * h + z * torch.tanh(w * (h.detach() if cut else h) + u_t)
        return torch.autograd.grad(h.sum(), first)[0]

    return derivative(cut=False), derivative(cut=True)


def bandwidth(gain, i, dt):
    """Without the approximation for f near 1."""
    return cutoff_frequency(1 - i / gain, dt=dt.item())


def both_ways(x, lengths, forwards, backwards):
    """Each state for itself: read on from the start to the step, and back from the end to the step."""
    rows = []
    for series, length in zip(x.split(1), lengths.tolist(), strict=True):
        states = [
            torch.cat([forwards(series[:, : t + 1])[0, -1], backwards(series[:, t:length].flip(1))[0, -1]])
            for t in range(length)
        ]
        rows.append(pad(torch.stack(states), (0, 0, 0, x.shape[1] - length)))
    return torch.stack(rows)


def look_ahead(f, q, r):
    """By repetition: forwards until the filter stands still, then the smoother's recursion back."""
    filtered = q
    for _ in range(400):
        predicted = f**2 * filtered + q
        filtered = predicted * r / (predicted + r)
    smoothed, G = filtered, filtered * f / predicted
    for _ in range(400):
        smoothed = filtered + G**2 * (smoothed - predicted)
    return filtered, smoothed


def carry_on(x, h, c, W_xh, W_hh, b):
    states = []
    for x_t in x.unbind(1):
        h, c = torch.lstm_cell(x_t, (h, c), W_xh, W_hh, b, torch.zeros_like(b))
        states.append(h)
    return torch.stack(states, 1), c


def scan(a, b):
    """Pairs first, then the scan of the pairs, and between them one step each."""
    if len(a) == 1:
        return b
    odd = len(a) // 2 * 2
    after_pairs = scan(a[1::2] * a[0:odd:2], b[1::2] + a[1::2] * b[0:odd:2])
    between = torch.cat([torch.zeros_like(b[:1]), after_pairs])[: len(a[::2])]
    states = torch.empty_like(b)
    states[1::2], states[::2] = after_pairs, a[::2] * between + b[::2]
    return states


FUNCTIONS = [
    time_constant,
    forget_bias,
    cutoff,
    lstm_step,
    gru_step,
    gru_gradient,
    bandwidth,
    both_ways,
    look_ahead,
    carry_on,
    scan,
]


def judge(name, answer, seed=1):
    """The exercise's verdict on one answer, the others of the exercise being right."""
    match name:
        case "time_constant":
            return checks.pace(answer, forget_bias, seed=seed)
        case "forget_bias":
            return checks.pace(time_constant, answer, seed=seed)
        case "gru_step":
            return checks.gru_step(answer, *COUNTS, seed=seed)
        case "both_ways":
            return checks.both_ways(answer, USES, seed=seed)
    return getattr(checks, name)(answer, seed=seed)


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_pass(answer, seed):
    verdict = judge(answer.__name__, answer, seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == 3.0


def with_angle(cosine=lambda f: 1 - (1 - f) ** 2 / (2 * f), frequency=lambda w, dt: w / (2 * math.pi * dt)):
    """Wrong borders from a wrong cosine or a wrong unit."""

    def answer(f, dt):
        cos = cosine(f)
        return torch.where(cos < -1, torch.inf, frequency(torch.acos(cos.clamp(-1, 1)), dt))

    return answer


def gates_of(h, x, W_xh, W_hh, b, order="ifgo"):
    return dict(zip(order, (x @ W_xh.T + h @ W_hh.T + b).split(h.shape[1], 1), strict=True))


def lstm_by(change=None, order="ifgo", seen=None):
    """Wrong LSTM steps, as what they make of gates and memory."""

    def answer(h, c, x, W_xh, W_hh, b):
        a = gates_of(seen(h, c) if seen else h, x, W_xh, W_hh, b, order)
        i, f, o, g = a["i"].sigmoid(), a["f"].sigmoid(), a["o"].sigmoid(), a["g"]
        return change(c, i, f, g, o) if change else shown(o, f * c + i * g.tanh())

    return answer


def shown(o, c):
    return o * c.tanh(), c


def gru_by(move=None, candidate=None, order="rzn"):
    """Wrong GRU steps."""

    def answer(h, x, W_xh, W_hh, b, b_hn):
        of_x = dict(zip(order, (x @ W_xh.T + b).split(len(b_hn), 1), strict=True))
        of_h = dict(zip(order, (h @ W_hh.T).split(len(b_hn), 1), strict=True))
        r, z = (of_x["r"] + of_h["r"]).sigmoid(), (of_x["z"] + of_h["z"]).sigmoid()
        read, past = of_x["n"], of_h["n"]
        n = candidate(read, past, b_hn, r) if candidate else torch.tanh(read + r * (past + b_hn))
        return move(h, n, z) if move else h + z * (n - h)

    return answer


def reset_before(h, x, W_xh, W_hh, b, b_hn):
    H = len(b_hn)
    r, z = (x @ W_xh[: 2 * H].T + h @ W_hh[: 2 * H].T + b[: 2 * H]).sigmoid().split(H, 1)
    n = torch.tanh(x @ W_xh[2 * H :].T + b[2 * H :] + (r * h) @ W_hh[2 * H :].T + b_hn)
    return h + z * (n - h)


def with_total(formula):
    return lambda z, w, n: (formula(z[:, None], w[:, None], n), (1 - z) ** n.shape[1])


def by_factor(factor):
    return with_total(lambda z, w, n: factor(z, w, n).prod(1))


def with_highway(formula):
    return lambda z, w, n: (gru_gradient(z, w, n)[0], formula(z, n.shape[1]))


def readers(halves, pad_to=True):
    """Wrong ways to read one series, without its padding."""

    def answer(x, lengths, forwards, backwards):
        out = torch.zeros(x.shape[0], x.shape[1], 2 * forwards(x).shape[2])
        for n, length in enumerate(lengths):
            out[n, :length] = torch.cat(halves(x[[n], :length], forwards, backwards), 2)[0]
        return out

    return answer


def whole_array(x, lengths, forwards, backwards):
    return torch.cat([forwards(x), backwards(x.flip(1)).flip(1)], 2)


def whole_array_zeroed(x, lengths, forwards, backwards):
    out = whole_array(x, lengths, forwards, backwards)
    for n, length in enumerate(lengths):
        out[n, length:] = 0
    return out


def padding_left(x, lengths, forwards, backwards):
    out = whole_array(x, lengths, forwards, backwards)
    right = both_ways(x, lengths, forwards, backwards)
    for n, length in enumerate(lengths):
        out[n, :length] = right[n, :length]
    return out


def with_filter(formula):
    return lambda f, q, r: (formula(f, q, r), look_ahead(f, q, r)[1])


def precisions(formula):
    """Wrong smoothers, of the filter's variance, the predicted one, and the stationary one."""

    def answer(f, q, r):
        P = look_ahead(f, q, r)[0]
        return P, formula(P, f**2 * P + q, q / (1 - f**2))

    return answer


def carried(step=None, start=None, last=None):
    """Wrong LSTMs over a part of a series."""

    def answer(x, h, c, W_xh, W_hh, b):
        h, c = start(h, c) if start else (h, c)
        states = []
        for t in range(x.shape[1]):
            h_new, c_new = torch.lstm_cell(x[:, t], (h, c), W_xh, W_hh, b, torch.zeros_like(b))
            a = gates_of(h, x[:, t], W_xh, W_hh, b)
            h, c = step(a["o"].sigmoid(), c_new) if step else (h_new, c_new)
            states.append(h)
        return torch.stack(states, 1), last(h, c) if last else c

    return answer


def squashes(o, c):
    return o * c.tanh(), c.tanh()


def passes(join, widen=lambda reach: 2 * reach, once=False):
    """Wrong scans."""

    def answer(a, b):
        reach = 1
        while reach < len(a):
            late_a, late_b = join(a[:-reach], b[:-reach], a[reach:], b[reach:])
            a, b = torch.cat([a[:reach], late_a]), torch.cat([b[:reach], late_b])
            if once:
                break
            reach = widen(reach)
        return b

    return answer


def right_join(a_1, b_1, a_2, b_2):
    return a_1 * a_2, a_2 * b_1 + b_2


def step_by_step(a, b):
    h, states = 0.0, []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def adds_first(a, b):
    h, states = torch.zeros(b.shape[1]), []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * (h + b_t)
        states.append(h)
    return torch.stack(states)


MISCONCEPTIONS = {
    "time_constant": [
        (lambda f, dt: -dt / f.log(), "yours is -∞ there"),
        (lambda f, dt: -dt / f.log2(), "that is the half-life"),
        (lambda f, dt: 1 / f.log().abs(), "you count in steps"),
        (lambda f, dt: dt / f.log(), "the sign is wrong: ln f is negative"),
        (lambda f, dt: -f.log() / dt, "that is a rate"),
        (lambda f, dt: dt / (1 - f), "good near f = 1 only, where ln f"),
        (lambda f, dt: dt / f.log10().abs(), "until 1/10 is left"),
    ],
    "forget_bias": [
        (lambda tau, dt: tau.log() - dt.log(), "for τ much longer than Δt only"),
        (lambda tau, dt: torch.logit(1 - dt / tau), "your gate keeps 1 - Δt/τ"),
        (lambda tau, dt: -forget_bias(tau, dt), "a gate that renews"),
        (lambda tau, dt: torch.exp(-dt / tau), "that is the factor f itself"),
        (lambda tau, dt: -dt / tau, "that is ln f"),
        (lambda tau, dt: torch.logit(0.5 ** (dt / tau).double()), "half of the memory is left after τ"),
        (lambda tau, dt: forget_bias(tau, torch.ones_like(dt)), "Δt is missing"),
    ],
    "cutoff": [
        (lambda f, dt: torch.acos(1 - (1 - f) ** 2 / (2 * f)) / (2 * math.pi * dt), "yours is not a number"),
        (lambda f, dt: torch.minimum(cutoff(f, dt), 0.5 / dt), "1/(2Δt) is the fastest rhythm"),
        (with_angle(frequency=lambda w, dt: w), "that is ω, an angle per step"),
        (with_angle(frequency=lambda w, dt: w / dt), "yours is an angle per hour"),
        (with_angle(frequency=lambda w, dt: w / (2 * math.pi)), "you count cycles per step"),
        (with_angle(frequency=lambda w, dt: 2 * math.pi * dt / w), "that is the period"),
        (with_angle(cosine=lambda f: 1 - 3 * (1 - f) ** 2 / (2 * f)), "half of the *amplitude* is left"),
        (
            with_angle(cosine=lambda f: 1 - (2**0.5 - 1) * (1 - f) ** 2 / (2 * f)),
            "you took |H| for |H|²",
        ),
        (lambda f, dt: -f.log() / (2 * math.pi * dt), "1/(2πτ) is good near f = 1 only"),
        (lambda f, dt: (1 - f) / (2 * math.pi * dt), "(1 - f)/(2πΔt) is good near f = 1 only"),
    ],
    "lstm_step": [
        (lstm_by(order="figo"), "your i and f are exchanged"),
        (lstm_by(order="ifog"), "your g and o are exchanged"),
        (lstm_by(order="igfo"), "your f and g are exchanged"),
        (lstm_by(lambda c, i, f, g, o: shown(o, (f * c + i * g.tanh()).tanh())), "you squash c itself"),
        (lstm_by(lambda c, i, f, g, o: shown(o, f * c + (1 - f) * g.tanh())), "you write with 1 - f"),
        (lstm_by(lambda c, i, f, g, o: shown(o, f * c + g.tanh())), "you write the whole candidate"),
        (lstm_by(lambda c, i, f, g, o: shown(o, c + i * g.tanh())), "you keep all of c_{t-1}"),
        (lstm_by(lambda c, i, f, g, o: shown(o, f * c + i * g.sigmoid())), "your candidate is a sigmoid"),
        (lstm_by(lambda c, i, f, g, o: shown(o, f * c + i * g)), "your candidate is not squashed"),
        (lstm_by(seen=lambda h, c: c), "your gates read c"),
        (lstm_by(seen=lambda h, c: 0 * h), "your gates do not read h_{t-1}"),
        (
            lstm_by(lambda c, i, f, g, o: (torch.tanh(o * (f * c + i * g.tanh())), f * c + i * g.tanh())),
            "your output gate is inside tanh",
        ),
        (
            lstm_by(lambda c, i, f, g, o: (o * (f * c + i * g.tanh()), f * c + i * g.tanh())),
            "you show c as it is",
        ),
        (lambda *given: (lstm_step(*given)[1].tanh(), lstm_step(*given)[1]), "your h lacks the output gate"),
        (lstm_by(lambda c, i, f, g, o: (o * c.tanh(), f * c + i * g.tanh())), "your h shows c_{t-1}"),
        (lambda *given: lstm_step(*given)[::-1], "that is c_t; return h_t first"),
        (lambda *given: lstm_step(*given)[::-1], "that is h_t; return c_t as the second"),
    ],
    "gru_step": [
        (gru_by(move=lambda h, n, z: z * h + (1 - z) * n), "that is PyTorch's z"),
        (reset_before, "you reset before the matrix product"),
        (gru_by(order="zrn"), "your r and z are exchanged"),
        (gru_by(candidate=lambda x, h, b, r: torch.tanh(x + r * h + b)), "b_hn belongs inside the bracket"),
        (gru_by(candidate=lambda x, h, b, r: torch.tanh(x + r * h)), "b_hn is missing"),
        (gru_by(candidate=lambda x, h, b, r: torch.tanh(r * (x + h + b))), "shuts out the input, too"),
        (gru_by(candidate=lambda x, h, b, r: torch.tanh(x + h + b)), "sees all of the past"),
        (gru_by(candidate=lambda x, h, b, r: x + r * (h + b)), "your candidate is not squashed"),
        (gru_by(candidate=lambda x, h, b, r: torch.sigmoid(x + r * (h + b))), "your candidate is a sigmoid"),
        (gru_by(move=lambda h, n, z: h + z * n), "you add the new to all of the old"),
        (gru_by(move=lambda h, n, z: n), "that is the candidate"),
    ],
    "gru_gradient": [
        (with_total(lambda z, w, n: (1 - z[:, 0]) ** n.shape[1]), "that is the highway alone"),
        (
            with_total(lambda z, w, n: (1 - z[:, 0]) ** n.shape[1] + (z * w * (1 - n**2)).prod(1)),
            "a path may take either way",
        ),
        (by_factor(lambda z, w, n: z * w * (1 - n**2)), "the way through all the candidates alone"),
        (by_factor(lambda z, w, n: 1 - z + z * w + 0 * n), "tanh' is missing"),
        (by_factor(lambda z, w, n: 1 - z + z * w * (1 - n)), "tanh' is 1 - n_t², with the square"),
        (by_factor(lambda z, w, n: 1 - z + z * w / n.cosh() ** 2), "you take tanh' of n_t"),
        (by_factor(lambda z, w, n: z + (1 - z) * w * (1 - n**2)), "your z says what is kept"),
        (by_factor(lambda z, w, n: 1 - z + w * (1 - n**2)), "only the part z of n_t is written"),
        (by_factor(lambda z, w, n: 1 - z + z * (1 - n**2)), "the weight w is missing"),
        (with_total(lambda z, w, n: (1 - z + z * w * (1 - n**2)).sum(1)), "you add up the steps"),
        (
            with_total(lambda z, w, n: ((1 - z + z * w * (1 - n**2))[:, -1]) ** n.shape[1]),
            "you use the last step's factor",
        ),
        (with_highway(lambda z, T: z**T), "what is kept is 1 - z"),
        (with_highway(lambda z, T: 1 - z), "that is one step of the highway"),
        (with_highway(lambda z, T: torch.exp(-z * T)), "good for small z only"),
        (with_highway(lambda z, T: 1 - T * z), "1 - zT is right for one step"),
        (with_highway(lambda z, T: (1 - z) ** (T - 1)), "you count one step too few"),
        (lambda *given: (gru_gradient(*given)[0],) * 2, "that is the whole gradient"),
    ],
    "bandwidth": [
        (lambda gain, i, dt: i / gain / dt, "yours is an angle per hour"),
        (lambda gain, i, dt: i / gain / (2 * math.pi), "you count cycles per step"),
        (lambda gain, i, dt: i / gain / (2 * math.pi) * dt, "you multiply by Δt"),
        (lambda gain, i, dt: 1 / gain / (2 * math.pi * dt), "the input gate is missing"),
        (lambda gain, i, dt: 1 / gain / i / (2 * math.pi * dt), "you divide by the input gate"),
        (lambda gain, i, dt: 2 * math.pi * dt * gain / i, "that is the period"),
        (lambda gain, i, dt: i * gain / (2 * math.pi * dt), "it goes the other way"),
        (lambda gain, i, dt: 3**0.5 * i / gain / (2 * math.pi * dt), "a quarter of the power"),
        (lambda gain, i, dt: 0.005, "look for what does not change"),
    ],
    "both_ways": [
        (whole_array, "your second reader meets the padding first"),
        (whole_array_zeroed, "your second reader meets the padding first"),
        (readers(lambda x, ahead, back: (ahead(x), back(x.flip(1)))), "is not turned back"),
        (readers(lambda x, ahead, back: (ahead(x), back(x))), "your second reader reads forwards, too"),
        (readers(lambda x, ahead, back: (ahead(x), back(x).flip(1))), "turn its input round, too"),
        (
            readers(lambda x, ahead, back: (back(x.flip(1)).flip(1), ahead(x))),
            "the halves are exchanged",
        ),
        (readers(lambda x, ahead, back: (ahead(x), ahead(x.flip(1)).flip(1))), "come from the first reader"),
        (readers(lambda x, ahead, back: (back(x), back(x.flip(1)).flip(1))), "come from the second reader"),
        (padding_left, "yours hold what was made of the padding"),
    ],
    "look_ahead": [
        (
            with_filter(lambda f, q, r: f**2 * look_ahead(f, q, r)[0] + q),
            "before the reading of the same step",
        ),
        (with_filter(lambda f, q, r: q / (1 - f**2)), "that is who reads nothing"),
        (with_filter(lambda f, q, r: r), "the error of one reading by itself"),
        (
            with_filter(lambda f, q, r: 1 / ((1 - f**2) / q + 1 / r)),
            "you use one reading and no past",
        ),
        (with_filter(lambda f, q, r: look_ahead(f, q, r)[1]), "that is the smoother"),
        (with_filter(lambda f, q, r: look_ahead(f, q, r)[0] ** 0.5), "that is the root"),
        (precisions(lambda P, before, V: 1 / (1 / P + 1 / before)), "you count the stationary distribution"),
        (
            precisions(lambda P, before, V: 1 / (2 / P - 1 / V)),
            "you count the reading of the step itself twice",
        ),
        (precisions(lambda P, before, V: P / 2), "half of the filter's variance"),
        (precisions(lambda P, before, V: 1 / (2 / before - 1 / V)), "1/r is missing"),
        (precisions(lambda P, before, V: P), "that is the filter"),
        (precisions(lambda P, before, V: (P + before) / 2), "you average the variances"),
        (lambda f, q, r: (look_ahead(f, q, r)[0], look_ahead(f, q, r)[1] ** 0.5), "that is the root"),
    ],
    "carry_on": [
        (carried(squashes, last=lambda h, c: h), "both faults are left"),
        (carried(squashes), "tanh(c) still goes on to the next step"),
        (carried(lambda o, c: (o * c.tanh().tanh(), c.tanh())), "now h shows tanh of tanh"),
        (carried(last=lambda h, c: h), "you still hand on h"),
        (carried(last=lambda h, c: c.tanh()), "you hand on tanh(c)"),
        (carried(lambda o, c: (o * c, c)), "you no longer squash at all"),
        (carried(start=lambda h, c: (h, torch.zeros_like(c))), "from an empty memory"),
        (carried(start=lambda h, c: (0 * h, 0 * c)), "yours starts each time from zeros"),
        (carried(start=lambda h, c: (h, h)), "your c starts from h"),
    ],
    "scan": [
        (passes(lambda a_1, b_1, a_2, b_2: (a_1 * a_2, a_1 * b_2 + b_1)), "you join in the wrong order"),
        (passes(lambda a_1, b_1, a_2, b_2: (a_1 * a_2, a_1 * a_2 * b_1 + b_2)), "you overwrite a"),
        (passes(lambda a_1, b_1, a_2, b_2: (a_2, a_2 * b_1 + b_2)), "your factors are never joined"),
        (passes(lambda a_1, b_1, a_2, b_2: (a_1 * a_2, b_1 + b_2)), "your sums lack the factor"),
        (passes(right_join, once=True), "you make a single pass"),
        (passes(right_join, widen=lambda reach: reach + 1), "your reach grows by 1"),
        (lambda a, b: (b / a.cumprod(0)).cumsum(0) * a.cumprod(0), "you divide by the product"),
        (adds_first, "you add b before you multiply"),
        (step_by_step, "each pass should join all steps at once"),
    ],
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        pytest.param(check, answer, message, id=f"{check}-{number}-{message}")
        for check, wrong in MISCONCEPTIONS.items()
        for number, (answer, message) in enumerate(wrong)
    ],
)
def test_each_misconception_gets_its_own_message(check, answer, message, seed, assert_says):
    verdict = judge(check, answer, seed)
    assert not verdict.passed
    assert_says(verdict, message)


DEGENERATE = {
    "time_constant": lambda f, dt: torch.zeros_like(f),
    "forget_bias": lambda tau, dt: torch.zeros_like(tau),
    "cutoff": lambda f, dt: torch.full_like(f, torch.inf),
    "lstm_step": lambda h, c, *rest: (h, c),
    "gru_step": lambda h, *rest: h,
    "gru_gradient": lambda z, w, n: (torch.ones_like(z), torch.ones_like(z)),
    "bandwidth": lambda gain, i, dt: 0 * gain,
    "both_ways": lambda x, lengths, ahead, back: torch.zeros(*x.shape[:2], 2 * ahead(x).shape[2]),
    "look_ahead": lambda f, q, r: (r, r),
    "carry_on": lambda x, h, c, *rest: (torch.zeros(*x.shape[:2], h.shape[1]), c),
    "scan": lambda a, b: torch.zeros_like(b),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_that_says_nothing_does_not_pass(name, seed):
    assert not judge(name, DEGENERATE[name], seed).passed


def test_one_of_a_pair_earns_its_part(assert_says):
    verdict = checks.look_ahead(lambda *model: look_ahead(*model)[0])
    assert verdict.score(8) == 5.0  # at f = 0 both are equal
    assert_says(verdict, "by hand: that is the filter")
    assert_says(checks.lstm_step(lambda *given: lstm_step(*given)[0]), "that is h_t; return c_t")
    assert not checks.gru_gradient(lambda *given: gru_gradient(*given)[1]).passed


def test_cases_worked_by_hand():
    by_hand = {
        "time_constant": torch.tensor([3.0]),
        "forget_bias": torch.tensor([0.0]),
        "cutoff": torch.tensor([0.125]),  # ω = π/2: a quarter of a cycle in 2 h
        "lstm_step": (torch.tensor([[math.tanh(1) / 4]]), torch.tensor([[1.0]])),  # 3/4 + 1/2 · 1/2
        "gru_step": torch.tensor([[0.5]]),  # the candidate is 0
        "gru_gradient": (torch.tensor([0.875]), torch.tensor([0.25])),  # 1 · (1/2 + 1/2 · 3/4)
        "both_ways": torch.tensor([[[1.0, 70.0], [3.0, 60.0], [7.0, 40.0]]]),
        "look_ahead": tuple(torch.tensor([[8**0.5 - 2], [0.5**0.5]])),
        "scan": torch.tensor([[1.0], [3.0], [10.0]]),
    }
    for name, answer in by_hand.items():
        verdict = judge(name, lambda *arguments, answer=answer: answer)
        first = [item for item in verdict.items if "by hand" in item.message]
        assert first and all(item.passed for item in first), verdict


def test_a_missing_part_counts_as_not_answered(assert_says):
    assert_says(checks.pace(time_constant, ...), "forget_bias: not answered yet")
    assert_says(checks.gru_step(gru_step, ..., 14464), "lstm_weights: not answered yet")
    assert_says(checks.both_ways(both_ways), "use 1, exons: not answered yet")
    assert not checks.both_ways(..., USES).passed


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((18944, 14464), "the biases are missing, H for each block"),
        ((19456, 14464), "PyTorch stores two biases, which only ever act"),
        ((4800, 14464), "that is one block"),
        ((14400, 14464), "three gates and the candidate"),
        ((19200, 14400), "b_hn, inside the reset, is missing"),
        ((19200, 14208), "14208 is not it; the biases are missing"),
        ((19200, 14592), "PyTorch stores two biases for r and z"),
        ((19200, 19200), "that is the LSTM"),
        ((1, 14464), "how many rows does one block"),
    ],
    ids=str,
)
def test_a_miscount_is_explained(counts, message, assert_says):
    verdict = checks.gru_step(gru_step, *counts)
    assert verdict.score(6) == 5.0
    assert_says(verdict, message)


def test_the_counts_are_those_of_the_cells():
    sizes = [sum(weight.numel() for weight in cell(10, 64).parameters()) for cell in (LSTM, GRU)]
    assert checks.gru_step(gru_step, *sizes).passed


RIGHT_NAMES = ("chrono", "stuck open", "forget bias 0", "forget bias 3")
RIGHT_TASKS = ("any delay", "count", "react", "smooth")


def test_starts_read_right():
    verdict = checks.starts_figure(RIGHT_NAMES, 20, 155, RIGHT_TASKS)
    assert verdict.passed
    assert verdict.score(2) == 2.0


def test_starts_misread_are_explained(assert_says):
    verdict = checks.starts_figure(("forget bias 3", "Stuck open", "chrono"), 20.6, 150, RIGHT_TASKS)
    assert verdict.score(10) == 7.0
    assert_says(
        verdict,
        'A is not "forget bias 3". You would know it by this: a line, by 0.953',
        'C is not "chrono"',
        "D: not answered yet",
    )


def test_tasks_misplaced_are_explained(assert_says):
    verdict = checks.starts_figure(RIGHT_NAMES, 20.6, 150, ("any delay", "smooth", "guess", "count"))
    assert verdict.score(10) == 7.0
    assert_says(verdict, 'task for B is not "smooth"', "task for C: 'guess' is none of")


@pytest.mark.parametrize(
    ("tau", "longest", "message"),
    [
        (14.3, 150, "that is where half is left"),
        (47.3, 150, "that is where a tenth is left"),
        (1.44, 150, "that falls to a half at each step"),
        (3, 150, "that is the bias"),
        (30, 150, "come down to 1/e"),
        (20.6, 65, "that is where 1/e is left; at T_max it is 0.148"),
        (20.6, 200, "that is the end of the figure"),
        (20.6, 100, "at which k does the bent curve do so?"),
    ],
)
def test_a_number_misread_is_explained(tau, longest, message, assert_says):
    verdict = checks.starts_figure(RIGHT_NAMES, tau, longest, RIGHT_TASKS)
    assert verdict.score(10) == 9.0
    assert_says(verdict, message)


def test_the_starts_are_what_their_names_say():
    """One bias is one factor; of a chrono start the mean is an integral over its time constants."""
    starts, k = checks.four_starts(), torch.arange(201, dtype=torch.float64)
    names = dict(zip(RIGHT_NAMES, starts.values(), strict=True))
    u = torch.linspace(1, 149, 4001, dtype=torch.float64)
    spread = ((u / (1 + u)) ** k[:, None]).mean(1)
    torch.testing.assert_close(names["chrono"], spread, rtol=0, atol=0.04)  # 512 units: 0.3/√512, threefold
    torch.testing.assert_close(names["stuck open"], torch.ones(201, dtype=torch.float64))
    # the other weights' biases are drawn, but not the forget gate's, which alone is on the highway
    torch.testing.assert_close(names["forget bias 0"], 0.5**k)
    torch.testing.assert_close(names["forget bias 3"], torch.sigmoid(torch.tensor(3.0)).double() ** k)


def test_the_numbers_asked_for_are_where_the_curves_cross():
    starts = dict(zip(RIGHT_NAMES, checks.four_starts().values(), strict=True))
    tau = int((starts["forget bias 3"] < math.exp(-1)).nonzero()[0])
    longest = int((starts["chrono"] < 0.148).nonzero()[0])
    assert checks.starts_figure(RIGHT_NAMES, tau, longest, RIGHT_TASKS).passed


def test_measured_units_are_those_of_the_formula():
    for bias, i, dt in ((2.9, 0.25, 1.0), (5.0, 0.6, 4.0)):
        f = torch.sigmoid(torch.tensor(bias, dtype=torch.float64))
        gain, border = checks.measure_unit(bias, i, dt)
        assert gain == pytest.approx((i / (1 - f)).item(), rel=1e-4)
        assert border == pytest.approx(cutoff_frequency(f, dt).item(), rel=1e-4)


def test_measuring_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    checks.measure_unit(3.0, 1.0, 1.0)
    assert torch.equal(torch.rand(1), expected)


def test_the_approximation_asked_for_passes():
    for seed in SEEDS:
        assert checks.bandwidth(lambda gain, i, dt: i / gain / (2 * math.pi * dt), seed=seed).passed


def test_no_constant_passes_for_a_formula():
    _, border = checks.measure_unit(3.0, 0.9, 2.0)
    assert not checks.bandwidth(lambda gain, i, dt: border).passed


def test_the_border_is_told_beside_what_is_said(assert_says):
    verdict = checks.bandwidth(lambda gain, i, dt: 1 / (2 * math.pi * dt * gain))
    assert_says(
        verdict, "gain 19, i = 0.9, Δt = 2 h: measured is 0.00387 per hour, you say 0.00419", "the same again"
    )
    assert_says(checks.bandwidth(lambda gain, i, dt: gain.expand(2)), "instead of a number")


def test_both_ways_is_what_the_book_does():
    """The book's layer, with the same two cells, holds the forward state beyond the end; here it is zero."""
    draws = torch.Generator().manual_seed(0)
    network = Bidirectional(LSTM(2, 3, generator=draws), generator=draws)
    x, lengths = torch.randn(3, 5, 2, generator=draws), torch.tensor([5, 2, 3])
    ours = both_ways(x, lengths, network.forwards, network.backwards)
    theirs = network(x, lengths=lengths)
    real = (torch.arange(5) < lengths[:, None])[..., None]
    torch.testing.assert_close(ours, torch.where(real, theirs, 0.0))


@pytest.mark.parametrize(
    ("use", "said", "message"),
    [
        (1, "both ways", 'use 2, forecast is not "both ways". You would know it by this: the whole series'),
        (2, "with a delay", 'use 3, alarm is not "with a delay"'),
        (
            3,
            "forwards",
            'use 4, division is not "forwards". You would know it by this: you are asked at once',
        ),
        (4, "sideways", "use 5, gaps: 'sideways' is none of"),
    ],
)
def test_a_use_judged_wrongly_is_explained(use, said, message, assert_says):
    verdict = checks.both_ways(both_ways, [said if n == use else right for n, right in enumerate(USES)])
    assert verdict.score(10) == 9.0
    assert_says(verdict, message)


def test_the_variances_are_those_of_filter_and_smoother():
    """In the middle of a long series, of a model that starts in its stationary distribution."""
    f, q, r = 0.9, 0.3, 2.0
    one = torch.ones(1, 1, dtype=torch.float64)
    model = LinearGaussian(f * one, one, q * one, r * one, 0 * one[0], q / (1 - f**2) * one)
    readings = torch.zeros(1, 401, 1, dtype=torch.float64)
    filtered = kalman_filter(model, readings)
    smoothed = rts_smoother(model, filtered)
    asked = (torch.tensor([number], dtype=torch.float64) for number in (f, q, r))
    ours = torch.stack(look_ahead(*asked)).flatten()
    theirs = torch.stack([each.covariance[0, 200, 0, 0] for each in (filtered, smoothed)])
    torch.testing.assert_close(ours, theirs)


def test_a_loop_is_right_and_too_slow(assert_says):
    verdict = checks.scan(step_by_step)
    assert verdict.score(7) == 6.0
    assert_says(verdict, "1024 steps: PyTorch was called")


RIGHT_AILMENTS = ("forgetful", "healthy", "padding leaks", "saturated", "forgetful")
RIGHT_REMEDIES = ("raise the forget bias", "none", "pass lengths", "standardise", "raise the forget bias")


def test_diagnoses_are_judged_one_by_one(assert_says):
    assert checks.diagnose(RIGHT_AILMENTS, RIGHT_REMEDIES).passed
    verdict = checks.diagnose(("saturated", *RIGHT_AILMENTS[1:4]), ("none",) * 5)
    assert verdict.score(10) == 4.0
    assert_says(
        verdict,
        'A is not "saturated". You would know it by this: nearly all of its gates',
        "E: not answered yet",
        'remedy for C is not "none"',
    )


@pytest.mark.parametrize("name", sorted(set(RIGHT_AILMENTS)))
def test_one_diagnosis_for_all_does_not_pass(name):
    assert not checks.diagnose((name,) * 5, RIGHT_REMEDIES).passed


def test_the_reports_show_what_ails_each_network():
    for name, report in zip(RIGHT_AILMENTS, checks.five_reports().values(), strict=True):
        assert (report["at 0 or 1"] > 0.9 and report["slope"] < 0.01) == (name == "saturated")
        assert (report["arrives"] < 1e-6) == (name == "forgetful")
        assert (report["batch"] > 0.1) == (name == "padding leaks")
        assert name == "padding leaks" or report["batch"] == 0


def test_the_remedies_mend_what_the_reports_show():
    """A bias of 4 lets a gradient cross 50 steps that does not at 0, in one network and on one input."""
    x = torch.randn(8, 60, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    arrives = []
    for bias in (0.0, 4.0):
        cell = LSTM(1, 32, forget_bias=bias, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        norms = gradient_profile(cell, x, lambda states: states[:, -1, 32:].sum(-1)).norms.mean(0)
        arrives.append((norms[10] / norms[60]).item())
    assert arrives[0] < 1e-6 and arrives[1] > 0.1


def test_untouched_answers_are_not_attempts():
    assert checks.starts_figure(..., ..., ..., ...).items == ()
    assert checks.diagnose(..., ...).items == ()
    assert checks.pace(..., ...).items == ()
    assert checks.gru_step(..., ..., ...).items == ()
    assert checks.both_ways(..., ...).items == ()
    for name in ("cutoff", "lstm_step", "gru_gradient", "bandwidth", "look_ahead", "carry_on", "scan"):
        assert getattr(checks, name)(...).items == ()
