"""A whole course with nbgrader: released, answered by three students, graded, and returned."""

import os
import re
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning

from helpers.course.configuration import course_configuration

BOOK = Path(__file__).parents[2]
ASSIGNMENT = "01_biological_data"
POINTS = {
    "dispersion-check": 3,
    "deltas-check": 4,
    "carry-check": 3,
    "censored-check": 3,
    "figure-answer-check": 2,
    "limit-check": 2,
    "standardise-check": 3,
    "coverage-check": 2,
    "weighted-mean-check": 3,
}

MISTAKES = {
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
MISTAKEN_MARKS = {
    "dispersion-check": 3 * 2 / 3,
    "deltas-check": 4 * 1 / 5,
    "carry-check": 3 * 2 / 5,
    "censored-check": 0,
    "figure-answer-check": 2 * 1 / 4,
    "limit-check": 0,
    "standardise-check": 3,
    "coverage-check": 2 * 2 / 4,
    "weighted-mean-check": 3 * 1 / 3,
}
HELP = [
    "the Poisson limit, zero, is the answer there",
    "you reset δ at the observation itself; equation 1 resets it at the step after",
    "you fill backwards",
    "your function stopped with NameError at line 2 of its cell",
    "You would know Poisson by this",
    "that is 1 / φ",
    "detection_limit: not attempted yet",
    "compare with `<=` at both ends",
    "a NaN stays a NaN when it is multiplied by zero",
]


def answered(answers):
    """The committed exercise with the cells named in ``answers`` filled in."""
    notebook = nbformat.read(BOOK / "exercises" / f"{ASSIGNMENT}.ipynb", as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source).strip()
    return notebook


def solved():
    """The answers of the solution, by cell name."""
    notebook = nbformat.read(BOOK / "solutions" / f"{ASSIGNMENT}.ipynb", as_version=4)
    marked = [(cell.metadata["nbgrader"], cell) for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {nbgrader["grade_id"]: cell.source for nbgrader, cell in marked if nbgrader["solution"]}


def succeed(result):
    assert result["success"], result["log"]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of a course in which everything has happened."""
    folder = tmp_path_factory.mktemp("course")
    students = {"solution": solved(), "untouched": {}, "mistaken": MISTAKES}
    source = folder / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    (source / f"{ASSIGNMENT}.ipynb").write_bytes((BOOK / "solutions" / f"{ASSIGNMENT}.ipynb").read_bytes())
    for student, answers in students.items():
        submission = folder / "submitted" / student / ASSIGNMENT
        submission.mkdir(parents=True)
        nbformat.write(answered(answers), submission / f"{ASSIGNMENT}.ipynb")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of nbgrader, about its own database
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader calls alembic
        nbgrader = NbGraderAPI(config=course_configuration(folder))
        succeed(nbgrader.generate_assignment(ASSIGNMENT))
        for student in students:
            succeed(nbgrader.autograde(ASSIGNMENT, student))
        succeed(nbgrader.generate_feedback(ASSIGNMENT, "mistaken"))
    return folder


def marks(course, student):
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        submission = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, student)
        return {grade.name: grade.score for grade in submission.grades}


def graded(course, student):
    path = course / "autograded" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    return nbformat.read(path, as_version=4)


def test_the_release_is_the_committed_exercise(course):
    released = nbformat.read(course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", as_version=4)
    committed = nbformat.read(BOOK / "exercises" / f"{ASSIGNMENT}.ipynb", as_version=4)
    assert released.cells == committed.cells


def test_the_solution_has_full_marks(course):
    assert marks(course, "solution") == POINTS


def test_the_untouched_exercise_has_none(course):
    assert marks(course, "untouched") == dict.fromkeys(POINTS, 0)


def test_wrong_answers_have_a_part(course):
    assert marks(course, "mistaken") == pytest.approx(MISTAKEN_MARKS)


@pytest.mark.parametrize("student", ["solution", "untouched", "mistaken"])
def test_every_notebook_runs_to_its_end(course, student):
    cells = [cell for cell in graded(course, student).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    assert not any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)


@pytest.mark.parametrize("message", HELP)
def test_wrong_answers_are_explained(course, message):
    outputs = [output for cell in graded(course, "mistaken").cells for output in cell.get("outputs", [])]
    text = " ".join(" ".join(output.get("data", {}).get("text/plain", "") for output in outputs).split())
    assert message in text


def test_feedback_explains_and_keeps_the_hidden_tests_to_itself(course):
    html = (course / "feedback" / "mistaken" / ASSIGNMENT / f"{ASSIGNMENT}.html").read_text()
    text = re.sub(r"<[^>]+>", "", html)
    assert any("seed=2026" in cell.source for cell in graded(course, "mistaken").cells)
    assert "seed=2026" not in text
    assert "HIDDEN TESTS" not in text
    assert "display(checks.deltas(deltas))" in text
    assert text.count("equation 1 resets it at the step after") == 2
