"""One way to call each public function: arguments at random, the right answer where it is known."""

import itertools
import math

import mpmath
import numpy as np
import scipy.linalg
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    censored_log_density,
    differs,
    discretise_complaint,
    dop853_complaint,
    entries_complaint,
    first_complaint,
    gaussian_log_density,
    jacobian_complaint,
    kalman_complaint,
    negative_binomial_log_probability,
    path_sum_complaint,
    poisson_log_probability,
)
from torch import nn

from helpers import (
    data,
    dynamics,
    fields,
    observation,
    odes,
    recurrent,
    series,
    statespace,
    systems,
    training,
)

COVARIANCES = ("transition_covariance", "observation_covariance", "initial_covariance")

# Series.


def irregular_batch(draw: Draw) -> Call:
    batch, steps, features = draw.whole(0, 3), draw.whole(0, 4), draw.whole(1, 3)
    lengths = draw.lengths(batch, steps)
    valid = torch.arange(steps) < lengths.unsqueeze(-1)
    mask = draw.mask(batch, steps, features) & valid.unsqueeze(-1)
    values = torch.where(mask, draw.scale() * draw.normal(batch, steps, features), torch.nan)
    arguments = {"times": draw.times(batch, steps), "values": values, "mask": mask, "lengths": lengths}
    mean, step = draw.normal(features), draw.uniform(0.1, 2.0)

    def function(times, values, mask, lengths, mean, step):
        batch = series.IrregularBatch(times, values, mask, lengths)
        grid = batch.to_grid(step)
        return (
            batch.deltas(),
            batch.last_observed(mean),
            grid.values[grid.mask],
            series.collate([batch, batch]).mask,
        )

    def oracle(given, answer):
        times, values = given["times"], given["values"]
        deltas, last = torch.zeros_like(values), torch.zeros_like(values)
        for b, d in itertools.product(range(len(times)), range(values.shape[2])):
            seen, latest = given["mean"][d], times[b, :1]
            for k in range(times.shape[1]):
                deltas[b, k, d] = (times[b, k] - latest[0]) if k < given["lengths"][b] else 0.0
                if given["mask"][b, k, d]:
                    seen, latest = values[b, k, d], times[b, k : k + 1]
                last[b, k, d] = seen
        return first_complaint(
            differs("deltas", answer[0], deltas), differs("last_observed", answer[1], last)
        )

    return Call(function, {**arguments, "mean": mean, "step": step}, oracle)


def one_series(draw: Draw) -> Call:
    steps, features = draw.whole(0, 4), draw.whole(1, 3)
    arguments = {
        "times": draw.times(steps),
        "values": draw.normal(steps, features),
        "mask": draw.mask(steps, features),
    }

    def function(times, values, mask):
        return series.one_series(times, values, mask).values

    return Call(function, arguments, lambda given, answer: differs("values", answer[0], given["values"]))


def collate(draw: Draw) -> Call:
    one = series.one_series(draw.times(2), draw.normal(2, 2))
    two = series.one_series(draw.times(3), draw.normal(3, 2))
    return Call(
        lambda series_: series.collate(series_),
        {"series_": [one, two]},
        lambda given, answer: differs("values", answer.values[1:], two.values),
        also=("series",),
    )


def standardiser(draw: Draw) -> Call:
    batch, steps, features = draw.whole(1, 3), draw.whole(2, 5), draw.whole(1, 3)
    values = draw.scale() * (draw.normal(batch, steps, features) + draw.choice([0.0, 100.0]))

    def function(times, values, mask):
        lengths = torch.full((len(times),), times.shape[1])
        train = series.IrregularBatch(times, values, mask, lengths)
        scale = series.Standardiser.fit(train)
        return scale.transform(train).values, scale.inverse(scale.transform(train)).values

    def oracle(given, answer):
        values, mask = given["values"], given["mask"]
        assert values.dtype == torch.float64
        seen = [values[..., d][mask[..., d]].numpy() for d in range(values.shape[-1])]
        mean, deviation = (torch.tensor([f(x) for x in seen]).double() for f in (np.mean, np.std))
        expected = torch.where(mask, (values - mean) / deviation, 0.0)
        again = torch.where(mask, values, mean)
        return first_complaint(
            differs("transformed", answer[0], expected, 1e-8), differs("restored", answer[1], again, 1e-12)
        )

    arguments = {
        "times": draw.times(batch, steps),
        "values": values,
        "mask": draw.mask(batch, steps, features),
    }
    return Call(function, arguments, oracle, also=("train", "feature"))


# Data.


def missing_at_random(draw: Draw) -> Call:
    values, driver = draw.normal(2, 3, 2), draw.normal(2, 3, 2)
    seed = draw.whole(0, 99)

    def function(values, driver, rate, midpoint, slope, limit, threshold, hazard):
        generator = torch.Generator().manual_seed(seed)
        logistic, instrument = data.Logistic(midpoint, slope), data.DetectionLimit(limit)
        drop_out = data.DropOut(threshold, slope, hazard)
        return (
            data.mcar(values, rate, generator=generator).probability,
            data.mar(values, driver, logistic, generator=generator).probability,
            data.mnar(values, instrument, generator=generator).hidden_as_nan().isnan(),
            data.mnar(values, drop_out, generator=generator).probability,
        )

    def oracle(given, answer):
        exponent = -given["slope"] * (given["driver"] - given["midpoint"])
        expected = 1 / (1 + exponent.clamp(max=700).exp())
        hidden = given["values"] < given["limit"]
        return first_complaint(
            differs("mar's probability", answer[1], expected.expand_as(answer[1]), 1e-12),
            differs("mnar's hidden", answer[2], hidden),
        )

    arguments = {"values": values, "driver": driver, "rate": draw.uniform(), "midpoint": 0.1, "slope": 2.0}
    arguments |= {"limit": 0.3, "threshold": 0.5, "hazard": draw.uniform()}
    return Call(function, arguments, oracle)


