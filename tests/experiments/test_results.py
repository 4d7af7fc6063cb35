"""Results of experiments: written, read back, and refused by name where there are none."""

import json

import pytest

from helpers.experiments import load_results, write_results


def test_what_is_written_is_read_back_with_where_and_when_it_ran(tmp_path):
    results = [{"cell": "LSTM", "errors": [0.1, 0.2]}, {"cell": "a {[b", "errors": []}]
    path = write_results("trial", {"seeds": (1, 2)}, results, seconds=1.25, folder=tmp_path)
    found = json.loads(path.read_text())
    assert found["results"] == results and found["settings"] == {"seeds": [1, 2]}
    assert found["run"]["seconds"] == 1.2 and found["run"]["torch"] and found["run"]["date"].count("-") == 2


def test_numbers_that_belong_together_stand_in_one_line(tmp_path):
    path = write_results("trial", {}, {"errors": list(range(50))}, seconds=0.0, folder=tmp_path)
    assert len(path.read_text().splitlines()) < 20


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"name must be that of an experiment .*two_ways.*: got 'nothing'"):
        load_results("nothing")
