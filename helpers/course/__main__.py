"""`python -m helpers.course`: make every exercise from its solution."""

import argparse
import sys
from pathlib import Path

from helpers.course.generation import generate, write


def main(arguments: list[str] | None = None) -> int:
    """Make the exercises; the exit status is 1 if a file that a student has changed was left alone."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.course", description="Make exercises from solutions."
    )
    parser.add_argument("--solutions", type=Path, default=Path("solutions"), metavar="FOLDER")
    parser.add_argument("--exercises", type=Path, default=Path("exercises"), metavar="FOLDER")
    parser.add_argument(
        "--force", action="store_true", help="replace exercises that a student has changed, too"
    )
    options = parser.parse_args(arguments)
    solutions = sorted(options.solutions.glob("*.ipynb"))
    if not solutions:
        parser.error(f"no solutions in {options.solutions.resolve()}: run this in the book's folder")
    left_alone = 0
    for solution in solutions:
        path = options.exercises / solution.name
        written = write(generate(solution), path, force=options.force)
        left_alone += not written
        print(
            f"{path}: made from {solution}"
            if written
            else f"{path}: changed since it was made; left as it is"
        )
    if left_alone:
        print("Answers are never overwritten unasked: move the file away, or use --force.", file=sys.stderr)
    return int(left_alone > 0)


if __name__ == "__main__":
    sys.exit(main())