def visit_times(draw: Draw) -> Call:
    seed = draw.whole(0, 99)

    def function(horizon, intensity, batch):
        generator = torch.Generator().manual_seed(seed)
        return data.visit_times(horizon, intensity, batch=batch, generator=generator).times

    return Call(function, {"horizon": draw.uniform(0.1, 5), "intensity": draw.uniform(0.1, 3), "batch": 2})


# Noise models.


def _noise(draw: Draw) -> dict:
    dtype = draw.choice([torch.float64, torch.float64, torch.float32])
    scale = draw.choice([1.0, 1e-20, 1e-6, 1e6, 1e20])
    return {"mean": (scale * draw.uniform(0.1, 2.0, 3)).to(dtype)}


def _entries(what: str, function, names: tuple[str, ...]):
    def oracle(given, answer):
        tolerance = 1e-9 if given["mean"].dtype == torch.float64 else 2e-4
        return entries_complaint(
            what, answer, function, *(given[name] for name in names), tolerance=tolerance
        )

    return oracle


def gaussian(draw: Draw) -> Call:
    mean = _noise(draw)["mean"]
    deviation = (mean.double().abs().amax() * draw.uniform(0.5, 2.0, 3)).to(mean.dtype)
    value = (mean.double() + deviation.double() * (1.5 + draw.uniform(0, 1, 3))).to(mean.dtype)

    def function(mean, standard_deviation, value):
        return observation.Gaussian(mean, standard_deviation).log_prob(value)

    names = ("value", "mean", "standard_deviation")
    oracle = _entries("log_prob", gaussian_log_density, names)
    return Call(function, {"mean": mean, "standard_deviation": deviation, "value": value}, oracle)


def heteroscedastic_gaussian(draw: Draw) -> Call:
    def function(mean, log_variance, value):
        return observation.HeteroscedasticGaussian(mean, log_variance).log_prob(value)

    return Call(function, {"mean": draw.normal(3), "log_variance": draw.normal(3), "value": draw.normal(3)})


def censored_gaussian(draw: Draw) -> Call:
    mean, limit = draw.normal(3), draw.normal(3) + draw.choice([0.0, 5.0, -30.0, 30.0])
    arguments = {"mean": mean, "standard_deviation": draw.uniform(0.1, 1.0, 3), "limit": limit}
    arguments["value"] = torch.maximum(mean + draw.normal(3), limit)

    def function(mean, standard_deviation, limit, value):
        return observation.CensoredGaussian(mean, standard_deviation, limit).log_prob(value)

    names = ("value", "mean", "standard_deviation", "limit")
    return Call(function, arguments, _entries("log_prob", censored_log_density, names))


def _counts(build, law, slope, names):
    """Log probability and its derivative by the mean."""

    def function(**given):
        value = given.pop("value")
        log_prob = build(**given).log_prob(value)
        with torch.inference_mode(False), torch.enable_grad():
            value, given = value.clone(), {name: tensor.clone() for name, tensor in given.items()}
            given["mean"] = given["mean"].detach().requires_grad_()
            slope = torch.autograd.grad(build(**given).log_prob(value).sum(), given["mean"])
        return log_prob.detach(), slope[0]

    def oracle(given, answer):
        arrays = [given[name] for name in names]
        values = _entries("log_prob", law, names)(given, answer[0])
        if answer[1].shape != answer[0].shape:
            return values
        single = given["mean"].dtype == torch.float32
        tolerance = {"tolerance": 1e-3 if single else 1e-8}
        return first_complaint(values, entries_complaint("slope", answer[1], slope, *arrays, **tolerance))

    return function, oracle


def poisson(draw: Draw) -> Call:
    arguments = _noise(draw)
    arguments["value"] = torch.tensor(draw.choice([[0, 0, 0], [0, 1, 7], [1, 1000, 3]])).to(arguments["mean"])
    names = ("value", "mean")
    function, oracle = _counts(observation.Poisson, poisson_log_probability, lambda k, m: k / m - 1, names)
    return Call(function, arguments, oracle)


def negative_binomial(draw: Draw) -> Call:
    arguments = _noise(draw)
    like = arguments["mean"]
    arguments["dispersion"] = (draw.choice([1.0, 1e-12, 0.0, 1e6]) * draw.uniform(0.1, 2.0, 3)).to(like)
    arguments["value"] = torch.tensor(draw.choice([[0, 0, 0], [0, 1, 7], [1, 1000, 3]])).to(like)
    names = ("value", "mean", "dispersion")

    def slope(k, mean, dispersion):
        with mpmath.workdps(400):  # what is left of two sides that nearly cancel
            return (k - mean) / mean / (1 + dispersion * mean)

    law = negative_binomial_log_probability
    function, oracle = _counts(observation.NegativeBinomial, law, slope, names)
    return Call(function, arguments, oracle)


