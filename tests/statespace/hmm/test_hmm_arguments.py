"""What a hidden Markov model and its functions refuse, and how they say so; devices; the RNN's weights."""

import copy

import pytest
import torch

from helpers.series import IrregularBatch
from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    PoissonEmission,
    baum_welch,
    hmm_as_rnn,
    hmm_filter,
    hmm_log_likelihood,
    hmm_smoother,
    simulate_hmm,
    viterbi,
)

EYE = torch.eye(2)
HALF = torch.full((2,), 0.5)
HALVES = torch.full((2, 2), 0.5)
GAUSSIAN = GaussianEmission(torch.zeros(2, 2), EYE.expand(2, 2, 2))
POISSON = PoissonEmission(torch.ones(2, 2))
SYMBOLS = CategoricalEmission(torch.full((2, 3), 1 / 3))


def tensor(*rows):
    return torch.tensor(rows)


def batch(*rows):
    values = torch.tensor(rows).unsqueeze(0)
    times, lengths = torch.arange(len(rows)).to(values).unsqueeze(0), torch.tensor([len(rows)])
    return IrregularBatch(times, values, torch.ones_like(values, dtype=torch.bool), lengths)


BAD_MODELS = {
    "initial is a matrix": (
        lambda: HMM(HALVES, HALVES, GAUSSIAN),
        r"initial must have shape \(K,\): got \(2, 2\)",
    ),
    "transition is a vector": (
        lambda: HMM(HALF, HALF, GAUSSIAN),
        r"transition must have shape \(K, K\) = \(2, 2\): got \(2,\)",
    ),
    "emission of other states": (
        lambda: HMM(torch.ones(1), torch.ones(1, 1), GAUSSIAN),
        "emission must have as many states as initial: got 2 and 1",
    ),
    "initial of integers": (
        lambda: HMM(torch.tensor([0, 1]), HALVES, GAUSSIAN),
        "initial must be a floating-point tensor: got a torch.int64 tensor",
    ),
    "transition of another dtype": (
        lambda: HMM(HALF, HALVES.double(), GAUSSIAN),
        "transition must have the dtype of initial: got torch.float64 and torch.float32",
    ),
    "emission of another dtype": (
        lambda: HMM(HALF.double(), HALVES.double(), POISSON),
        "emission must have the dtype of initial: got torch.float32 and torch.float64",
    ),
    "initial sums to less": (
        lambda: HMM(0.8 * HALF, HALVES, GAUSSIAN),
        "initial must sum to 1: got 0.8",
    ),
    "row sums to less": (
        lambda: HMM(HALF, tensor([0.5, 0.5], [0.4, 0.5]), GAUSSIAN),
        "row 1 of transition must sum to 1: got 0.8999",
    ),
    "negative transition": (
        lambda: HMM(HALF, tensor([0.5, 0.5], [-0.25, 1.25]), GAUSSIAN),
        r"transition must hold probabilities: transition\[1, 0\] = -0.25",
    ),
    "initial is nan": (
        lambda: HMM(torch.tensor([torch.nan, 1.0]), HALVES, GAUSSIAN),
        r"initial must hold probabilities: initial\[0\] = nan",
    ),
    "symbols as a vector": (
        lambda: CategoricalEmission(HALF),
        r"probabilities must have shape \(K, S\): got \(2,\)",
    ),
    "symbols sum to more": (
        lambda: CategoricalEmission(tensor([0.5, 0.5], [0.5, 0.6])),
        "row 1 of probabilities must sum to 1: got 1.1",
    ),
    "rate of integers": (
        lambda: PoissonEmission(torch.ones(2, 2, dtype=torch.long)),
        "rate must be a floating-point tensor: got a torch.int64 tensor",
    ),
    "negative rate": (
        lambda: PoissonEmission(tensor([1.0, -2.0])),
        r"rate must be finite and not negative: rate\[0, 1\] = -2.0",
    ),
    "covariance of another size": (
        lambda: GaussianEmission(torch.zeros(2, 3), EYE.expand(2, 2, 2)),
        r"covariance must have shape \(K, D, D\) = \(2, 3, 3\): got \(2, 2, 2\)",
    ),
    "covariance of another dtype": (
        lambda: GaussianEmission(torch.zeros(2, 2), EYE.double().expand(2, 2, 2)),
        "covariance must have the dtype of mean: got torch.float64 and torch.float32",
    ),
    "mean is infinite": (
        lambda: GaussianEmission(tensor([0.0, torch.inf]), EYE[None]),
        r"mean must be finite: mean\[0, 1\] = inf",
    ),
    "covariance is nan": (
        lambda: GaussianEmission(torch.zeros(1, 2), tensor([[1.0, torch.nan], [0.0, 1.0]])),
        r"covariance must be finite: covariance\[0, 0, 1\] = nan",
    ),
    "covariance is not symmetric": (
        lambda: GaussianEmission(torch.zeros(2, 2), torch.stack([EYE, tensor([1.0, 0.5], [0.0, 1.0])])),
        "covariance must be symmetric: state 1 is not",
    ),
    "covariance is asymmetric in a small unit": (
        lambda: GaussianEmission(
            torch.zeros(1, 3), tensor([1e8, 0.0, 0.0], [0.0, 1.0, 0.4], [0.0, 0.5, 1.0])[None]
        ),
        "covariance must be symmetric: state 0 is not",
    ),
    "covariance is not diagonal": (
        lambda: GaussianEmission(torch.zeros(1, 2), tensor([1.0, 0.5], [0.5, 1.0])[None], diagonal=True),
        r"covariance must be diagonal, as it says: covariance\[0, 0, 1\] = 0.5",
    ),
    "covariance is not tied": (
        lambda: GaussianEmission(torch.zeros(2, 2), torch.stack([EYE, 2 * EYE]), tied=True),
        "covariance must be tied, as it says: state 1 differs from state 0",
    ),
    "diagonal is a word": (
        lambda: GaussianEmission(torch.zeros(2, 2), EYE.expand(2, 2, 2), diagonal="yes"),
        "diagonal must be True or False: got 'yes'",
    ),
    "initial is a list": (
        lambda: HMM([0.5, 0.5], HALVES, GAUSSIAN),
        "initial must be a floating-point tensor: got list",
    ),
    "transition is an array": (
        lambda: HMM(HALF, HALVES.numpy(), GAUSSIAN),
        "transition must be a floating-point tensor: got ndarray",
    ),
    "no emission": (
        lambda: HMM(HALF, HALVES, None),
        "emission must be a CategoricalEmission, GaussianEmission or PoissonEmission: got NoneType",
    ),
    "mean is an array": (
        lambda: GaussianEmission(EYE.numpy(), EYE.expand(2, 2, 2)),
        "mean must be a floating-point tensor: got ndarray",
    ),
    "covariance is a list": (
        lambda: GaussianEmission(EYE, [EYE, EYE]),
        "covariance must be a floating-point tensor: got list",
    ),
    "no rate": (lambda: PoissonEmission(None), "rate must be a floating-point tensor: got NoneType"),
    "half precision": (
        lambda: PoissonEmission(EYE.half()),
        "rate must be float32 or float64: got torch.float16",
    ),
    "no features": (
        lambda: GaussianEmission(torch.zeros(2, 0), torch.zeros(2, 0, 0)),
        r"mean must not be empty: got shape \(2, 0\)",
    ),
    "no states": (
        lambda: HMM(torch.zeros(0), torch.zeros(0, 0), POISSON),
        r"initial must not be empty: got shape \(0,\)",
    ),
    "rows of float32 miss 1 by more than rounding": (
        lambda: HMM(HALF, tensor([0.5, 0.5], [0.3332, 0.6667]), POISSON),
        "row 1 of transition must sum to 1: got 0.9998",
    ),
    "symbols of float32 miss 1 by more than rounding": (
        lambda: CategoricalEmission(tensor([0.25, 0.75], [0.250005, 0.75])),
        "row 1 of probabilities must sum to 1: got 1.0000",
    ),
    "covariance is indefinite": (
        lambda: GaussianEmission(torch.zeros(2, 2), torch.stack([EYE, tensor([1.0, 2.0], [2.0, 1.0])])),
        "covariance must be positive definite: state 1 has the smallest eigenvalue -1$",
    ),
}


