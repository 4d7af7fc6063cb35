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
- The *gradient* decides how the loop is run, and how the answers' gradient finds its way back: through the
  steps as autograd kept them (`gradient`), through the steps taken again (`replay`, from `checkpoints`), or
  by the adjoint equation (`adjoint`). How the last two tell autograd is in `pullback`.

*Events* (`events`) are a controller around the controller, which ends a step where one happens in it. The
ways back other than `direct` go from one event to the next (`pieces`).

The loop itself is a dozen lines (`integrate` in `loop`, beside State, Step and Path). Everything in it is
done for all samples at once, each with its own time and step (B,) in float64, whatever the states' dtype. A
sample that has arrived or failed has the step h = 0, which keeps it where it is while the others go on.
"""

from helpers.odes.events import Event
from helpers.odes.interpolation import AdjointReport
from helpers.odes.loop import Field, Occurrences
from helpers.odes.sensitivity import Sensitivity, forward_sensitivity
from helpers.odes.solution import Interpolant, Solution, SolveError, Stats, Status
from helpers.odes.solve import solve
from helpers.odes.tableau import TABLEAUX, Tableau

__all__ = [
    "TABLEAUX",
    "AdjointReport",
    "Event",
    "Field",
    "Interpolant",
    "Occurrences",
    "Sensitivity",
    "Solution",
    "SolveError",
    "Stats",
    "Status",
    "Tableau",
    "forward_sensitivity",
    "solve",
]