def count_tails(draw: Draw) -> Call:
    def function(mean, dispersion, value, probability, level):
        poisson, binomial = observation.Poisson(mean), observation.NegativeBinomial(mean, dispersion)
        inside = poisson.interval(level).contains(value)
        return poisson.cdf(value), binomial.cdf(value), poisson.quantile(probability), inside

    arguments = {"mean": draw.uniform(0.5, 20, 3), "dispersion": draw.uniform(0.1, 1, 3)}
    value = torch.tensor([0.0, 3.0, 9.0]).double()
    return Call(function, {**arguments, "value": value, "probability": draw.uniform(0.1, 0.9), "level": 0.9})


def fit_censored_gaussian(draw: Draw) -> Call:
    arguments = {"detected": 1 + draw.uniform(0.0, 3.0, 12), "below": draw.whole(0, 4), "limit": 1.0}

    def function(**given):
        fitted = observation.fit_censored_gaussian(**given)
        return fitted.mean, fitted.standard_error

    return Call(function, arguments)


# Known systems.


def _system(build, names: tuple[str, ...], variables: int):
    def builder(draw: Draw) -> Call:
        parameters = {name: draw.uniform(0.5, 3.0) for name in names}

        def function(t, y, **given):
            system = build(**given)
            return system(t, y), system.jacobian(t, y)

        def oracle(given, answer):
            given = dict(given)
            t, y = given.pop("t"), given.pop("y")
            return jacobian_complaint(build(**given), t, y, answer[1])

        return Call(function, {"t": 0.0, "y": draw.uniform(0.1, 2.0, 2, variables), **parameters}, oracle)

    return builder


def critical_alpha(draw: Draw) -> Call:
    return Call(systems.critical_alpha, {"n": draw.uniform(1.5, 4.0)}, also=("ToggleSwitch",))


def one_compartment_solution(draw: Draw) -> Call:
    def function(t, y0, absorption_rate, elimination_rate, volume):
        rates = {"absorption_rate": absorption_rate, "elimination_rate": elimination_rate}
        return systems.OneCompartment(**rates, volume=volume).solution(t, y0)

    def oracle(given, answer):
        a, e = given["absorption_rate"], given["elimination_rate"]
        F = mpmath.matrix([[-a, 0.0], [a, -e]])  # SciPy's expm loses digits where a and e nearly meet
        y0, t = given["y0"].numpy(), given["t"].numpy()
        exact = [[mpmath.expm(F * float(time)) * mpmath.matrix(start.tolist()) for time in t] for start in y0]
        right = [[[float(amount) for amount in amounts] for amounts in row] for row in exact]
        return differs("solution", answer, right, 1e-9)

    rate = draw.uniform(0.1, 3.0)
    other = draw.choice([rate, rate * (1 + 1e-12), 2 * rate])
    arguments = {"t": draw.times(3), "y0": draw.uniform(0, 2, 2, 2), "absorption_rate": rate}
    return Call(function, {**arguments, "elimination_rate": other, "volume": 2.0}, oracle)


def mass_action(draw: Draw) -> Call:
    def function(reactions, constants, y):
        return systems.MassAction(reactions, constants)(0.0, y)

    def oracle(given, answer):
        a, b = given["y"].unbind(-1)
        k, m = given["constants"]
        return differs("slope", answer, torch.stack([-2 * k * a**2 + m * b, k * a**2 - m * b], -1), 1e-12)

    constants = [draw.uniform(0.1, 2.0), draw.uniform(0.1, 2.0)]
    return Call(
        function,
        {"reactions": ["2 A -> B", "B -> A"], "constants": constants, "y": draw.uniform(0, 2, 3, 2)},
        oracle,
    )


# Linear-Gaussian models.


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
    if draw.chance(0.2):  # an autoregressive process, seen without noise
        model["transition"] = torch.diag_embed(torch.ones(H - 1).double(), 1) + 0.3 * torch.eye(H).double()
        model["transition_covariance"] = torch.eye(H, 1).double() @ torch.eye(1, H).double()
        model["observation_covariance"] = 0.0 * model["observation_covariance"]
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
        ("innovation covariance",),
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

    return _gaussian_call(draw, function, None)


def simulate(draw: Draw) -> Call:
    matrices = _model(draw)

    def function(steps, batch, **given):
        generator = torch.Generator().manual_seed(1)
        return statespace.simulate(statespace.LinearGaussian(**given), steps, batch, generator=generator)

    return Call(
        function, {**matrices, "steps": draw.whole(1, 4), "batch": draw.whole(1, 3)}, None, COVARIANCES
    )


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
    return Call(function, arguments, oracle, COVARIANCES, also=("learn",))


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
    return Call(function, {**arguments, "iterations": 2, "tolerance": 1e-6}, also=("build",))


def predict_and_update(draw: Draw) -> Call:
    model, H = _model(draw), 0
    H, D = len(model["transition"]), len(model["observation"])
    model["observation_covariance"] = model["observation_covariance"] + torch.eye(D).double()

    def function(mean, covariance, A, Q, y, C, R):
        mean, covariance = statespace.predict(mean, covariance, A, Q)
        return statespace.update(mean, covariance, y, C, R)[:2]

    def oracle(given, answer):
        m, P, A, Q, y, C, R = (given[name].double().numpy() for name in arguments)
        m, P = A @ m, A @ P @ A.T + Q
        S = C @ P @ C.T + R
        assert np.linalg.cond(S) < 1e6 and y.ndim == 1 and R.ndim == P.ndim == 2
        K = np.linalg.solve(S, C @ P).T
        return differs("mean", answer[0], m + K @ (y - C @ m), 1e-8)

    arguments = {
        "mean": draw.normal(H),
        "covariance": model["initial_covariance"],
        "A": model["transition"],
        "Q": model["transition_covariance"],
        "y": draw.normal(D),
        "C": model["observation"],
        "R": model["observation_covariance"],
    }
    return Call(function, arguments, oracle, ("covariance", "Q", "R"))