@pytest.mark.parametrize("build, message", BAD_MODELS.values(), ids=BAD_MODELS)
def test_bad_models_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


BAD_OBSERVATIONS = {
    "y is a vector": (
        (GAUSSIAN, torch.zeros(2)),
        r"y must have shape \(B, T, ...\) with at least one step: got",
    ),
    "y has no step": (
        (GAUSSIAN, torch.zeros(2, 0, 2)),
        r"at least one step: got \(2, 0, 2\)",
    ),
    "y has other features": (
        (GAUSSIAN, torch.zeros(2, 3, 4)),
        r"y must have shape \(B, T, D\) with D = 2: got \(2, 3, 4\)",
    ),
    "y of another dtype": (
        (GAUSSIAN, torch.zeros(2, 3, 2).double()),
        "y must have the dtype of the emission's parameters: got torch.float64 and torch.float32",
    ),
    "y is a list": ((GAUSSIAN, [[[0.0, 0.0]]]), "y must be a tensor or an IrregularBatch: got list"),
    "y is an array": (
        (POISSON, EYE[None].numpy()),
        "y must be a tensor or an IrregularBatch: got ndarray",
    ),
    "no y": ((SYMBOLS, None), "y must be a tensor or an IrregularBatch: got NoneType"),
    "no series": (
        (GAUSSIAN, torch.zeros(0, 3, 2)),
        r"y must have at least one series: got shape \(0, 3, 2\)",
    ),
    "mask is a list": ((POISSON, EYE[None], [[[True, True]] * 2]), "mask must be a bool tensor: got list"),
    "lengths are a list": (
        (POISSON, EYE[None], None, [2]),
        r"lengths must be a tensor: got list",
    ),
    "a mask beside a batch": (
        (POISSON, batch([0.0, 1.0], [1.0, 2.0]), EYE[None] > 0),
        "mask must be left out where y is an IrregularBatch, which has its own",
    ),
    "a batch of two features as symbols": (
        (SYMBOLS, batch([0.0, 1.0], [1.0, 2.0])),
        r"y must have one feature for a categorical emission: got values \(1, 2, 2\)",
    ),
    "a batch of fractions as symbols": (
        (SYMBOLS, batch([0.0], [1.5])),
        r"y must hold whole numbers where observed: y\[0, 1, 0\] = 1.5",
    ),
    "mask of another shape": (
        (GAUSSIAN, torch.zeros(2, 3, 2), torch.ones(2, 3, dtype=torch.bool)),
        r"mask must have the shape \(2, 3, 2\) of y: got \(2, 3\)",
    ),
    "mask of reals": (
        (GAUSSIAN, torch.zeros(2, 3, 2), torch.ones(2, 3, 2)),
        "mask must be bool: got torch.float32",
    ),
    "lengths of another shape": (
        (GAUSSIAN, torch.zeros(2, 3, 2), None, torch.tensor([3])),
        r"lengths must have shape \(B,\) = \(2,\): got \(1,\)",
    ),
    "lengths of reals": (
        (GAUSSIAN, torch.zeros(2, 3, 2), None, torch.tensor([3.0, 2.0])),
        "lengths must be integers: got torch.float32",
    ),
    "lengths beyond the end": (
        (GAUSSIAN, torch.zeros(2, 3, 2), None, torch.tensor([3, 4])),
        "lengths must lie between 0 and T = 3: series 1 has length 4",
    ),
    "real value is nan": (
        (GAUSSIAN, torch.tensor([[[0.0, 0.0], [1.0, torch.nan]]])),
        r"y must be finite where observed: y\[0, 1, 1\] = nan",
    ),
    "count is a fraction": (
        (POISSON, torch.tensor([[[0.0, 1.0], [1.0, 2.5]]])),
        r"y must be whole numbers, zero or more, where observed: y\[0, 1, 1\] = 2.5",
    ),
    "count is negative": (
        (POISSON, torch.tensor([[[0, -1]]])),
        r"where observed: y\[0, 0, 1\] = -1",
    ),
    "counts of another dtype": (
        (POISSON, torch.zeros(1, 2, 2).double()),
        "y must be integers or have the rate's dtype torch.float32: got torch.float64",
    ),
    "unknown symbol": (
        (SYMBOLS, torch.tensor([[0, 1], [2, 3]])),
        r"y must lie between 0 and 2: y\[1, 1\] = 3",
    ),
    "symbols of reals": (
        (SYMBOLS, torch.zeros(1, 2)),
        "y must be integers for a categorical emission: got torch.float32",
    ),
    "symbols with features": (
        (SYMBOLS, torch.zeros(1, 2, 1, dtype=torch.long)),
        r"y must have shape \(B, T\) for a categorical emission: got \(1, 2, 1\)",
    ),
}


