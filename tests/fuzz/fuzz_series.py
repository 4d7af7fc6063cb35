"""Series and data: one way to call each function, and the right answer where it is known."""

import itertools
import math

import numpy as np
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    differs,
    first_complaint,
)

from helpers import (
    data,
    series,
)


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
        deltas = torch.zeros(values.shape, dtype=times.dtype)
        last = torch.zeros_like(values)
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
        units = [np.abs(x).max() for x in seen]  # np.std overflows where squares do
        mean, deviation = (
            torch.tensor([f(x / unit) * unit for x, unit in zip(seen, units, strict=True)]).double()
            for f in (np.mean, np.std)
        )
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
        stays = given["values"] - given["threshold"]
        leaves = given["hazard"] / (1 + (-given["slope"] * stays).clamp(max=700).exp())
        return first_complaint(
            differs("mcar's probability", answer[0], torch.full_like(answer[0], 1 - given["rate"]), 1e-12),
            differs("drop-out's probability", answer[3], (1 - leaves).cumprod(1), 1e-12),
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
        visits = data.visit_times(horizon, intensity, batch=batch, generator=generator)
        return visits.times, visits.lengths

    def oracle(given, answer):
        expected = given["horizon"] * given["intensity"] * given["batch"]
        plausible = abs(float(answer[1].sum()) - expected) <= 6 * math.sqrt(expected) + 6
        inside = ((answer[0] >= 0) & (answer[0] <= np.float32(given["horizon"]))).all()
        rises = all(
            (times[:length].diff() > 0).all()
            for times, length in zip(answer[0], answer[1].tolist(), strict=True)
        )
        return None if plausible and inside and rises else "no Poisson process"

    arguments = {"horizon": draw.uniform(0.1, 5), "intensity": draw.uniform(0.1, 3), "batch": 2}
    return Call(function, arguments, oracle)


def gene_structures(draw: Draw) -> Call:
    seed = draw.whole(0, 99)

    def function(sequences, length):
        drawn = data.gene_structures(sequences, length, generator=torch.Generator().manual_seed(seed))
        return drawn.bases, drawn.region, drawn.codon_position, drawn.gc

    def oracle(given, answer):
        bases, region, position, gc = answer
        shape = given["sequences"], given["length"]
        legal = bases.shape == region.shape == position.shape == shape and ((bases >= 0) & (bases < 4)).all()
        whole = all((position == place).sum() * 3 == (region == 1).sum() for place in (1, 2, 3))
        inside = ((gc >= 0.25) & (gc <= 0.45)).all()
        return None if legal and whole and inside else "no genes"

    return Call(function, {"sequences": draw.whole(1, 3), "length": draw.choice([1, 20, 150])})


def delayed_response(draw: Draw) -> Call:
    seed = draw.whole(0, 99)

    def function(batch, lag, choices, noise):
        generator = torch.Generator().manual_seed(seed)
        return data.delayed_response(batch, lag, generator, choices=choices, noise=noise)

    def oracle(given, answer):
        x, y = answer
        signal = torch.zeros(given["batch"], given["lag"] + 1, given["choices"] + 1)
        signal[torch.arange(len(y)), 0, y] = 1
        signal[:, -1, -1] = 1
        if x.shape != signal.shape:
            return f"x has shape {tuple(x.shape)}"
        return None if ((x - signal).abs() <= 6 * given["noise"] + 1e-6).all() else "no cue and no go"

    arguments = {"batch": draw.whole(1, 3), "lag": draw.whole(1, 5), "choices": draw.whole(2, 4)}
    return Call(function, arguments | {"noise": draw.choice([0.0, 0.1, 2.0])}, oracle, random=True)


def adding_problem(draw: Draw) -> Call:
    seed = draw.whole(0, 99)

    def function(batch, T):
        return data.adding_problem(batch, T, torch.Generator().manual_seed(seed))

    def oracle(given, answer):
        (u, marks), y = answer[0].unbind(-1), answer[1]
        if u.shape != (given["batch"], given["T"]):
            return f"x has shape {tuple(answer[0].shape)}"
        half = given["T"] // 2
        one_each = (marks[:, :half].sum(1) == 1).all() and (marks[:, half:].sum(1) == 1).all()
        return differs("sum", y, (u * marks).sum(1)) if one_each else "a half has not one mark"

    return Call(function, {"batch": draw.whole(1, 3), "T": draw.whole(2, 7)}, oracle, random=True)


def copying_problem(draw: Draw) -> Call:
    seed = draw.whole(0, 99)

    def function(batch, T, symbols, length):
        generator = torch.Generator().manual_seed(seed)
        x, y = data.copying_problem(batch, T, generator, symbols=symbols, length=length)
        return x, y, torch.tensor(data.copying_baseline(T, symbols=symbols, length=length))

    def oracle(given, answer):
        x, y, baseline = answer
        T, symbols, length = given["T"], given["symbols"], given["length"]
        steps = T + 2 * length
        guess = torch.zeros(steps, symbols + 1).double()  # probabilities of who knows when, not what
        guess[:-length, symbols], guess[-length:, :symbols] = 1, 1 / symbols
        expected = -guess[torch.arange(steps), y].log().mean(1)
        return first_complaint(
            differs("word", x[:, :length].argmax(-1), y[:, -length:]),
            differs("baseline", baseline.expand(len(y)), expected, 1e-6),
        )

    arguments = {"batch": draw.whole(1, 3), "T": draw.whole(1, 5), "symbols": draw.whole(1, 4)}
    return Call(function, arguments | {"length": draw.whole(1, 3)}, oracle, random=True)


BUILDERS = {
    "IrregularBatch deltas last_observed to_grid collate": irregular_batch,
    "one_series": one_series,
    "collate": collate,
    "Standardiser": standardiser,
    "mcar mar mnar Logistic DetectionLimit DropOut": missing_at_random,
    "visit_times": visit_times,
    "gene_structures": gene_structures,
    "delayed_response": delayed_response,
    "adding_problem": adding_problem,
    "copying_problem copying_baseline": copying_problem,
}
