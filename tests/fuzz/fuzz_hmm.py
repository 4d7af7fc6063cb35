"""Hidden Markov models: one way to call each function, and the right answer where it is known."""

import itertools
from functools import partial

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    counts_log_probability,
    differs,
    first_complaint,
    path_sum_complaint,
    symbol_log_probability,
    vector_log_density,
)

from helpers import statespace

EMISSION = ("emission", "state")
EMISSION_PARAMETERS = {"probabilities", "rate", "mean", "covariance"}
QUIET = {"progress": False}


# Models and data of each kind: arguments, what builds the emission of them, and log p(y | k).


def _chain(draw: Draw, states: int) -> dict:
    return {"initial": draw.probabilities(states), "transition": draw.probabilities(states, states)}


def _symbols(draw: Draw, batch: int, steps: int) -> tuple[dict, object, object]:
    K, symbols = draw.whole(1, 3), draw.whole(1, 3)
    arguments = _chain(draw, K) | {
        "probabilities": draw.probabilities(K, symbols),
        "y": torch.randint(0, symbols, (batch, steps), generator=draw.generator),
        "mask": draw.mask(batch, steps),
    }
    return arguments, statespace.CategoricalEmission, symbol_log_probability


def _counts(draw: Draw, batch: int, steps: int) -> tuple[dict, object, object]:
    K, D, size = draw.whole(1, 3), draw.whole(1, 2), draw.choice([1.0, 10.0, 1e6])
    arguments = _chain(draw, K) | {
        "rate": draw.uniform(0.0, size, K, D),
        "y": torch.poisson(draw.uniform(0.0, size, batch, steps, D), generator=draw.generator),
        "mask": draw.mask(batch, steps, D),
    }
    return arguments, statespace.PoissonEmission, counts_log_probability


def _vectors(draw: Draw, batch: int, steps: int) -> tuple[dict, object, object]:
    K, D, size = draw.whole(1, 3), draw.whole(1, 2), draw.scale()
    covariance = torch.stack([draw.covariance(D) + 0.1 * torch.eye(D).double() for _ in range(K)])
    arguments = _chain(draw, K) | {
        "mean": size * draw.normal(K, D),
        "covariance": size**2 * covariance,
        "y": size * draw.normal(batch, steps, D),
        "mask": draw.mask(batch, steps, D),
    }
    return arguments, statespace.GaussianEmission, vector_log_density


def _emission_of(kind, arguments: dict) -> object:
    names = EMISSION_PARAMETERS & arguments.keys()
    return kind(**{name: arguments[name] for name in names})


# The recursions.


def recursions(draw: Draw, drawn) -> Call:
    arguments, kind, emitted = drawn(draw, draw.whole(1, 2), draw.whole(1, 4))

    def function(initial, transition, y, mask, **parameters):
        hmm = statespace.HMM(initial, transition, _emission_of(kind, parameters))
        filtered, smoothed = statespace.hmm_filter(hmm, y, mask), statespace.hmm_smoother(hmm, y, mask)
        return {
            "log-likelihood": statespace.hmm_log_likelihood(hmm, y, mask),
            "smoothed": smoothed.probability,
            "filtered": filtered.probability[:, -1:],
            "best": statespace.viterbi(hmm, y, mask).log_probability,
        }

    oracle = partial(path_sum_complaint, emitted=emitted)
    return Call(function, arguments, oracle, _covariances(arguments), also=EMISSION)


def _covariances(arguments: dict) -> tuple[str, ...]:
    return ("covariance",) if "covariance" in arguments else ()


def slopes(draw: Draw) -> Call:
    """The gradient by all parameters, beside autograd through the sum over all paths."""
    arguments, kind, _ = draw.choice([_symbols, _counts, _vectors])(draw, draw.whole(1, 2), draw.whole(1, 4))

    def differentiate(total, y, mask, arguments):
        with torch.inference_mode(False), torch.enable_grad():
            leaves = {name: part.clone().detach().requires_grad_() for name, part in arguments.items()}
            model = statespace.HMM(leaves["initial"], leaves["transition"], _emission_of(kind, leaves))
            value = total(model, y.clone(), mask.clone()).sum()
            return torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)

    def function(y, mask, **parameters):
        return differentiate(statespace.hmm_log_likelihood, y, mask, parameters)

    def oracle(given, answer):
        given = dict(given)
        right = differentiate(_sum_over_paths, given.pop("y"), given.pop("mask"), given)
        pairs = zip(given, answer, right, strict=True)
        return first_complaint(*(differs(f"slope by {name}", a, b, 1e-8) for name, a, b in pairs))

    return Call(function, arguments, oracle, _covariances(arguments), also=EMISSION)