def discretise(draw: Draw) -> Call:
    H = draw.whole(1, 2)
    rates = -draw.choice([1.0, 1e-6, 1e6, 1e30]) * draw.uniform(0.1, 2.0, H)
    gaps = draw.choice([1.0, 1e-6, 1e6, 1e30]) * draw.uniform(0.1, 2.0, 3)
    arguments = {"F": rates.diag(), "L": draw.normal(H, 1), "spectral_density": draw.covariance(1)}

    def function(F, L, spectral_density, deltas):
        return statespace.discretise(F, L, spectral_density, deltas)[:2]

    return Call(function, {**arguments, "deltas": gaps}, discretise_complaint, ("spectral_density",))


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
    def oracle(given, answer):
        A, Q = (given[name].double().numpy() for name in ("A", "Q"))
        return differs("covariance", answer, scipy.linalg.solve_discrete_lyapunov(A, Q), 1e-7)

    A = draw.normal(2, 2)
    A = draw.choice([0.1, 0.9, 0.999]) * A / np.abs(np.linalg.eigvals(A.numpy())).max()
    return Call(statespace.stationary_covariance, {"A": A, "Q": draw.covariance(2)}, oracle, ("Q",))


def steady_state_covariance(draw: Draw) -> Call:
    def oracle(given, answer):
        A, C, Q, R = (given[name].double().numpy() for name in ("A", "C", "Q", "R"))
        assert np.linalg.cond(R) < 1e6
        right = scipy.linalg.solve_discrete_are(A.T, C.T, Q, R)
        return differs("covariance", answer, right, np.asarray(1e-6 * (np.abs(right).max() + 1e-6)))

    arguments = {"A": 0.4 * draw.normal(2, 2), "C": draw.normal(1, 2), "Q": draw.covariance(2)}
    return Call(
        statespace.steady_state_covariance, {**arguments, "R": torch.ones(1, 1).double()}, oracle, ("Q", "R")
    )


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
    return Call(statespace.covariance_from_unconstrained, {"unconstrained": draw.normal(3)})


def varma(draw: Draw) -> Call:
    def function(autoregressive, moving_average, noise_covariance):
        model = statespace.varma_to_state_space(autoregressive, moving_average, noise_covariance)
        return model.transition, model.initial_covariance

    arguments = {"autoregressive": 0.2 * draw.normal(2, 1, 1), "moving_average": 0.3 * draw.normal(1, 1, 1)}
    noise = {"noise_covariance": torch.ones(1, 1).double()}
    return Call(function, {**arguments, **noise}, None, ("noise_covariance",), also=("stationary",))


def kalman_as_rnn(draw: Draw) -> Call:
    matrices = _model(draw)
    matrices["observation_covariance"] = torch.eye(len(matrices["observation"])).double()
    x = draw.normal(2, 3, len(matrices["observation"]))

    def function(x, **given):
        model = statespace.LinearGaussian(**given)
        driven = statespace.state_space_to_linear_rnn(model)
        return statespace.kalman_as_rnn(model)(x), driven.W_hh

    return Call(function, {**matrices, "x": x}, None, COVARIANCES)


# Hidden Markov models.


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


# Recurrent cells.


def _cell(draw: Draw) -> dict:
    batch, steps, features, hidden = draw.whole(1, 3), draw.whole(1, 4), draw.whole(1, 3), draw.whole(1, 3)
    return {
        "x": draw.normal(batch, steps, features),
        "h0": draw.uniform(-1, 1, batch, hidden),
        "mask": draw.mask(batch, steps, features),
        "lengths": draw.lengths(batch, steps),
    }


def _network(draw: Draw, arguments: dict) -> nn.Module:
    sizes = arguments["x"].shape[-1], arguments["h0"].shape[-1]
    how = {"generator": draw.generator, "dtype": torch.float64}
    return (
        recurrent.LeakyRNN(*sizes, tau=2.0, dt=1.0, **how)
        if draw.chance(0.5)
        else recurrent.VanillaRNN(*sizes, **how)
    )