@pytest.mark.parametrize("function", [hmm_filter, hmm_smoother, hmm_log_likelihood, viterbi])
@pytest.mark.parametrize("arguments, message", BAD_OBSERVATIONS.values(), ids=BAD_OBSERVATIONS)
def test_bad_observations_are_refused(function, arguments, message):
    emission, *series = arguments
    with pytest.raises(ValueError, match=message):
        function(HMM(HALF, HALVES, emission), *series)


@pytest.mark.parametrize(
    "function",
    [hmm_filter, hmm_smoother, hmm_log_likelihood, viterbi, baum_welch, lambda hmm, y: hmm_as_rnn(hmm)],
    ids=["filter", "smoother", "log-likelihood", "viterbi", "baum-welch", "rnn"],
)
def test_what_is_no_model_is_refused(function):
    with pytest.raises(ValueError, match="hmm must be an HMM: got GaussianEmission"):
        function(GAUSSIAN, EYE[None])


@pytest.mark.parametrize("value", [3e38, 1e25], ids=["in the residual", "in its square"])
def test_overflow_is_impossible_and_not_a_number_that_is_none(value):
    """Strongly correlated entries, whose whitened residual is a difference of infinities."""
    correlated = torch.tensor([[1.0, 0.999], [0.999, 1.0]]).repeat(2, 1, 1)
    hmm = HMM(HALF, HALVES, GaussianEmission(EYE, correlated))
    y = torch.tensor([[[value, value], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    log_likelihood = hmm_log_likelihood(hmm, y)
    assert log_likelihood[0] == -torch.inf and log_likelihood[1].isfinite()
    with pytest.raises(ValueError, match="series 0 has probability 0 at step 0 given its past"):
        hmm_filter(hmm, y)


def test_a_simulation_needs_a_generator():
    with pytest.raises(ValueError, match="generator must be a torch.Generator: got NoneType"):
        simulate_hmm(HMM(HALF, HALVES, SYMBOLS), 3, 2, None)


@pytest.mark.parametrize("steps, batch, name", [(0, 1, "steps"), (1, 0, "batch")], ids=["steps", "batch"])
def test_bad_simulations_are_refused(steps, batch, name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1: got 0"):
        simulate_hmm(HMM(HALF, HALVES, SYMBOLS), steps, batch, torch.Generator())


@pytest.mark.parametrize(
    "transition", [[[0.9, 0.1], [0.2, 0.8]], [[1.0, 0.0], [0.2, 0.8]]], ids=["dense", "forbidden"]
)
def test_device_and_dtype_follow_the_inputs(device, generator, transition):
    hmm = HMM(
        HALF.to(device),
        torch.tensor(transition, device=device),
        GaussianEmission(GAUSSIAN.mean.to(device), GAUSSIAN.covariance.to(device)),
    )
    y = simulate_hmm(hmm, 12, 3, generator).observations
    mask = torch.rand(y.shape, generator=generator, device=device) > 0.3
    smoothed, decoded = hmm_smoother(hmm, y, mask), viterbi(hmm, y, mask)
    results = (
        hmm_filter(hmm, y, mask).predicted,
        smoothed.probability,
        smoothed.pair_counts,
        decoded.log_probability,
        hmm_log_likelihood(hmm, y, mask),
        hmm_as_rnn(hmm)(y, mask),
    )
    for result in results:
        assert result.dtype == torch.float32 and result.device.type == device.type
    assert decoded.path.dtype == torch.int64 and decoded.path.device.type == device.type


def test_rnn_has_recurrent_weights_that_training_may_move():
    """One step against the gradient of the next observation's log-probability changes both parameters."""
    hmm = HMM(HALF, torch.tensor([[1.0, 0.0], [0.3, 0.7]]), GaussianEmission(EYE, EYE.expand(2, 2, 2)))
    rnn = hmm_as_rnn(hmm)
    assert {name: tuple(weight.shape) for name, weight in rnn.named_parameters()} == {
        "W_hh": (2, 2),
        "first_prediction": (2,),
    }
    assert {name: tuple(buffer.shape) for name, buffer in rnn.named_buffers()} == {
        "gate.mean": (2, 2),
        "gate.covariance": (2, 2, 2),
    }
    assert torch.equal(rnn.W_hh, hmm.transition.T)
    y = torch.randn(4, 7, 2, generator=torch.Generator().manual_seed(0))
    rnn(y)[:, -1, 0].sum().backward()
    for weight in rnn.parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 1e-3


def test_rnn_carries_its_emission_along():
    """Loaded from another one's state, as float64, after a copy: always the filter of its model."""
    first, second = (
        HMM(
            HALF,
            torch.tensor([[0.9, 0.1], [0.3, 0.7]]),
            GaussianEmission(mean, EYE.expand(2, 2, 2), tied=True),
        )
        for mean in (EYE, 3 * EYE.flip(0))
    )
    y = 2 * torch.randn(4, 7, 2, generator=torch.Generator().manual_seed(0))
    expected = hmm_filter(second, y).probability
    rnn = hmm_as_rnn(first)
    assert (rnn(y) - expected).abs().max() > 0.5
    rnn.load_state_dict(hmm_as_rnn(second).state_dict())
    torch.testing.assert_close(rnn(y), expected)
    torch.testing.assert_close(copy.deepcopy(rnn).double()(y.double()).float(), expected)
    assert copy.deepcopy(rnn).double().float()(y).dtype == torch.float32


@pytest.mark.parametrize("emission", [POISSON, SYMBOLS], ids=["poisson", "categorical"])
def test_rnn_of_counts_and_symbols_has_them_as_buffers(emission):
    rnn = hmm_as_rnn(HMM(HALF, HALVES, emission)).double()
    assert [buffer.dtype for buffer in rnn.buffers()] == [torch.float64]


@pytest.mark.parametrize(
    "function",
    [hmm_filter, hmm_smoother, viterbi, lambda hmm, *series: hmm_as_rnn(hmm)(*series)],
    ids=["filter", "smoother", "viterbi", "rnn"],
)
@pytest.mark.parametrize("emission", [GAUSSIAN, POISSON, SYMBOLS], ids=["gaussian", "poisson", "categorical"])
def test_a_batch_is_its_values_mask_and_lengths(function, emission):
    """Padding and gaps hold NaN, which nobody reads."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([6, 3])
    hmm = HMM(HALF, torch.tensor([[0.9, 0.1], [0.3, 0.7]]), emission)
    values = simulate_hmm(hmm, 6, 2, generator).observations
    columns = values.unsqueeze(-1) if emission is SYMBOLS else values
    mask = (torch.rand(columns.shape, generator=generator) > 0.3) & (torch.arange(6) < lengths[:, None])[
        ..., None
    ]
    times = torch.arange(6.0).expand(2, 6)
    together = IrregularBatch(times, torch.where(mask, columns.float(), torch.nan), mask, lengths)
    found = function(hmm, together)
    expected = function(hmm, values, mask.squeeze(-1) if emission is SYMBOLS else mask, lengths)
    for ours, theirs in zip(tensors(found), tensors(expected), strict=True):
        assert torch.equal(ours, theirs)


def tensors(result):
    return [result] if isinstance(result, torch.Tensor) else list(vars(result).values())