def _sum_over_paths(hmm, y, mask) -> torch.Tensor:
    emitted = hmm.emission.log_prob(torch.where(mask, y, 0), mask)
    assert emitted.isfinite().all() and (hmm.initial > 0).all() and (hmm.transition > 0).all()
    totals = []
    for path in itertools.product(range(hmm.states), repeat=y.shape[1]):
        entered = hmm.initial[path[0]].log() + sum(
            hmm.transition[before, after].log() for before, after in itertools.pairwise(path)
        )
        totals.append(entered + sum(emitted[:, t, k] for t, k in enumerate(path)))
    return torch.stack(totals).logsumexp(0)


def hmm_as_rnn(draw: Draw) -> Call:
    arguments, kind, emitted = draw.choice([_symbols, _counts, _vectors])(draw, draw.whole(1, 2), 3)

    def function(initial, transition, y, mask, **parameters):
        hmm = statespace.HMM(initial, transition, _emission_of(kind, parameters))
        return {"filtered": statespace.hmm_as_rnn(hmm)(y, mask).detach()[:, -1:]}

    oracle = partial(path_sum_complaint, emitted=emitted)
    return Call(function, arguments, oracle, _covariances(arguments), also=EMISSION)


def simulate_hmm(draw: Draw) -> Call:
    def function(initial, steps, batch):
        emission = statespace.PoissonEmission(torch.tensor([[1.0], [5.0]]).double())
        hmm = statespace.HMM(initial, torch.full((2, 2), 0.5).double(), emission)
        return statespace.simulate_hmm(hmm, steps, batch, torch.Generator().manual_seed(1))

    arguments = {"initial": draw.probabilities(2), "steps": draw.whole(1, 4), "batch": draw.whole(1, 3)}
    return Call(function, arguments, also=("transition", "emission"))


# Fits.


def baum_welch(draw: Draw, function=statespace.baum_welch) -> Call:
    """Three iterations, without a fall, of which the last likelihood is the model's; what is fixed stays."""
    arguments, kind, _ = draw.choice([_symbols, _counts, _vectors])(draw, 2, draw.choice([1, 3, 20]))
    held = draw.choice(["initial", "transition", *sorted(arguments.keys() & EMISSION_PARAMETERS)])
    arguments |= {
        "fixed": arguments[held] if draw.chance(0.5) else torch.ones_like(arguments[held]).bool(),
        "pseudo": draw.choice([0.0, 1.0, 0.5]),
        "tolerance": 1e-6,
        "iterations": 3,
        "lengths": draw.lengths(2, arguments["y"].shape[1]) if draw.chance(0.3) else None,
    }
    floor = {"variance_floor": draw.choice([1e-3, 1e-8])} if "mean" in arguments else {}

    def call(initial, transition, y, mask, fixed, pseudo, lengths, iterations, tolerance, **rest):
        floor = {"variance_floor": rest.pop("variance_floor")} if "variance_floor" in rest else {}
        hmm = statespace.HMM(initial, transition, _emission_of(kind, rest))
        how = {"iterations": iterations, "tolerance": tolerance, "fixed": {held: fixed}} | floor | QUIET
        prior = statespace.HMMPrior(initial=pseudo, transition=pseudo)
        fitted = function(hmm, y, mask, lengths=lengths, prior=prior, **how)
        reached = statespace.hmm_log_likelihood(fitted.model, y, mask, lengths)
        after = getattr(fitted.model, held, None)
        after = getattr(fitted.model.emission, held) if after is None else after
        return torch.tensor(fitted.log_likelihoods), reached, after

    def oracle(given, answer):
        climb, reached, after = answer
        falls = (climb.diff() < 0).any() or not reached.isfinite().all()
        complaint = "the log-likelihood fell" if falls else None
        if not given["pseudo"]:
            allowed = np.asarray(1e-6 * (1 + abs(float(climb[-1]))))
            complaint = complaint or differs("likelihood", reached.sum(), climb[-1], allowed)
        fixed = given["fixed"]
        if not fixed.is_floating_point():
            kept = torch.where(fixed, given[held], after) if fixed.shape == after.shape else after
        else:
            kept = fixed
        return complaint or differs("what is fixed", after, kept, 1e-15)

    also = (*EMISSION, "initial", "transition", "prior", "hmm")
    return Call(call, arguments | floor, oracle, _covariances(arguments), also=also)


def fit_hmm(draw: Draw) -> Call:
    return baum_welch(draw, statespace.fit)


BUILDERS = {
    "HMM CategoricalEmission hmm_filter hmm_smoother hmm_log_likelihood viterbi": partial(
        recursions, drawn=_symbols
    ),
    "HMM PoissonEmission hmm_filter hmm_smoother hmm_log_likelihood viterbi": partial(
        recursions, drawn=_counts
    ),
    "HMM GaussianEmission hmm_filter hmm_smoother hmm_log_likelihood viterbi": partial(
        recursions, drawn=_vectors
    ),
    "hmm_log_likelihood gradient": slopes,
    "hmm_as_rnn HMMAsRNN": hmm_as_rnn,
    "simulate_hmm PoissonEmission": simulate_hmm,
    "baum_welch GaussianEmission": baum_welch,
    "fit HMM": fit_hmm,
}
