"""Where the toggle switch becomes bistable, against its own Jacobian."""

import math

import numpy as np
import pytest
import torch

from helpers.systems import ToggleSwitch, critical_alpha


def test_two_bound_molecules_need_a_synthesis_of_two():
    assert critical_alpha(2.0) == 2.0


@pytest.mark.parametrize("n", [1.2, 2.0, 2.7, 4.0])
def test_there_the_symmetric_state_rests_with_an_eigenvalue_of_zero(n):
    s = torch.tensor([(n - 1) ** (-1 / n)] * 2, dtype=torch.float64).unsqueeze(0)
    switch = ToggleSwitch(critical_alpha(n), n)
    torch.testing.assert_close(switch(0.0, s), torch.zeros(1, 2, dtype=torch.float64))
    eigenvalues = torch.linalg.eigvals(switch.jacobian(0.0, s))[0].real.sort().values
    torch.testing.assert_close(eigenvalues, torch.tensor([-2.0, 0.0], dtype=torch.float64))


def test_of_many_coefficients_at_once():
    n = torch.tensor([1.5, 2.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(critical_alpha(n).tolist(), [critical_alpha(each) for each in n.tolist()])


@pytest.mark.parametrize(
    "n, message",
    [
        (1.0, "n must be finite and above 1: n = 1.0"),
        (0, "n must be finite and above 1: n = 0"),
        (math.inf, "n must be a finite number: got inf"),
        (True, "n must be a finite number: got True"),
        (None, "n must be a number, an array or a tensor: got NoneType"),
        ([2.0, 3.0], "n must be a number, an array or a tensor: got list"),
        (torch.tensor([2.0, 0.5]), r"n must be finite and above 1: n\[1\] = 0.5"),
        (np.array([2.0, math.nan]), r"n must be finite and above 1: n\[1\] = nan"),
        (torch.tensor([2j]), "n must be real: got a torch.complex64 tensor"),
    ],
    ids=["1", "0", "infinity", "true", "none", "a list", "a tensor", "an array", "complex"],
)
def test_a_hill_coefficient_without_a_pitchfork_is_refused(n, message):
    with pytest.raises(ValueError, match=message):
        critical_alpha(n)
