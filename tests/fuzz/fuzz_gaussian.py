"""Linear-Gaussian models: one way to call each function, and the right answer where it is known."""

from dataclasses import replace

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    coordinates_complaint,
    differs,
    discretise_complaint,
    gain_complaint,
    gaussian_answers,
    kalman_complaint,
    stationary_complaint,
    steady_state_complaint,
    step_complaint,
)

from helpers import (
    statespace,
)

COVARIANCES = ("transition_covariance", "observation_covariance", "initial_covariance")


def _model(draw: Draw, most_states: int = 2) -> dict:
    H, D = draw.whole(1, most_states), draw.whole(1, 2)
    model = {
        "transition": 0.6 * draw.normal(H, H),
        "observation": draw.normal(D, H),
        "transition_covariance": draw.covariance(H),
        "observation_covariance": draw.covariance(D)
        + draw.choice([0.0, 1e-6, 1.0, 1.0]) * torch.eye(D).double(),
        "initial_mean": draw.normal(H),
        "initial_covariance": draw.covariance(H),
    }
    structure = draw.choice(["none", "none", "none", "autoregressive", "compartments"])
    if structure == "autoregressive":  # seen without noise
        model["transition"] = torch.diag_embed(torch.ones(H - 1).double(), 1) + 0.3 * torch.eye(H).double()
        model["transition_covariance"] = torch.eye(H, 1).double() @ torch.eye(1, H).double()
        model["observation_covariance"] = 0.0 * model["observation_covariance"]
    if structure == "compartments":  # of which only the first receives noise
        share = draw.uniform(0.1, 0.5)
        flows = torch.diag_embed(torch.full((H - 1,), share).double(), -1)
        model["transition"] = flows + (1 - share) * torch.eye(H).double()
        first = draw.scale() * torch.eye(H, 1).double()
        model["transition_covariance"] = first @ first.T
    return model


def _observations(draw: Draw, model: dict) -> dict:
    batch, steps = draw.whole(1, 2), draw.whole(1, 4)
    D = len(model["observation"])
    size = model["initial_covariance"].abs().max().sqrt() + model["transition_covariance"].abs().max().sqrt()
    return {"y": (1 + size) * draw.normal(batch, steps, D), "mask": draw.mask(batch, steps, D)}


def _gaussian_call(draw: Draw, function, oracle=kalman_complaint) -> Call:
    """A function of (model, y, mask), called with the model's matrices."""
    matrices = _model(draw)

    def with_matrices(y, mask, **given):
        return function(statespace.LinearGaussian(**given), y, mask)

    return Call(
        with_matrices,
        {**matrices, **_observations(draw, matrices)},
        oracle,
        COVARIANCES,
        ("innovation covariance", "parallel"),
    )


def kalman_filter(draw: Draw) -> Call:
    how = draw.choice([{}, {"parallel": True}, {"plain": True}])

    def function(model, y, mask):
        filtered = statespace.kalman_filter(model, y, mask, **how)
        log_likelihood = filtered.step_log_likelihood.sum(-1)
        last = {"mean": filtered.mean[:, -1:], "covariance": filtered.covariance[:, -1:]}
        return {"log-likelihood": log_likelihood, **last}

    return _gaussian_call(draw, function)


def rts_smoother(draw: Draw) -> Call:
    parallel = draw.chance(0.5)

    def function(model, y, mask):
        smoothed = statespace.rts_smoother(model, statespace.kalman_filter(model, y, mask), parallel=parallel)
        return {"mean": smoothed.mean, "covariance": smoothed.covariance}

    return _gaussian_call(draw, function)


def log_likelihood(draw: Draw) -> Call:
    return _gaussian_call(draw, lambda *given: {"log-likelihood": statespace.log_likelihood(*given)})


def sample_posterior(draw: Draw) -> Call:
    def function(model, y, mask):
        generator = torch.Generator().manual_seed(1)
        return statespace.sample_posterior(model, y, mask, count=2, generator=generator)

    return replace(_gaussian_call(draw, function, draws_complaint), random=True)


def draws_complaint(given: dict, answer) -> str | None:
    """Of two paths of each series, (2, B, T, H): what lies 8 standard deviations off is no draw."""
    for series, (right, doubt) in enumerate(gaussian_answers(given, ("mean", "covariance"))):
        variance = np.diagonal(right["covariance"], axis1=-2, axis2=-1)
        deviation = np.sqrt(np.maximum(variance, 0.0))  # of 0, the oracle leaves -1e-60
        smallest = 1e-150  # deviation, of which a variance can be written
        allowed = 8 * deviation + 2 * doubt["mean"] + 1e-7 * right["before"] + smallest
        for path in answer[:, series]:
            if complaint := differs(f"a path of series {series}", path, right["mean"], allowed):
                return complaint
    return None