def cell(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def function(x, h0, mask, lengths):
        return model(x, h0, mask=mask, lengths=lengths).detach()

    def oracle(given, answer):
        x, h = torch.where(given["mask"], given["x"], 0.0), given["h0"]
        assert given["x"][given["mask"]].isfinite().all()
        seen = given["mask"].any(-1) & (torch.arange(x.shape[1]) < given["lengths"][:, None])
        states, alpha = [], getattr(model, "alpha", None)
        for t in range(x.shape[1]):
            moved = torch.tanh(x[:, t] @ model.W_xh.T + model.b + h @ model.W_hh.T)
            moved = moved if alpha is None else h + 0.5 * (moved - h)
            h = torch.where(seen[:, t, None], moved, h)
            states.append(h)
        return differs("states", answer, torch.stack(states, 1), 1e-9)

    return Call(function, arguments, oracle)


def cell_sizes(draw: Draw) -> Call:
    def function(input_size, hidden_size, activation, tau, dt):
        plain = recurrent.VanillaRNN(input_size, hidden_size, activation)
        leaky = recurrent.LeakyRNN(input_size, hidden_size, activation, tau=tau, dt=dt)
        return plain.W_hh.shape, leaky.W_hh.shape

    return Call(function, {"input_size": 2, "hidden_size": 3, "activation": "tanh", "tau": 2.0, "dt": 1.0})


def recurrent_gradients(draw: Draw) -> Call:
    arguments = _cell(draw)
    model = _network(draw, arguments)

    def function(x, h0, mask, lengths, K):
        def loss(states, steps=None):
            return states.square().sum()

        given = {"h0": h0, "mask": mask, "lengths": lengths}
        profile = recurrent.gradient_profile(model, x, loss, **given)
        truncated = recurrent.truncated_loss(model, x, loss, K, **given)
        passed = recurrent.truncated_bptt(model, x, loss, K, **given)
        model.zero_grad()
        return profile.gradients, truncated, passed.state

    return Call(function, {**arguments, "K": draw.whole(1, 5)}, also=("loss",))


def jacobians(draw: Draw) -> Call:
    arguments = {name: value for name, value in _cell(draw).items() if name in ("x", "h0")}
    model = _network(draw, arguments)

    def function(x, h0, k):
        each = recurrent.step_jacobians(model, x, h0=h0)
        return each, recurrent.jacobian_product(model, x, k, h0=h0).log_singular_values

    def oracle(given, answer):
        h, expected = given["h0"], []
        for t in range(given["x"].shape[1]):
            p = model.project(given["x"])[:, t]
            expected.append(
                torch.func.vmap(torch.func.jacrev(lambda h, p: model.step(h[None], p[None])[0]))(h, p)
            )
            h = model.step(h, p)
        return differs("jacobians", answer[0], torch.stack(expected, 1), 1e-9)

    return Call(function, {**arguments, "k": 0}, oracle)


def truncation_curve(draw: Draw) -> Call:
    arguments = {name: value for name, value in _cell(draw).items() if name in ("x", "h0")}
    model = _network(draw, arguments)

    def function(x, h0, K):
        return recurrent.truncation_curve(
            model, x, lambda states, steps: states.square().sum(), K, h0=h0
        ).cosine

    return Call(function, {**arguments, "K": [1, 2]}, also=("loss",))


def scan(draw: Draw) -> Call:
    def function(h0, inputs, active):
        return recurrent.scan(lambda h, p: torch.tanh(h + p), h0, inputs, active)

    return Call(
        function, {"h0": draw.normal(2, 3), "inputs": draw.normal(2, 4, 3), "active": draw.mask(2, 4)}
    )


def paths(draw: Draw) -> Call:
    def function(T, routes, skip, branch):
        decomposition = recurrent.path_decomposition(skip, branch)
        return recurrent.path_count(T, routes), decomposition.contributions

    def oracle(given, answer):
        factors = given["skip"].double() + 0.0, given["branch"].double()
        assert factors[1].ndim == 1
        return first_complaint(
            None if answer[0] == given["routes"] ** given["T"] else "path_count is another",
            differs("sum of paths", answer[1].double().sum(-1), (factors[0] + factors[1]).prod(), 1e-9),
        )

    arguments = {"T": draw.whole(0, 20), "routes": draw.whole(1, 3), "skip": draw.uniform(0, 1, 4)}
    return Call(function, {**arguments, "branch": draw.normal(4)}, oracle)


def finiteness(draw: Draw) -> Call:
    def function(states):
        first = recurrent.first_non_finite(states)
        if (first < 0).all():
            recurrent.refuse_non_finite(states)
        return first

    def oracle(given, answer):
        states = given["states"].double().numpy()
        right = [next((t for t, h in enumerate(row) if not np.isfinite(h).all()), -1) for row in states]
        return differs("first_non_finite", answer, right)

    return Call(function, {"states": draw.normal(2, 3, 2)}, oracle)


def clip(draw: Draw) -> Call:
    gradient = draw.normal(3, 2)

    def function(max_norm, gradient):
        model = nn.Linear(2, 3, bias=False).double()
        model.weight.grad = gradient.clone()
        clipped = recurrent.clip(model, max_norm)
        return clipped.norm, clipped.factor, model.weight.grad

    def oracle(given, answer):
        assert given["gradient"].isfinite().all()
        norm = math.hypot(*given["gradient"].flatten().tolist())
        return differs("norm", answer[0], norm, 1e-9)

    arguments = {"max_norm": draw.uniform(0.1, 3.0), "gradient": gradient}
    return Call(function, arguments, oracle, also=("model",))


def weight_constraints(draw: Draw) -> Call:
    weight = draw.normal(3, 3)

    def function(weight, gain, radius, norm, bound):
        model = recurrent.VanillaRNN(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        recurrent.bound_spectral_radius(model, bound)
        other = recurrent.VanillaRNN(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        recurrent.bound_spectral_norm(other, bound)
        orthogonal = recurrent.VanillaRNN(
            2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        recurrent.keep_orthogonal(orthogonal)
        generators = [torch.Generator().manual_seed(1) for _ in range(3)]
        return (
            recurrent.orthogonal_(weight.clone(), gain, generator=generators[0]),
            recurrent.spectral_radius_(weight.clone(), radius, generator=generators[1]),
            recurrent.spectral_norm_(weight.clone(), norm, generator=generators[2]),
        )

    def oracle(given, answer):
        Q, scaled, normed = (part.double().numpy() for part in answer)
        return first_complaint(
            differs("gain", Q.T @ Q, given["gain"] ** 2 * np.eye(len(Q)), 1e-5),
            differs("radius", np.abs(np.linalg.eigvals(scaled)).max(), given["radius"], 1e-5),
            differs("norm", np.linalg.norm(normed, 2), given["norm"], 1e-5),
        )

    arguments = {
        "weight": weight,
        "gain": 1.0,
        "radius": draw.uniform(0.5, 2.0),
        "norm": draw.uniform(0.5, 2.0),
    }
    return Call(function, {**arguments, "bound": 0.9}, oracle)


# Maps and flows.


def _cubic(scale: float, rate: float):
    return dynamics.Flow(lambda t, y: rate * (y - y**3 / scale**2))


def fixed_points(draw: Draw) -> Call:
    scale, rate = draw.scale(), draw.scale()

    def function(starts):
        return dynamics.fixed_points(_cubic(scale, rate), starts).states.flatten().sort().values

    def oracle(given, answer):
        assert (
            given["starts"].isfinite().all()
            and 1.5 < given["starts"].abs().max() / scale < 3
            and len(given["starts"]) > 20
        )
        return differs("fixed points", answer, scale * np.array([-1.0, 0.0, 1.0]), 1e-3)

    return Call(function, {"starts": scale * torch.linspace(-2.0, 2.0, 41).double()[:, None]}, oracle)


def continuation(draw: Draw) -> Call:
    scale, rate = draw.scale(), draw.scale()

    def family(parameter):
        return dynamics.Flow(lambda t, y: rate * (parameter * y - y**3 / scale**2))

    def function(starts, parameter, bounds, max_points):
        branches = dynamics.continuation(family, starts, parameter, bounds, max_points=max_points)
        return [[change.kind for change in branch.bifurcations] for branch in branches]

    def oracle(given, answer):
        assert given["parameter"] == -0.5 and given["bounds"] == (-1.0, 1.0) and given["max_points"] > 100
        assert torch.equal(given["starts"], torch.zeros(1, 1).double())
        kinds = {kind for branch in answer for kind in branch}
        return None if kinds == {"pitchfork"} else f"bifurcations {kinds}, not a pitchfork"

    arguments = {"starts": torch.zeros(1, 1).double(), "parameter": -0.5, "bounds": (-1.0, 1.0)}
    return Call(function, {**arguments, "max_points": 200}, oracle, also=("family", "step"))


def exponents(draw: Draw) -> Call:
    W = 0.8 * draw.normal(2, 2)

    def function(start, steps, transient, count):
        system = dynamics.Map(lambda h: h @ W.to(h.dtype).T)
        spectrum = dynamics.lyapunov_spectrum(system, start, steps, transient=transient, count=count)
        return spectrum.exponents, dynamics.ftle(system, start, steps)

    def oracle(given, answer):
        power = np.linalg.matrix_power(W.numpy(), given["steps"])
        expected = math.log(np.linalg.norm(power, 2)) / given["steps"]
        assert given["start"].dtype == torch.float64 and given["start"].isfinite().all()
        return differs("ftle", answer[1], np.full(len(given["start"]), expected), 1e-6)

    return Call(
        function,
        {"start": draw.normal(2, 2), "steps": draw.whole(1, 20), "transient": 0, "count": 2},
        oracle,
        also=("starts",),
    )


def stable_manifold(draw: Draw) -> Call:
    def function(saddle, length, points, offset):
        flow = dynamics.Flow(lambda t, y: y * torch.tensor([-1.0, 2.0]).to(y))
        return dynamics.stable_manifold(flow, saddle, length=length, points=points, offset=offset)

    def oracle(given, answer):
        assert (given["saddle"] == 0).all() and given["saddle"].shape == (2,)
        return differs("second variable", answer[:, 1], np.zeros(len(answer)), np.asarray(1e-6))

    arguments = {"saddle": torch.zeros(2).double(), "length": 1.0, "points": draw.whole(2, 8), "offset": 0.01}
    return Call(function, arguments, oracle)


def embedding(draw: Draw) -> Call:
    x = draw.scale() * torch.sin(0.3 * torch.arange(200).double() + draw.uniform())

    def function(x, delay, dimension, longest_delay):
        vectors = dynamics.delay_vectors(x, delay, dimension)
        return (
            vectors,
            dynamics.mutual_information(x, longest_delay),
            dynamics.false_neighbours(x, delay, dimension),
        )

    def oracle(given, answer):
        assert given["x"].ndim == 1
        x, delay, dimension = given["x"].numpy(), given["delay"], given["dimension"]
        first = (dimension - 1) * delay
        right = np.stack([x[first - i * delay : len(x) - i * delay] for i in range(dimension)], -1)
        found = answer[0].squeeze(0).double().numpy()
        backwards = found.shape == right.shape and (found == right[:, ::-1]).all()
        return None if backwards else differs("vectors", found, right)

    return Call(
        function,
        {"x": x, "delay": draw.whole(1, 5), "dimension": 2, "longest_delay": 5},
        oracle,
        also=("largest_dimension",),
    )


def whole_embedding(draw: Draw) -> Call:
    x = torch.sin(0.3 * torch.arange(200).double()) + 0.5 * torch.sin(0.7 * torch.arange(200).double())

    def function(x, longest_delay, largest_dimension):
        how = {"longest_delay": longest_delay, "largest_dimension": largest_dimension}
        embedded = dynamics.delay_embedding(x, **how)
        return embedded.vectors, dynamics.first_minimum(embedded.mutual_information)

    return Call(function, {"x": x, "longest_delay": 20, "largest_dimension": 3}, also=("delay", "dimension"))


def first_minimum(draw: Draw) -> Call:
    return Call(dynamics.first_minimum, {"information": torch.tensor([3.0, 2.0, 1.0, 2.0, 0.5]).double()})


def random_networks(draw: Draw) -> Call:
    def function(gain, units, count, input_amplitude):
        driven = dynamics.mean_field_exponent(gain, input_amplitude)
        return dynamics.circular_law_exponents(gain, units, count), torch.tensor(driven)

    def oracle(given, answer):
        i = np.arange(1, given["count"] + 1)
        right = math.log(given["gain"]) + np.log1p(-(i - 0.5) / given["units"]) / 2
        return differs("exponents", answer[0], right, 1e-10)

    return Call(
        function,
        {"gain": draw.uniform(0.5, 3.0), "units": 50, "count": 5, "input_amplitude": draw.uniform()},
        oracle,
    )


def jacobian_of_function(draw: Draw) -> Call:
    return Call(
        lambda state: dynamics.jacobian(torch.sin, state),
        {"state": draw.normal(3, 2)},
        lambda given, answer: differs("jacobian", answer, torch.diag_embed(given["state"].cos()), 1e-12),
    )


def semigroup_defect(draw: Draw) -> Call:
    return Call(
        lambda states, dt: dynamics.semigroup_defect(lambda y, dt: y * math.exp(-dt), states, dt),
        {"states": draw.normal(3, 2), "dt": draw.uniform(0.1, 1.0)},
        lambda given, answer: differs(
            "defect",
            answer,
            torch.zeros_like(answer),
            np.asarray(16 * torch.finfo(answer.dtype).eps * given["states"].abs().max()),
        ),
    )


# Solvers and fields.


def decay(t, y):
    return -y


def rotation(t, y):
    return torch.stack([y[..., 1], -y[..., 0]], -1)


def clock(t, y):
    return torch.cos(t)[:, None] - 0.1 * y


PROBLEMS = (decay, rotation, clock, systems.LotkaVolterra(alpha=1.0, beta=0.5, delta=0.3, gamma=0.8))


def solve(draw: Draw) -> Call:
    field = draw.choice(PROBLEMS)
    batch = draw.whole(1, 3)
    arguments = {
        "y0": draw.uniform(0.2, 2.0, batch, 2),
        "t": draw.times(draw.whole(1, 4)) * draw.choice([1.0, -1.0]),
        "rtol": draw.choice([1e-4, 1e-6]),
        "atol": draw.choice([1e-6, 1e-9]),
        "method": draw.choice(["dopri5", "tsit5", "bosh3", "dopri8", "heun"]),
        "max_steps": 10_000,
        "first_step": None,
        "per_sample": draw.chance(0.7),
    }

    def function(y0, t, **how):
        return odes.solve(field, y0, t, **how)

    return Call(
        function, arguments, lambda given, answer: dop853_complaint(given, answer, field), also=("f",)
    )


def solve_fixed(draw: Draw) -> Call:
    def function(y0, t, step, method):
        return odes.solve(lambda t, y: -y, y0, t, step=step, method=method).y

    arguments = {"y0": draw.uniform(0.2, 2.0, 2, 2), "t": draw.times(3), "step": draw.uniform(0.05, 0.5)}
    return Call(function, {**arguments, "method": draw.choice(["euler", "midpoint", "rk4"])}, also=("f",))


def mlp_field(draw: Draw) -> Call:
    def function(dim, width, depth, weight_scale, activation, y):
        how = {"weight_scale": weight_scale, "activation": activation, "dtype": torch.float64}
        field = fields.MLPField(dim, width, depth, generator=torch.Generator().manual_seed(0), **how)
        return field(0.0, y).detach(), field.jacobian(0.0, y).detach()

    arguments = {"dim": 2, "width": 3, "depth": 1, "weight_scale": 0.5, "activation": "tanh"}
    return Call(function, {**arguments, "y": draw.normal(3, 2)})


def quadratic_field(draw: Draw) -> Call:
    def function(exponents, coefficients, y):
        return fields.QuadraticField(exponents, coefficients)(0.0, y).detach()

    def oracle(given, answer):
        monomials = (given["y"][:, None, :] ** given["exponents"].double()).prod(-1)
        return differs("slope", answer, monomials @ given["coefficients"], 1e-9)

    exponents = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 2]])
    return Call(
        function, {"exponents": exponents, "coefficients": draw.normal(4, 2), "y": draw.normal(3, 2)}, oracle
    )


def stoichiometric_field(draw: Draw) -> Call:
    rates = fields.MLPField(2, 3, 1, outputs=2, generator=draw.generator, dtype=torch.float64)

    def function(S, y, reactants):
        field = fields.StoichiometricField(S, rates, reactants)
        return field(0.0, y).detach(), field.jacobian(0.0, y).detach()

    S = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).double()

    def oracle(given, answer):
        assert torch.equal(given["S"], S)
        return differs(
            "total change", answer[0].sum(-1), torch.zeros_like(answer[0][..., 0]), np.asarray(1e-9)
        )

    return Call(function, {"S": S, "y": draw.uniform(0.1, 2.0, 3, 2), "reactants": (-S).clamp(min=0)}, oracle)


