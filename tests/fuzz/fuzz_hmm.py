"""Hidden Markov models: one way to call each function, and the right answer where it is known."""

import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    path_sum_complaint,
)

from helpers import (
    statespace,
)


def _hmm(draw: Draw) -> dict:
    K, symbols = draw.whole(1, 3), draw.whole(1, 3)
    batch, steps = draw.whole(1, 2), draw.whole(1, 4)
    return {
        "initial": draw.probabilities(K),
        "transition": draw.probabilities(K, K),
        "probabilities": draw.probabilities(K, symbols),
        "y": torch.randint(0, symbols, (batch, steps), generator=draw.generator),
        "mask": draw.mask(batch, steps),
    }


def _hmm_call(draw: Draw, function, oracle=path_sum_complaint) -> Call:
    def with_probabilities(initial, transition, probabilities, y, mask):
        hmm = statespace.HMM(initial, transition, statespace.CategoricalEmission(probabilities))
        return function(hmm, y, mask)

    return Call(with_probabilities, _hmm(draw), oracle, also=("emission",))


def hmm_recursions(draw: Draw) -> Call:
    def function(hmm, y, mask):
        filtered, smoothed = statespace.hmm_filter(hmm, y, mask), statespace.hmm_smoother(hmm, y, mask)
        return {
            "log-likelihood": statespace.hmm_log_likelihood(hmm, y, mask),
            "smoothed": smoothed.probability,
            "filtered": filtered.probability[:, -1:],
            "best": statespace.viterbi(hmm, y, mask).log_probability,
        }

    return _hmm_call(draw, function)


def hmm_as_rnn(draw: Draw) -> Call:
    return _hmm_call(draw, lambda hmm, y, mask: statespace.hmm_as_rnn(hmm)(y, mask).detach(), None)


def simulate_hmm(draw: Draw) -> Call:
    def function(initial, steps, batch):
        emission = statespace.PoissonEmission(torch.tensor([[1.0], [5.0]]).double())
        hmm = statespace.HMM(initial, torch.full((2, 2), 0.5).double(), emission)
        return statespace.simulate_hmm(hmm, steps, batch, torch.Generator().manual_seed(1))

    return Call(
        function, {"initial": draw.probabilities(2), "steps": draw.whole(1, 4), "batch": draw.whole(1, 3)}
    )


def gaussian_hmm(draw: Draw) -> Call:
    K, D = draw.whole(1, 2), draw.whole(1, 2)
    covariance = torch.stack([draw.covariance(D) + 0.1 * torch.eye(D).double() for _ in range(K)])

    def function(mean, covariance, y, mask, iterations, tolerance):
        K = len(mean)
        emission = statespace.GaussianEmission(mean, covariance)
        transition = torch.full((K, K), 1 / K).double()
        hmm = statespace.HMM(transition[0], transition, emission)
        how = {"iterations": iterations, "tolerance": tolerance, "progress": False}
        fitted = statespace.baum_welch(hmm, y, mask, **how)
        return statespace.hmm_log_likelihood(hmm, y, mask), torch.tensor(fitted.log_likelihoods)

    def oracle(given, answer):
        falls = (answer[1].diff() < -1e-6 * (1 + answer[1][:-1].abs())).any()
        return "the log-likelihood fell" if falls else None

    arguments = {"mean": draw.normal(K, D), "covariance": covariance, "y": draw.normal(2, 20, D)}
    arguments |= {"mask": draw.mask(2, 20, D), "iterations": 2, "tolerance": 1e-6}
    return Call(
        function, arguments, oracle, ("covariance",), also=("emission", "state", "initial", "transition")
    )


BUILDERS = {
    "HMM CategoricalEmission hmm_filter hmm_smoother hmm_log_likelihood viterbi": hmm_recursions,
    "hmm_as_rnn HMMAsRNN": hmm_as_rnn,
    "simulate_hmm PoissonEmission": simulate_hmm,
    "baum_welch GaussianEmission": gaussian_hmm,
}
