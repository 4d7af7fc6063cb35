"""A step size that rises to its peak and falls to almost nothing: few updates go far with it."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


def one_cycle(optimiser: Optimizer, updates: int, rise: float = 0.3) -> Optimizer:
    """Let an optimiser's step size go through one cycle as it steps, for `helpers.training.fit`.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Its step size is the peak.
    updates : int
        Steps of the cycle, all that there will be.
    rise : float
        Share of the steps until the peak.

    Returns
    -------
    torch.optim.Optimizer
        The same.

    Source: Smith and Topin (2019), Super-convergence: very fast training of neural networks using large
    learning rates, arXiv:1708.07120.
    """
    schedule = OneCycleLR(optimiser, optimiser.param_groups[0]["lr"], updates, pct_start=rise)
    optimiser.register_step_post_hook(lambda *_: schedule.step())
    return optimiser