def simulate(draw: Draw) -> Call:
    matrices = _model(draw)

    def function(steps, batch, **given):
        generator = torch.Generator().manual_seed(1)
        return statespace.simulate(statespace.LinearGaussian(**given), steps, batch, generator=generator)

    def oracle(given, answer):
        """Means move by A; with four times the noise, deviations are twice as large."""
        matrices = {name: value.double() for name, value in given.items() if isinstance(value, torch.Tensor)}
        mean, path = matrices["initial_mean"], []
        for _ in range(given["steps"]):
            path.append(mean)
            mean = matrices["transition"] @ mean
        louder = {name: 4 * matrices[name] for name in COVARIANCES}
        other = function(given["steps"], given["batch"], **{**matrices, **louder})
        mean = {"states": torch.stack(path)}
        mean["observations"] = mean["states"] @ matrices["observation"].T
        for name, centre in mean.items():
            found, doubled = getattr(answer, name) - centre, getattr(other, name) - centre
            size = centre.abs() + doubled.abs().amax((0, 1)) + found.abs()
            if complaint := differs(name, 2 * found, doubled, 1e-9 * size.numpy() + 1e-300):
                return complaint
        return None

    counts = {"steps": draw.whole(1, 4), "batch": draw.whole(1, 3)}
    return Call(function, {**matrices, **counts}, oracle, COVARIANCES, random=True)


def fit_gaussian(draw: Draw) -> Call:
    matrices = _model(draw)
    matrices["observation_covariance"] = torch.eye(len(matrices["observation"])).double()

    def function(y, mask, iterations, tolerance, method, **given):
        model = statespace.LinearGaussian(**given)
        how = {"method": method, "iterations": iterations, "tolerance": tolerance, "progress": False}
        return torch.tensor(statespace.fit(model, y, mask, **how).log_likelihoods)

    def oracle(given, answer):
        falls = (answer.diff() < -1e-6 * (1 + answer[:-1].abs())).any()
        return "the log-likelihood fell" if falls and given["method"] == "em" else None

    how = {"iterations": draw.whole(1, 4), "tolerance": 1e-6, "method": draw.choice(["em", "gradient"])}
    arguments = {**matrices, **_observations(draw, matrices), **how}
    return Call(
        function, arguments, oracle, COVARIANCES, also=("learn", "innovation covariance", "log-likelihood")
    )


def maximise_likelihood(draw: Draw) -> Call:
    one = torch.ones(1, 1).double()

    def function(start, y, mask, iterations, tolerance):
        def build(parameters):
            return statespace.LinearGaussian(
                0.5 * one, one, parameters["start"].exp().reshape(1, 1), one, one[0], one
            )

        how = {"iterations": iterations, "tolerance": tolerance, "progress": False}
        fitted = statespace.maximise_likelihood(build, {"start": start}, y, mask, **how)
        return torch.tensor(fitted.log_likelihoods)

    arguments = {"start": draw.normal(1), "y": draw.normal(2, 4, 1), "mask": draw.mask(2, 4, 1)}
    return Call(
        function, {**arguments, "iterations": 2, "tolerance": 1e-6}, also=("build", "innovation covariance")
    )


def predict_and_update(draw: Draw) -> Call:
    model, H = _model(draw), 0
    H, D = len(model["transition"]), len(model["observation"])
    model["observation_covariance"] = model["observation_covariance"] + torch.eye(D).double()

    def function(mean, covariance, A, Q, y, C, R):
        mean, covariance = statespace.predict(mean, covariance, A, Q)
        return statespace.update(mean, covariance, y, C, R)[:2]

    arguments = {
        "mean": draw.normal(H),
        "covariance": model["initial_covariance"],
        "A": model["transition"],
        "Q": model["transition_covariance"],
        "y": draw.normal(D),
        "C": model["observation"],
        "R": model["observation_covariance"],
    }
    also = ("innovation covariance",)
    return Call(function, arguments, step_complaint, ("covariance", "Q", "R"), also)


def discretise(draw: Draw) -> Call:
    H = draw.whole(1, 2)
    rates = -draw.choice([1.0, 1e-6, 1e6, 1e30]) * draw.uniform(0.1, 2.0, H)
    gaps = draw.choice([1.0, 1e-6, 1e6, 1e30]) * draw.uniform(0.1, 2.0, 3)
    arguments = {"F": rates.diag(), "L": draw.normal(H, 1), "spectral_density": draw.covariance(1)}

    def function(F, L, spectral_density, deltas):
        return statespace.discretise(F, L, spectral_density, deltas)[:2]

    arguments["deltas"] = gaps
    return Call(function, arguments, discretise_complaint, ("spectral_density",), unread=("deltas",))


