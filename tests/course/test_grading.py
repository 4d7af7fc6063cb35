"""Whole courses with nbgrader: released, answered by students of every kind, graded, and returned."""

import os
import re
import sys
import warnings
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning

from helpers.course import course_configuration

BOOK = Path(__file__).parents[2]


@dataclass(frozen=True)
class Assignment:
    """A chapter's exercises, and a student who gets most of them wrong.

    Parameters
    ----------
    name : str
        The notebook's stem.
    points : dict
        The full marks of each check.
    students : tuple of str
        Who hands it in.
    mistakes : dict
        The student "mistaken"'s answers, by cell name; a cell that is not named stays untouched.
    marks : dict
        What they earn.
    help : tuple of str
        What they are told.
    """

    name: str
    points: dict[str, int]
    students: tuple[str, ...]
    mistakes: dict[str, str]
    marks: dict[str, float]
    help: tuple[str, ...]


MISTAKES_01 = {
    "dispersion": """
def dispersion(counts):
    return (counts.var(0) - counts.mean(0)) / counts.mean(0) ** 2
""",
    "deltas": """
def deltas(times, mask):
    delta = torch.zeros(mask.shape)
    for t in range(1, len(times)):
        delta[t] = torch.where(mask[t], 0.0, delta[t - 1] + times[t] - times[t - 1])
    return delta
""",
    "carry": """
def carry_forward(values, mask, before):
    return carry_forward_broken(torch.where(mask, values, 0.0), mask)
""",
    "censored": """
def censored_log_likelihood(recorded, limit, mean, standard_deviation):
    return torch.distributions.Normal(mean, standard_deviation).log_prob(recorded).sum() + no_such_name
""",
    "figure-answer": """
noise = "negative binomial", "Poisson", "constant"
dispersion_read = 5
""",
    "standardise": """
import sys
import warnings

def standardise(values, mask, train):
    print("a message on stderr", file=sys.stderr)
    warnings.warn("a warning")
    used = mask & train[:, None, None]
    mean = (values * used).sum((0, 1)) / used.sum((0, 1))
    variance = ((values - mean) ** 2 * used).sum((0, 1)) / used.sum((0, 1))
    return (values - mean) / variance.sqrt() * mask
""",
    "coverage": """
def coverage(lower, upper, values, group):
    inside = (lower < values) & (values < upper)
    return torch.stack([inside[group == g].float().mean() for g in range(group.max() + 1)])
""",
    "weighted-mean": """
def weighted_mean(values, mask, probability):
    return (mask * values / probability).sum() / (mask / probability).sum()
""",
}
BIOLOGICAL_DATA = Assignment(
    name="01_biological_data",
    points={
        "dispersion-check": 3,
        "deltas-check": 4,
        "carry-check": 3,
        "censored-check": 3,
        "figure-answer-check": 2,
        "limit-check": 2,
        "standardise-check": 3,
        "coverage-check": 2,
        "weighted-mean-check": 3,
    },
    students=("solution", "untouched", "mistaken"),
    mistakes=MISTAKES_01,
    marks={
        "dispersion-check": 3 * 2 / 3,
        "deltas-check": 4 * 1 / 5,
        "carry-check": 3 * 2 / 5,
        "censored-check": 0,
        "figure-answer-check": 2 * 1 / 4,
        "limit-check": 0,
        "standardise-check": 3,
        "coverage-check": 2 * 2 / 4,
        "weighted-mean-check": 3 * 1 / 3,
    },
    help=(
        "the Poisson limit, zero, is the answer there",
        "you reset δ at the observation itself; equation 1 resets it at the step after",
        "you fill backwards",
        "your function stopped with NameError at line 2 of its cell",
        "You would know Poisson by this",
        "that is 1 / φ",
        "detection_limit: not attempted yet",
        "compare with `<=` at both ends",
        "a NaN stays a NaN when it is multiplied by zero",
    ),
)

