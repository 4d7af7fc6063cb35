"""Solvers of y' = f(t, y), and their gradients: one loop in which four independent parts meet.

::

    State ──stepper──▶ Step ──controller──▶ State        until no sample goes on
                         └───────▶ Path ──dense output──▶ answers at any time

- The *stepper* (`stepper`, with a `tableau`) takes one step of every sample from where it stands. It knows
  neither tolerances nor output times.
- The *controller* (`controller`: PI control of the error, or a grid of fixed steps) accepts or rejects the
  step, and says where each sample stands now and how far it shall step next. It knows nothing of stages.
- The *dense output* (`interpolation`) reads the answers, at whatever times, from the path that the loop
  leaves. An adaptive method shortens no step for an output, but the last.
- The *gradient* (`gradient`) decides how the loop is run such that autograd can follow.

The loop itself is a dozen lines (`integrate` in `loop`, beside State, Step and Path). Everything in it is
done for all samples at once, each with its own time and step (B,) in float64, whatever the states' dtype. A
sample that has arrived or failed has the step h = 0, which keeps it where it is while the others go on.
"""

from helpers.odes.events import Event
from helpers.odes.loop import Field
from helpers.odes.solution import Interpolant, Occurrences, Solution, SolveError, Stats, Status
from helpers.odes.solve import solve
from helpers.odes.tableau import TABLEAUX, Tableau

__all__ = [
    "TABLEAUX",
    "Event",
    "Field",
    "Interpolant",
    "Occurrences",
    "Solution",
    "SolveError",
    "Stats",
    "Status",
    "Tableau",
    "solve",
]
