"""What a solution took."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.odes.gradient import Integral
from helpers.odes.interpolation import Located
from helpers.odes.tableau import Tableau


@dataclass(frozen=True, eq=False)
class Stats:
    """What each sample's solution took.

    Attributes
    ----------
    accepted, rejected : Tensor (B,), integer
        Steps.
    evaluations : Tensor (B,), integer
        Of the field, for this sample's sake. A batch evaluates it for all samples until the last has arrived.
    """

    accepted: Tensor
    rejected: Tensor
    evaluations: Tensor


def counted(integral: Integral, tableau: Tableau, opening: int, located: Located) -> Stats:
    """Count steps, and evaluations: `opening` before the first step, in trials, and for dense outputs."""
    tried, accepted = integral.tried.tried().sum(1), integral.tried.moved().sum(1)
    of_trial = len(tableau.a) + (not tableau.first_same_as_last)
    evaluations = (opening + of_trial * tried).clamp(min=1)
    if integral.path is not integral.tried:
        evaluations = evaluations + tableau.first_same_as_last + of_trial * accepted
    if tableau.dense_a:
        evaluations = evaluations + len(tableau.dense_a) * _trials_asked(located, integral.path.trials)
    return Stats(accepted, tried - accepted, evaluations)


def _trials_asked(located: Located, trials: int) -> Tensor:
    """In how many of a sample's steps (B,) there are output times."""
    asked = torch.zeros(len(located.trial), trials + 1, dtype=torch.long, device=located.trial.device)
    return asked.scatter_add(1, located.trial, (located.share > 0).long()).clamp(max=1).sum(1)
