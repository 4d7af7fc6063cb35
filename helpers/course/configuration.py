"""How this book uses nbgrader."""

from pathlib import Path

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import ClearHiddenTests, GetGrades
from traitlets.config import Config

STUB = "# YOUR CODE HERE\n..."  # runs, so that Run All reaches the end of an untouched exercise


def course_configuration(root: Path) -> Config:
    """nbgrader's settings for a course in the folder `root`, which also holds its database.

    A solution becomes a stub that runs. Feedback keeps what the hidden tests found and drops their source,
    which nbgrader's own feedback shows.
    """
    config = Config()
    config.CourseDirectory.root = str(root.resolve())
    config.ClearSolutions.code_stub = {"python": STUB}
    config.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests, CSSHTMLHeaderPreprocessor]
    return config