def impulse_response(draw: Draw) -> Call:
    def oracle(given, answer):
        A, B = given["A"].numpy(), given["B"].numpy()
        assert A.ndim == B.ndim == 2
        return differs(
            "response", answer, [np.linalg.matrix_power(A, k) @ B for k in range(len(answer))], 1e-12
        )

    arguments = {"A": 0.5 * draw.normal(2, 2), "B": draw.normal(2, 1), "horizon": draw.whole(0, 6)}
    return Call(statespace.impulse_response, arguments, oracle)


def spectral_radius(draw: Draw) -> Call:
    def oracle(given, answer):
        return differs("radius", answer, np.abs(np.linalg.eigvals(given["A"].double().numpy())).max(-1), 1e-8)

    return Call(statespace.spectral_radius, {"A": draw.scale() * draw.normal(3, 3)}, oracle)


def stationary_covariance(draw: Draw) -> Call:
    A = draw.normal(2, 2)
    A = draw.choice([0.1, 0.9, 0.999]) * A / np.abs(np.linalg.eigvals(A.numpy())).max()
    arguments = {"A": A, "Q": draw.covariance(2)}
    return Call(statespace.stationary_covariance, arguments, stationary_complaint, ("Q",))


def steady_state_covariance(draw: Draw) -> Call:
    arguments = {"A": 0.4 * draw.normal(2, 2), "C": draw.normal(1, 2), "Q": draw.covariance(2)}
    arguments["R"] = torch.ones(1, 1).double()
    return Call(statespace.steady_state_covariance, arguments, steady_state_complaint, ("Q", "R"))


def covariance_coordinates(draw: Draw) -> Call:
    def function(covariance):
        return statespace.covariance_from_unconstrained(statespace.unconstrained_from_covariance(covariance))

    factor = draw.normal(2, 4)
    arguments = {"covariance": draw.scale() * factor @ factor.mT}
    return Call(
        function,
        arguments,
        lambda given, answer: differs("covariance", answer, given["covariance"], 1e-10),
        ("covariance",),
    )


def from_unconstrained(draw: Draw) -> Call:
    function, arguments = statespace.covariance_from_unconstrained, {"unconstrained": draw.normal(3)}
    return Call(function, arguments, coordinates_complaint)


def varma(draw: Draw) -> Call:
    def function(autoregressive, moving_average, noise_covariance):
        model = statespace.varma_to_state_space(autoregressive, moving_average, noise_covariance)
        return model.transition, model.transition_covariance, model.initial_covariance

    def oracle(given, answer):
        return stationary_complaint({"A": answer[0], "Q": answer[1]}, answer[2])

    arguments = {"autoregressive": 0.2 * draw.normal(2, 1, 1), "moving_average": 0.3 * draw.normal(1, 1, 1)}
    noise = {"noise_covariance": torch.ones(1, 1).double()}
    return Call(function, {**arguments, **noise}, oracle, ("noise_covariance",), also=("stationary",))


def kalman_as_rnn(draw: Draw) -> Call:
    matrices = _model(draw)
    matrices["observation_covariance"] = torch.eye(len(matrices["observation"])).double()
    x = draw.normal(2, 3, len(matrices["observation"]))

    def function(x, **given):
        model = statespace.LinearGaussian(**given)
        driven = statespace.state_space_to_linear_rnn(model)
        return statespace.kalman_as_rnn(model)(x).detach(), driven.W_hh  # torch copies no graph

    def oracle(given, answer):
        return gain_complaint(given, answer[0])

    also = ("innovation covariance", "A, C, Q and R")
    return Call(function, {**matrices, "x": x}, oracle, COVARIANCES, also)


BUILDERS = {
    "kalman_filter LinearGaussian": kalman_filter,
    "rts_smoother": rts_smoother,
    "log_likelihood": log_likelihood,
    "sample_posterior": sample_posterior,
    "simulate": simulate,
    "fit LinearGaussian": fit_gaussian,
    "maximise_likelihood": maximise_likelihood,
    "predict update": predict_and_update,
    "discretise": discretise,
    "impulse_response": impulse_response,
    "spectral_radius": spectral_radius,
    "stationary_covariance": stationary_covariance,
    "steady_state_covariance": steady_state_covariance,
    "unconstrained_from_covariance": covariance_coordinates,
    "covariance_from_unconstrained": from_unconstrained,
    "varma_to_state_space": varma,
    "kalman_as_rnn state_space_to_linear_rnn LinearRNN": kalman_as_rnn,
}