MISTAKES_02 = {
    "gain": """
def gain(P, c, R):
    return P / (P + R)
""",
    "update": """
def update(m, P, y, mask, C, R):
    y = torch.where(mask, y, 0.0)
    K = P @ C.T @ torch.linalg.inv(C @ P @ C.T + R)
    return m + K @ (y - C @ m), P - K @ C @ P
""",
    "covariance": """
posterior_covariance = posterior_covariance_broken
""",
    "hmm": """
def hmm_rnn(likelihood, transition, initial):
    rows = [likelihood[0] * initial / (likelihood[0] * initial).sum()]
    for e in likelihood[1:]:
        h = e * (transition @ rows[-1])
        rows.append(h / h.sum())
    return torch.stack(rows)
""",
    "discretise": """
def discretise(times, k, sigma):
    gap = times.diff(prepend=times[:1])
    return torch.exp(-k * gap), sigma**2 * gap
""",
    "figure-answer": """
names = "Q too large", "right", "Q too small", "drift left out"
widen = 3.6
""",
    "ratio": """
ratio = 1
gain_with_gaps = gains(0.5, every=2)[-1]
""",
}
STATE_SPACE = Assignment(
    name="02_state_space",
    points={
        "gain-check": 3,
        "update-check": 4,
        "covariance-check": 3,
        "contributions-check": 3,
        "hmm-check": 4,
        "discretise-check": 4,
        "figure-answer-check": 3,
        "ratio-check": 2,
    },
    students=("solution", "mistaken"),  # the course of chapter 01 has an untouched exercise
    mistakes=MISTAKES_02,
    marks={
        "gain-check": 3 * 1 / 5,
        "update-check": 4 * 2 / 12,
        "covariance-check": 3 * 1 / 5,
        "contributions-check": 0,
        "hmm-check": 4 * 1 / 5,
        "discretise-check": 4 * 4 / 8,
        "figure-answer-check": 3 * 2 / 5,
        "ratio-check": 2 * 1 / 2,
    },
    help=(
        "your gain is right for c = 1 only",
        "a missing entry enters as if 0 had been read",
        "your covariance still lacks the noise that the reading brings in",
        "contributions: not attempted yet",
        "W_hh is the transpose",
        "σ² δ is the variance of noise that stays for ever",
        'B is not "right". You would know it by this',
        "that is the variance; the width of an interval goes with the standard deviation",
        "at Q/R = 1 the gain settles at 0.618",
    ),
)

MISTAKES_03 = {
    "run": """
def run(x, h, W_xh, W_hh, b):
    states = []
    for x_t in x.unbind(-2):
        h = torch.tanh(x_t @ W_xh.mT + h @ W_hh + b)
        states.append(h)
    return torch.stack(states, -2)
""",
    "bptt": """
def bptt(h, W_hh, at_once):
    a, dW_hh = at_once[-1], torch.zeros_like(W_hh)
    for t in range(len(h) - 1, 0, -1):
        d = (1 - h[t] ** 2) * a
        dW_hh += torch.outer(d, h[t])
        a = at_once[t - 1] + W_hh.T @ d
    return dW_hh, a
""",
    "reach": """
def reach(W, epsilon):
    rho = torch.linalg.eigvalsh(W).abs().amax(-1)
    return (epsilon.log() / rho.log()).ceil()
""",
    "transient": """
def transient(rho, peak):
    return torch.tensor([[rho, 0.0], [peak, rho]])
""",
    "accumulate": """
def accumulate(J, tau):
    e = torch.zeros_like(tau[0])
    for J_n, tau_n in zip(J, tau, strict=True):
        e = J_n @ (e + tau_n)
    return e
""",
    "leak": """
def leak(tau, dt, delay):
    return dt / tau, torch.exp(-delay / tau)
""",
    "descend": """
descend = descend_broken
""",
    "figure-answer": """
names = "truncated", "vanishing", "exploding", "detached"
window_read = 13
slow_from = 202
""",
    "remedies": """
remedies = "longer window", "larger radius", "clip", "no detach"
""",
    "growth": """
def growth(h, gain):
    return gain * (1 - h**2).mean()
""",
    "open-proof": "The largest eigenvalue wins.",
}
VANILLA_RNN = Assignment(
    name="03_vanilla_rnn",
    points={
        "run-check": 3,
        "bptt-check": 4,
        "reach-check": 3,
        "transient-check": 3,
        "accumulate-check": 3,
        "clip-check": 3,
        "leak-check": 2,
        "descend-check": 3,
        "figure-answer-check": 4,
        "growth-check": 3,
        "open-proof": 0,
        "open-verdict": 0,
    },
    students=("solution", "untouched", "mistaken"),
    mistakes=MISTAKES_03,
    marks={
        "run-check": 3 * 1 / 5,
        "bptt-check": 4 * 4 / 8,
        "reach-check": 3 * 4 / 5,
        "transient-check": 0,
        "accumulate-check": 0,
        "clip-check": 0,
        "leak-check": 2 * 4 / 8,
        "descend-check": 3 * 1 / 4,
        "figure-answer-check": 4 * 4 / 10,
        "growth-check": 0,
        "open-proof": 0,
        "open-verdict": 0,
    },
    help=(
        "you use the transpose of W_hh",
        "you pair d_t with h_t",
        "with ρ ≥ 1 the gradient never falls",
        "you carry τ_n through step n itself",
        "clip: not attempted yet",
        "e^(-delay/τ) is the limit of ever shorter steps",
        "both faults are left",
        "C is not exploding. You would know exploding by this",
        "it is the last of one more",
        "there it becomes exactly zero, and fast again",
        'remedy for C is not "clip"',
        "you average the slopes",
    ),
)


