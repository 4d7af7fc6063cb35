"""Exercise 4: the likelihood of a sample with a detection limit."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict
from helpers.observation import CensoredGaussian, Gaussian

MISCONCEPTIONS = (
    (
        "you treat a value at the limit as if the limit had been measured; all it says is that the value was "
        "at or below the limit, which has probability Φ((limit - mean) / standard deviation)",
        lambda recorded, limit, mean, standard_deviation: (
            Gaussian(mean, standard_deviation).log_prob(recorded).sum()
        ),
    ),
    (
        "you leave the values at the limit out: that complete-case likelihood is biased upwards",
        lambda recorded, limit, mean, standard_deviation: (
            Gaussian(mean, standard_deviation).log_prob(recorded[recorded > limit]).sum()
        ),
    ),
    (
        "you use the probability of lying above the limit; a censored value lies below it",
        lambda **sample: _with_censored_term(torch.special.log_ndtr, sign=-1, **sample),
    ),
    (
        "you add the probability Φ of a censored value; a log likelihood adds its logarithm",
        lambda **sample: _with_censored_term(torch.special.ndtr, **sample),
    ),
    (
        "Φ(-40) underflows to zero and its logarithm to minus infinity; `torch.special.log_ndtr` gives the "
        "logarithm directly, about -804.6",
        lambda **sample: _with_censored_term(lambda a: torch.special.ndtr(a).log(), **sample),
    ),
    (
        "you average over the sample; the log likelihood of independent values is the sum",
        lambda **sample: _log_likelihood(**sample) / len(sample["recorded"]),
    ),
    (
        "your density lacks the factor 1 / standard deviation",
        lambda recorded, limit, mean, standard_deviation: (
            _log_likelihood(recorded, limit, mean, standard_deviation)
            + (recorded > limit).sum() * standard_deviation.log()
        ),
    ),
)


def censored_log_likelihood(answer, seed: int = 1) -> Verdict:
    """Exercise 4: `answer(recorded (N,), limit, mean, standard_deviation) -> ()`, censored from below."""
    generator = torch.Generator().manual_seed(seed)
    drawn = (2.0 + 1.5 * torch.randn(40, generator=generator, dtype=torch.float64)).clamp(min=1.0)
    cases = {
        "nothing censored": _sample([1.0, 2.5, 3.0], limit=0.5, mean=2.0, standard_deviation=1.5),
        "one value at the limit": _sample([1.0, 2.5, 3.0], limit=1.0, mean=2.0, standard_deviation=1.5),
        "40 values at random": _sample(drawn, limit=1.0, mean=2.0, standard_deviation=1.5),
        "a limit 40 deviations low": _sample([0.0, 40.5], limit=0.0, mean=40.0, standard_deviation=1.0),
    }
    return examine("censored_log_likelihood", answer, cases, _log_likelihood, MISCONCEPTIONS)


def _sample(recorded: list[float] | Tensor, **parameters: float) -> dict[str, Tensor]:
    arguments = {"recorded": recorded} | parameters
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in arguments.items()}


def _log_likelihood(recorded: Tensor, limit: Tensor, mean: Tensor, standard_deviation: Tensor) -> Tensor:
    return CensoredGaussian(mean, standard_deviation, limit).log_prob(recorded).sum()


def _with_censored_term(
    term, *, sign: int = 1, recorded: Tensor, limit: Tensor, mean: Tensor, standard_deviation: Tensor
) -> Tensor:
    """The log likelihood with `term(a)`, a = (limit - mean) / standard deviation, per censored value."""
    standardised = sign * (limit - mean) / standard_deviation
    density = Gaussian(mean, standard_deviation).log_prob(recorded[recorded > limit]).sum()
    return density + (recorded <= limit).sum() * term(standardised)