def conserved_quantities(draw: Draw) -> Call:
    def oracle(given, answer):
        S = given["S"].double().numpy()
        found = answer.double().numpy()
        missing = len(S) - np.linalg.matrix_rank(S) - np.linalg.matrix_rank(found) if len(found) else 0
        return first_complaint(
            differs("C S", found @ S, np.zeros((len(found), S.shape[1])), np.asarray(1e-9)),
            f"{missing} quantities are missing" if missing else None,
        )

    S = torch.randint(-2, 3, (3, 2), generator=draw.generator).double()
    return Call(fields.conserved_quantities, {"S": S}, oracle)


def controlled_field(draw: Draw) -> Call:
    held, line = (getattr(fields, name) for name in ("ZeroOrderHold", "LinearInterpolation"))

    def function(times, values, t, y):
        hold, interpolation = held(times, values), line(times, values)
        field = fields.ControlledField(lambda t, y, u: u - y, hold)
        return hold(t), interpolation(t), field(t, y)

    def oracle(given, answer):
        times, values, t = (given[name].double().numpy() for name in ("times", "values", "t"))
        assert t.ndim == 1 and values.ndim == 2
        index = np.clip(np.searchsorted(times, t, side="right") - 1, 0, None)
        linear = np.stack([np.interp(t, times, column) for column in values.T], -1)
        return first_complaint(
            differs("hold", answer[0], values[index], 1e-12),
            differs("interpolation", answer[1], linear, 1e-9),
        )

    arguments = {"times": draw.times(4), "values": draw.normal(4, 2)}
    return Call(
        function, {**arguments, "t": draw.uniform(-1.0, 5.0, 3), "y": draw.normal(3, 2)}, oracle, also=("u",)
    )


