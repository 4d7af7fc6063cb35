"""`python -m helpers.course`: make every exercise from its solution."""

import sys

from helpers.course.exercises import main

if __name__ == "__main__":
    sys.exit(main())