@dataclass(frozen=True)
class Course:
    """A course in which everything has happened: its assignment, and the folder where it was held."""

    assignment: Assignment
    folder: Path


def exercise(name):
    return nbformat.read(BOOK / "exercises" / f"{name}.ipynb", as_version=4)


def answered(name, answers):
    """The committed exercise with the cells named in ``answers`` filled in."""
    notebook = exercise(name)
    for cell in notebook.cells:
        cell_name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(cell_name, cell.source).strip()
    return notebook


def solved(name):
    """The answers of the solution, by cell name."""
    notebook = nbformat.read(BOOK / "solutions" / f"{name}.ipynb", as_version=4)
    marked = [(cell.metadata["nbgrader"], cell) for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {nbgrader["grade_id"]: cell.source for nbgrader, cell in marked if nbgrader["solution"]}


def succeed(result):
    assert result["success"], result["log"]


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """One course for all assignments, so that its database is made only once."""
    folder = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader calls alembic
        yield NbGraderAPI(config=course_configuration(folder))


MISTAKES_04 = {
    "stability": """
def stability(w, h):
    slope = w * (1 - h**2)
    return slope, slope < 1
""",
    "fold": """
def fold(w):
    h = (1 + torch.sqrt(1 - 4 / w)) / 2
    return h, w * h - torch.log(h / (1 - h))
""",
    "newton": """
def newton(W, b, h, steps):
    for _ in range(steps):
        f = torch.tanh(h @ W.T + b)
        step = torch.linalg.solve((1 - f**2)[:, :, None] * W - torch.eye(len(W)), f - h)
        h = h - step
    return h, torch.linalg.vector_norm(step, dim=1)
""",
    "outcomes": """
def outcomes(W, b, h, tolerance):
    at_rest = (downhill(W, b, h, steps=1) - h).norm(dim=1) <= tolerance
    return at_rest, torch.zeros_like(at_rest)
""",
    "euler": """
def euler_rnn(J, c, dt):
    return torch.eye(len(J)) + dt * J, dt * c, 2 / torch.linalg.eigvals(J).abs().max()
""",
    "spectrum": """
def lyapunov_spectrum(jacobians):
    return torch.linalg.eigvals(jacobians[-1]).abs().log().sort(descending=True).values
""",
    "figure-answer": """
names = "chaotic", "periodic", "fixed", "bistable"
border = 0
""",
    "delay": """
def delay_vectors(x, delay, dimension):
    rows = len(x) - (dimension - 1) * delay
    return torch.stack([x[k * delay : k * delay + rows] for k in range(dimension)], 1)
""",
    "delay-dimension": """
dimension = 5
""",
    "edge": """
gain = 1.0
gain_with_inputs = 1.865
""",
}
RNN_DYNAMICS = Assignment(
    name="04_rnn_dynamics",
    points={
        "stability-check": 2,
        "fold-check": 3,
        "newton-check": 4,
        "outcomes-check": 3,
        "euler-check": 4,
        "exponent-check": 2,
        "spectrum-check": 3,
        "figure-answer-check": 3,
        "delay-check": 3,
        "edge-check": 2,
    },
    students=("solution", "mistaken"),
    mistakes=MISTAKES_04,
    marks={
        "stability-check": 2 * 6 / 8,
        "fold-check": 3 * 4 / 8,
        "newton-check": 4 * 5 / 8,
        "outcomes-check": 3 * 2 / 12,
        "euler-check": 4 * 9 / 12,
        "exponent-check": 0,
        "spectrum-check": 3 * 1 / 3,
        "figure-answer-check": 3 * 2 / 5,
        "delay-check": 3 * 1 / 5,
        "edge-check": 2 * 1 / 2,
    },
    help=(
        "a slope below -1 is unstable too",
        "the sign is wrong: σ⁻¹(h) = w h + b",
        "you return the length of the last step",
        "the search has come to rest there, and that is all you ask",
        "2/|λ| holds for real λ only",
        "lyapunov_exponent: not attempted yet",
        "you take eigenvalues of the last Jacobian",
        "A is not chaotic. You would know chaotic by this",
        "the border is 0 for a bias of 0 only",
        "from t that looks ahead",
        "Takens' 2 D + 1 is always enough",
        "the state has left 0 already",
    ),
)

MISTAKES_05 = {
    "pace": """
def time_constant(f, dt):
    return -dt / f.log()

def forget_bias(tau, dt):
    return (tau / dt).log()
""",
    "cutoff": """
def cutoff(f, dt):
    return -f.log() / (2 * torch.pi * dt)
""",
    "lstm": """
def lstm_step(h, c, x, W_xh, W_hh, b):
    i, f, g, o = (x @ W_xh.mT + h @ W_hh.mT + b).chunk(4, -1)
    c = torch.tanh(f.sigmoid() * c + i.sigmoid() * g.tanh())
    return o.sigmoid() * c, c
""",
    "gru": """
def gru_step(h, x, W_xh, W_hh, b, b_hn):
    x_r, x_z, x_n = (x @ W_xh.mT + b).chunk(3, -1)
    h_r, h_z, h_n = (h @ W_hh.mT).chunk(3, -1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    n = torch.tanh(x_n + r * (h_n + b_hn))
    return z * h + (1 - z) * n
""",
    "counts": """
lstm_weights = 19200
gru_weights = 14400
""",
    "gradient": """
def gru_gradient(z, w, n):
    return (1 - z) ** n.shape[1], (1 - z) ** n.shape[1]
""",
    "figure-answer": """
names = "forget bias 3", "stuck open", "forget bias 0", "chrono"
tau_read = 14
longest_read = 150
""",
    "tasks": """
tasks = "any delay", "count", "react", "smooth"
""",
    "bandwidth": """
def bandwidth(gain, i, dt):
    return 1 / (2 * torch.pi * dt * gain)
""",
    "both-ways": """
def both_ways(x, lengths, forwards, backwards):
    both = torch.cat([forwards(x), backwards(x.flip(1)).flip(1)], -1)
    return both * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
""",
    "allowed": """
allowed = "both ways", "both ways", "forwards", "with a delay", "both ways"
""",
    "look-ahead": """
def look_ahead(f, q, r):
    half = (q + f**2 * r - r) / 2
    before = half + (half**2 + q * r).sqrt()
    filtered = 1 / (1 / before + 1 / r)
    return filtered, 1 / (1 / filtered + 1 / before)
""",
    "carry-on": """
carry_on = carry_on_broken
""",
    "scan": """
def scan(a, b):
    h, states = torch.zeros_like(b[0]), []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)
""",
    "ailments": """
ailments = "forgetful", "healthy", "padding leaks", "healthy", "forgetful"
""",
    "open-valve": "A cell counts its divisions: f = 1.",
}
GATED_CELLS = Assignment(
    name="05_gated_cells",
    points={
        "pace-check": 3,
        "cutoff-check": 3,
        "lstm-check": 3,
        "gru-check": 4,
        "gradient-check": 3,
        "figure-answer-check": 4,
        "bandwidth-check": 3,
        "both-ways-check": 4,
        "look-ahead-check": 3,
        "carry-on-check": 3,
        "scan-check": 3,
        "diagnose-check": 3,
        "open-valve": 0,
        "open-forecast": 0,
    },
    students=("solution", "untouched", "mistaken"),
    mistakes=MISTAKES_05,
    marks={
        "pace-check": 3 * 3 / 8,
        "cutoff-check": 3 * 1 / 5,
        "lstm-check": 3 * 4 / 8,
        "gru-check": 4 * 2 / 6,
        "gradient-check": 3 * 4 / 8,
        "figure-answer-check": 4 * 7 / 10,
        "bandwidth-check": 0,
        "both-ways-check": 4 * 6 / 10,
        "look-ahead-check": 3 * 4 / 8,
        "carry-on-check": 3 * 1 / 6,
        "scan-check": 3 * 6 / 7,
        "diagnose-check": 3 * 4 / 10,
        "open-valve": 0,
        "open-forecast": 0,
    },
    help=(
        "yours is -∞ there",
        "is good for τ much longer than Δt only",
        "1/(2πτ) is good near f = 1 only",
        "you squash c itself",
        "that is PyTorch's z",
        "b_hn, inside the reset, is missing",
        "that is the highway alone",
        'A is not "forget bias 3". You would know it by this',
        "that is where half is left",
        "the input gate is missing",
        "your second reader meets the padding first",
        'use 2, forecast is not "both ways"',
        "you count the stationary distribution twice",
        "both faults are left",
        "each pass should join all steps at once",
        'D is not "healthy"',
        "remedy for A: not answered yet",
    ),
)

MISTAKES_07 = {
    "growth": """
def pairs(t, y0, r):
    return y0 * torch.exp(r * y0 * t), 1 / (r * y0)

def sphere(t, wait):
    return (t - wait) ** 3
""",
    "totals": """
L = [[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 0, 1, 0, 0]]

def project(F, L):
    return F - F @ L.T @ L
""",
    "noise": """
def euler_maruyama(f, t, y, dt, sigma, generator):
    return y + dt * (f(t, y) + sigma * torch.randn(y.shape, generator=generator))
""",
    "figure-answer": """
names = "law", "noise", "input", "map"
saddle = 2.6
""",
    "heun": """
def heun_step(f, t, y, dt):
    k1 = f(t, y)
    return y + dt[:, None] / 2 * (k1 + f(t, y + dt[:, None] * k1))
""",
    "loss": """
def trajectory_loss(field, t, y, mask):
    predicted = odeint(field, y[:, 0], t).reshape(y.shape)
    return (predicted - y).square()[mask].mean()
""",
    "squares": """
def product(x, y):
    return (x + y).square() - (x - y).square()

def autocatalysis(x, y):
    return x * x * y
""",
    "pitchfork": """
n = 2.4
memory = 0.148
""",
}
NEURAL_ODES = Assignment(
    name="07_neural_odes",
    points={
        "growth-check": 3,
        "totals-check": 4,
        "noise-check": 3,
        "figure-answer-check": 3,
        "heun-check": 3,
        "loss-check": 3,
        "squares-check": 3,
        "shooting-check": 3,
        "pitchfork-check": 2,
    },
    students=("solution", "mistaken"),
    mistakes=MISTAKES_07,
    marks={
        "growth-check": 3 * 3 / 8,
        "totals-check": 4 * 2 / 7,
        "noise-check": 3 * 3 / 5,
        "figure-answer-check": 3 * 2 / 5,
        "heun-check": 3 * 1 / 4,
        "loss-check": 3 * 1 / 4,
        "squares-check": 0,
        "shooting-check": 0,
        "pitchfork-check": 2 * 1 / 2,
    },
    help=(
        "at the first moment's rate r y0",
        "before `wait` your answer is negative",
        "the protein sits in both complexes too: count what is bound",
        "Divide by L Lᵀ",
        "with Δt the noise would vanish as steps get shorter",
        'A is not "law". You would know it by this',
        "that is a stable state, where u has won",
        "you take the second slope at the time t",
        "half the step only halves the error",
        "samples and times are shuffled",
        "(x + y)² - (x - y)² is 4 x y, so divide by 4",
        "two unknowns are multiplied here, and a layer of this network cannot",
        "multiple_shooting: not attempted yet",
        "that is the rate at which it fades; the time is 1 over it",
    ),
)

ASSIGNMENTS = [BIOLOGICAL_DATA, STATE_SPACE, VANILLA_RNN, RNN_DYNAMICS, GATED_CELLS, NEURAL_ODES]


@pytest.fixture(scope="module", params=ASSIGNMENTS, ids=lambda assignment: assignment.name)
def course(request, nbgrader):
    """The course when one of its assignments has been graded."""
    folder, assignment = Path(nbgrader.coursedir.root), request.param
    name = assignment.name
    answers = {"solution": solved(name), "untouched": {}, "mistaken": assignment.mistakes}
    source = folder / "source" / name
    source.mkdir(parents=True)
    (source / f"{name}.ipynb").write_bytes((BOOK / "solutions" / f"{name}.ipynb").read_bytes())
    for student in assignment.students:
        submission = folder / "submitted" / student / name
        submission.mkdir(parents=True)
        nbformat.write(answered(name, answers[student]), submission / f"{name}.ipynb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of nbgrader, about its own database
        succeed(nbgrader.generate_assignment(name))
        for student in assignment.students:
            succeed(nbgrader.autograde(name, student))
        succeed(nbgrader.generate_feedback(name, "mistaken"))
    return Course(assignment, folder)


def marks(course, student):
    name = course.assignment.name
    with Gradebook(f"sqlite:///{course.folder}/gradebook.db") as gradebook:
        submission = gradebook.find_submission_notebook(name, name, student)
        return {grade.name: grade.score for grade in submission.grades}


def graded(course, student):
    name = course.assignment.name
    return nbformat.read(course.folder / "autograded" / student / name / f"{name}.ipynb", as_version=4)


def test_the_release_is_the_committed_exercise(course):
    name = course.assignment.name
    released = nbformat.read(course.folder / "release" / name / f"{name}.ipynb", as_version=4)
    assert released.cells == exercise(name).cells


def test_right_answers_have_full_marks_and_untouched_ones_none(course):
    points = course.assignment.points
    expected = {"solution": points, "untouched": dict.fromkeys(points, 0)}
    honest = [student for student in course.assignment.students if student in expected]
    assert {student: marks(course, student) for student in honest} == {
        student: expected[student] for student in honest
    }


def test_wrong_answers_have_a_part(course):
    assert marks(course, "mistaken") == pytest.approx(course.assignment.marks)


def test_every_notebook_runs_to_its_end(course):
    for student in course.assignment.students:
        cells = [cell for cell in graded(course, student).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        kinds = {output.output_type for cell in cells for output in cell.outputs}
        assert "error" not in kinds
        assert not any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)


def test_wrong_answers_are_explained(course):
    outputs = [output for cell in graded(course, "mistaken").cells for output in cell.get("outputs", [])]
    text = " ".join(" ".join(output.get("data", {}).get("text/plain", "") for output in outputs).split())
    assert [message for message in course.assignment.help if message not in text] == []


def test_feedback_explains_and_keeps_the_hidden_tests_to_itself(course):
    name = course.assignment.name
    html = (course.folder / "feedback" / "mistaken" / name / f"{name}.html").read_text()
    text = unescape(re.sub(r"<[^>]+>", "", html))
    assert any("seed=2026" in cell.source for cell in graded(course, "mistaken").cells)
    assert "seed=2026" not in text
    assert "HIDDEN TESTS" not in text
    assert "display(checks." in text
    once_seen_once_hidden = [text.count(message.replace("`", "")) for message in course.assignment.help]
    assert once_seen_once_hidden == [2] * len(course.assignment.help)