# Training.


def train(draw: Draw) -> Call:
    x, y = draw.normal(8, 2), draw.normal(8, 1)

    def function(x, y, epochs, learning_rate, patience, clip):
        model = nn.Linear(2, 1).double()
        nn.init.constant_(model.weight, 0.1)
        nn.init.zeros_(model.bias)
        how = {"learning_rate": learning_rate, "patience": patience, "clip": clip, "progress": False}

        def loss(model, batch):
            return (model(batch[0]) - batch[1]).square().mean()

        validation = [(x, y)] if patience is not None else None
        return training.fit(model, loss, [(x, y)], epochs=epochs, validation=validation, **how).train_losses

    arguments = {"x": x, "y": y, "epochs": draw.whole(1, 3), "learning_rate": 0.01}
    return Call(
        function,
        {**arguments, "patience": draw.choice([None, 2]), "clip": draw.choice([None, 1.0])},
        also=("loss", "batches"),
    )


SYSTEMS = {
    "Lorenz": _system(systems.Lorenz, ("sigma", "rho", "beta"), 3),
    "LotkaVolterra": _system(systems.LotkaVolterra, ("alpha", "beta", "delta", "gamma"), 2),
    "OneCompartment": _system(systems.OneCompartment, ("absorption_rate", "elimination_rate", "volume"), 2),
    "Repressilator": _system(systems.Repressilator, ("alpha", "n", "alpha0", "beta"), 6),
    "ToggleSwitch": _system(systems.ToggleSwitch, ("alpha", "n"), 2),
}
BUILDERS = {
    "IrregularBatch deltas last_observed to_grid collate": irregular_batch,
    "one_series": one_series,
    "collate": collate,
    "Standardiser": standardiser,
    "mcar mar mnar Logistic DetectionLimit DropOut": missing_at_random,
    "visit_times": visit_times,
    "Gaussian": gaussian,
    "HeteroscedasticGaussian": heteroscedastic_gaussian,
    "CensoredGaussian": censored_gaussian,
    "Poisson": poisson,
    "NegativeBinomial": negative_binomial,
    "Poisson NegativeBinomial cdf quantile interval": count_tails,
    "fit_censored_gaussian": fit_censored_gaussian,
    **SYSTEMS,
    "critical_alpha": critical_alpha,
    "OneCompartment.solution": one_compartment_solution,
    "MassAction": mass_action,
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
    "HMM CategoricalEmission hmm_filter hmm_smoother hmm_log_likelihood viterbi": hmm_recursions,
    "hmm_as_rnn HMMAsRNN": hmm_as_rnn,
    "simulate_hmm PoissonEmission": simulate_hmm,
    "baum_welch GaussianEmission": gaussian_hmm,
    "VanillaRNN LeakyRNN": cell,
    "VanillaRNN LeakyRNN sizes": cell_sizes,
    "gradient_profile truncated_loss truncated_bptt": recurrent_gradients,
    "step_jacobians jacobian_product": jacobians,
    "truncation_curve": truncation_curve,
    "scan": scan,
    "path_count path_decomposition": paths,
    "first_non_finite refuse_non_finite": finiteness,
    "clip": clip,
    "orthogonal_ spectral_radius_ spectral_norm_": weight_constraints,
    "bound_spectral_radius bound_spectral_norm keep_orthogonal": weight_constraints,
    "fixed_points Flow": fixed_points,
    "continuation": continuation,
    "lyapunov_spectrum ftle Map": exponents,
    "stable_manifold": stable_manifold,
    "delay_vectors mutual_information false_neighbours": embedding,
    "delay_embedding": whole_embedding,
    "first_minimum": first_minimum,
    "circular_law_exponents mean_field_exponent": random_networks,
    "jacobian": jacobian_of_function,
    "semigroup_defect": semigroup_defect,
    "solve": solve,
    "solve fixed steps": solve_fixed,
    "MLPField": mlp_field,
    "QuadraticField": quadratic_field,
    "StoichiometricField": stoichiometric_field,
    "conserved_quantities": conserved_quantities,
    "ControlledField ZeroOrderHold LinearInterpolation": controlled_field,
    "training.fit": train,
}
"""Names of public functions, apart from each other by blanks, and what draws a call of them."""
