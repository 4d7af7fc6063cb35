"""A sample of the calls that `fuzz_run.py` makes by the thousand: no silent or unclear fault."""

import inspect
from collections import Counter

from fuzz_calls import BUILDERS
from fuzz_run import fuzz

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

ROOMS = (series, data, observation, systems, statespace, recurrent, dynamics, odes, fields, training)
SAMPLE = range(1000)
TABLES = {"physionet2012", "indomethacin", "lynx_hare", "theophylline"}
"""They take nothing, or read a large archive."""
BETWEEN_ROOMS = {"check_series", "flush_denormals", "multiply_factors"}
"""What rooms hand each other, called through what is public."""


def test_a_sample_of_spoilt_calls(capsys):
    outcomes = [fuzz(seed) for seed in SAMPLE]
    counts = Counter(outcome.what for outcome in outcomes)
    with capsys.disabled():
        print(f"\nfuzz: {dict(counts)}")
    assert [outcome for outcome in outcomes if outcome.wrong] == []


def test_every_public_function_is_called():
    called = {word for names in BUILDERS for word in names.replace(".", " ").split()}
    public = {
        name
        for room in ROOMS
        for name in room.__all__
        if inspect.isfunction(getattr(room, name)) and name not in TABLES | BETWEEN_ROOMS
    }
    assert public - called == set()
