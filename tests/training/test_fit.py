"""The training loop: what it reports, what it keeps, and what it leaves as it was."""

import copy

import pytest
import torch
from torch import nn

from helpers.training import fit


def squared_error(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(24, 3, generator=generator)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]])


@pytest.fixture
def shuffled(data):
    x, y = data
    return lambda generator: [(x[i], y[i]) for i in torch.randperm(24, generator=generator).split(8)]


@pytest.fixture
def line():
    """One weight that starts at 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 1))


def ones():
    return [(torch.ones(1, 1), torch.zeros(1, 1))]


def test_gradient_descent_by_hand(line):
    """Loss w², gradient 2w, step 0.1: the weight shrinks by 0.8 each epoch."""
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    history = fit(line, squared_error, ones(), epochs=3, optimiser=sgd, progress=False)
    assert line.weight.item() == pytest.approx(0.8**3)
    assert history.train_losses == pytest.approx((1, 0.64, 0.64**2))
    assert history.gradient_norms == pytest.approx((2, 1.6, 1.28))
    assert history.validation_losses == ()
    assert (history.best_epoch, history.stopped_because) == (3, "all 3 epochs are done")


def test_train_loss_is_the_mean_and_gradient_norm_the_largest(line):
    frozen = torch.optim.SGD(line.parameters(), lr=1e-30)
    batches = [(torch.full((1, 1), x), torch.zeros(1, 1)) for x in (1.0, 3.0, 2.0)]
    history = fit(line, squared_error, batches, epochs=1, optimiser=frozen, progress=False)
    assert history.train_losses == pytest.approx(((1 + 9 + 4) / 3,))
    assert history.gradient_norms == pytest.approx((18,))


@pytest.mark.parametrize(("clip", "weight"), [(0.5, 1 - 0.1 * 0.5), (5.0, 1 - 0.1 * 2)])
def test_clipping_shortens_long_gradients_only_and_history_shows_them_whole(line, clip, weight):
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    history = fit(line, squared_error, ones(), epochs=1, optimiser=sgd, clip=clip, progress=False)
    assert line.weight.item() == pytest.approx(weight, rel=1e-5)
    assert history.gradient_norms == pytest.approx((2,))


def test_default_optimiser_is_adam(data, network):
    twin = copy.deepcopy(network)
    fit(network.eval(), squared_error, [data], epochs=1, learning_rate=0.01, progress=False)
    steps = [
        (ours - before).abs().max() for ours, before in zip(weights(network), weights(twin), strict=True)
    ]
    assert max(steps).item() == pytest.approx(0.01, rel=1e-3)  # Adam's first step is the learning rate


def test_keeps_a_copy_of_the_best_weights(line):
    """With step 1.5 on w² the weight goes 1, -2, 4, …; the best validation loss is the first epoch's."""
    sgd = torch.optim.SGD(line.parameters(), lr=1.5)
    history = fit(
        line, squared_error, ones(), epochs=9, optimiser=sgd, validation=ones(), patience=3, progress=False
    )
    assert history.validation_losses == pytest.approx((4, 16, 64, 256))
    assert (history.best_epoch, line.weight.item()) == (1, -2.0)
    assert history.stopped_because == "the validation loss has not fallen for 3 epochs"


def test_the_earliest_of_equal_epochs_is_the_best(line):
    still = torch.optim.SGD(line.parameters(), lr=0.0)
    history = fit(line, squared_error, ones(), epochs=3, optimiser=still, validation=ones(), progress=False)
    assert (history.best_epoch, history.stopped_because) == (1, "all 3 epochs are done")


def test_same_generator_same_result_and_global_stream_untouched(network, shuffled):
    first, second, other = (copy.deepcopy(network) for _ in range(3))
    before = torch.get_rng_state()
    for model, seed in ((first, 3), (second, 3), (other, 4)):
        generator = torch.Generator().manual_seed(seed)
        fit(model, squared_error, shuffled, epochs=2, generator=generator, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


def test_without_a_generator_the_global_stream_decides_by_one_draw(network, shuffled):
    models = [copy.deepcopy(network) for _ in range(3)]
    with torch.random.fork_rng():
        for model, seed in zip(models, (5, 5, 6), strict=True):
            torch.manual_seed(seed)
            fit(model, squared_error, shuffled, epochs=2, progress=False)
            after = torch.rand(())
            torch.manual_seed(seed)
            torch.randint(2**63 - 1, ())
            assert torch.equal(after, torch.rand(()))
    assert same(weights(models[0]), weights(models[1]))
    assert not same(weights(models[0]), weights(models[2]))


def test_dropout_acts_in_training_and_rests_in_validation(network, data):
    modes = []

    def watched(model, batch):
        modes.append((model.training, torch.is_grad_enabled()))
        return squared_error(model, batch)

    fit(network, watched, [data], epochs=1, validation=[data], progress=False)
    assert modes == [(True, True), (False, False)]


def test_every_part_leaves_in_the_mode_it_came_in(network, data):
    network.train()
    network[2].eval()
    fit(network, squared_error, [data], epochs=1, validation=[data], progress=False)
    assert [module.training for module in network] == [True, True, False, True]


def test_several_devices(device, network, data):
    network.to(device)
    batch = tuple(tensor.to(device) for tensor in data)
    history = fit(network, squared_error, [batch], epochs=30, learning_rate=0.03, clip=5.0, progress=False)
    assert history.train_losses[-1] < history.train_losses[0] / 2


def test_double_precision_is_kept(data):
    model = nn.Linear(3, 1).double()
    history = fit(
        model, squared_error, [tuple(x.double() for x in data)], epochs=1, clip=1e-3, progress=False
    )
    assert history.train_losses[0] != torch.tensor(history.train_losses[0]).float().item()


def test_denormals_are_flushed_during_the_run_only(line):
    def denormal():
        return (torch.tensor([1e-308], dtype=torch.float64) / 4).item()

    seen = []

    def watched(model, batch):
        seen.append(denormal())
        return squared_error(model, batch)

    assert denormal() > 0
    if not torch.set_flush_denormal(False):
        pytest.skip("this CPU cannot flush denormal numbers")
    for flush in (True, False):
        fit(line, watched, ones(), epochs=1, flush_denormal=flush, progress=False)
        assert denormal() > 0
    assert seen[0] == 0 < seen[1]
    torch.set_flush_denormal(True)
    try:
        fit(line, watched, ones(), epochs=1, flush_denormal=True, progress=False)
        assert denormal() == 0
    finally:
        torch.set_flush_denormal(False)


def test_flushing_where_the_cpu_cannot(line, monkeypatch):
    monkeypatch.setattr(torch, "set_flush_denormal", lambda mode: False)
    with pytest.raises(ValueError, match="this CPU cannot flush denormal numbers to zero"):
        fit(line, squared_error, ones(), epochs=1, flush_denormal=True)


def breaks_at(step, make_loss):
    """A loss that is ``make_loss`` of the honest one from a given step on."""
    calls = iter(range(1, 1000))

    def loss(model, batch):
        honest = squared_error(model, batch)
        return make_loss(model, honest) if model.training and next(calls) >= step else honest

    return loss


def test_nan_loss_says_where_and_leaves_the_best_weights(line):
    model = nn.Sequential(line, nn.Identity())
    sgd = torch.optim.SGD(model.parameters(), lr=1.5)
    loss = breaks_at(6, lambda model, honest: honest * torch.nan)
    with pytest.raises(FloatingPointError) as error:
        fit(model.eval(), loss, ones() * 2, epochs=9, optimiser=sgd, validation=ones(), progress=False)
    assert str(error.value) == (
        "training broke down in epoch 3, batch 2 with loss nan and gradient norm nan; the step before had "
        "loss 256 and gradient norm 32. Parameters not finite: none. Gradients not finite: 0.weight"
    )
    assert line.weight.item() == 4.0  # after epoch 1, the best
    assert not model.training


def test_nan_at_the_first_step_of_all_and_of_an_epoch(line):
    with pytest.raises(
        FloatingPointError, match="epoch 1, batch 1 with loss inf .*; no step was taken before"
    ):
        fit(line, breaks_at(1, lambda model, honest: honest / 0), ones(), epochs=1, progress=False)
    with pytest.raises(FloatingPointError, match="epoch 2, batch 1 .*; the step before had loss 1 and"):
        fit(line, breaks_at(2, lambda model, honest: honest / 0), ones(), epochs=2, progress=False)


def test_infinite_gradient_of_a_finite_loss_is_not_taken(line):
    with pytest.raises(FloatingPointError, match="loss 0 and gradient norm inf"):
        fit(
            line, lambda model, _: (model.weight - 1).sum().sqrt(), ones(), epochs=1, clip=1.0, progress=False
        )
    assert line.weight.item() == 1.0


def test_parameters_that_are_not_finite_are_named(line):
    nn.init.constant_(line.weight, torch.inf)
    with pytest.raises(
        FloatingPointError, match="Parameters not finite: weight. Gradients not finite: weight"
    ):
        fit(line, squared_error, ones(), epochs=1, progress=False)


def test_validation_loss_that_is_not_finite(line):
    bad = [(torch.ones(1, 1), torch.full((1, 1), torch.nan))]
    with pytest.raises(FloatingPointError, match="the validation loss is nan after epoch 1"):
        fit(line, squared_error, ones(), epochs=2, validation=bad, progress=False)


def test_best_weights_after_an_interruption(line):
    def interrupted(model, honest):
        raise KeyboardInterrupt

    sgd = torch.optim.SGD(line.parameters(), lr=1.5)
    with pytest.raises(KeyboardInterrupt):
        fit(
            line,
            breaks_at(3, interrupted),
            ones(),
            epochs=9,
            optimiser=sgd,
            validation=ones(),
            progress=False,
        )
    assert line.weight.item() == -2.0


BAD_ARGUMENTS = [
    ({"epochs": 0}, "epochs must be a whole number of at least 1: got 0"),
    ({"epochs": 1.5}, "epochs must be a whole number of at least 1: got 1.5"),
    ({"epochs": None}, "epochs must be a whole number of at least 1: got None"),
    ({"patience": 0}, "patience must be a whole number of at least 1: got 0"),
    ({"patience": 2}, "patience=2 needs validation batches to judge by: got validation=None"),
    ({"clip": 0.0}, "clip must be positive and finite: got 0.0"),
    ({"learning_rate": float("nan")}, "learning_rate must be positive and finite: got nan"),
    ({"batches": []}, "batches held no batch in epoch 1: give a list, a DataLoader, or a function"),
    ({"validation": []}, "validation held no batch in epoch 1"),
    ({"batches": iter(ones()), "epochs": 2}, "batches held no batch in epoch 2"),
    ({"batches": lambda generator: iter(())}, "batches held no batch in epoch 1"),
    ({"loss": lambda m, b: m(b[0])}, r"a scalar tensor: got shape \(1, 1\) in epoch 1, batch 1"),
    ({"loss": lambda m, b: 1.0}, "a scalar tensor: got a float in epoch 1, batch 1"),
    (
        {"loss": lambda m, b: m(b[0]).sum() + 0j},
        "loss must return a floating-point number: got a torch.complex64 tensor in epoch 1, batch 1",
    ),
    ({"loss": lambda m, b: torch.ones(())}, "no gradient reaches them in epoch 1, batch 1"),
    ({"loss": lambda m, b: torch.ones((), requires_grad=True) * 2}, "no gradient reaches them"),
    ({"checkpoint": "no/such/folder/run.pt"}, "checkpoint must lie in a folder that exists: got no"),
    ({"model": nn.Identity()}, "model has no parameters to train"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS, ids=[case[-1] for case in BAD_ARGUMENTS])
def test_bad_arguments(line, arguments, message):
    good = {"model": line, "loss": squared_error, "batches": ones(), "epochs": 1, "progress": False}
    with pytest.raises(ValueError, match=message):
        fit(**good | arguments)


def test_non_scalar_validation_loss(line):
    def loss(model, batch):
        return squared_error(model, batch).expand(() if model.training else 2)

    with pytest.raises(ValueError, match=r"got shape \(2,\) in validation, epoch 1, batch 1"):
        fit(line, loss, ones(), epochs=1, validation=ones(), progress=False)


def test_an_optimiser_brings_its_own_learning_rate(line):
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="learning_rate=0.5 is for the default Adam"):
        fit(line, squared_error, ones(), epochs=1, optimiser=sgd, learning_rate=0.5)


def test_an_optimiser_of_another_model_is_found_out(line):
    other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="loss must depend on the parameters that the optimiser trains"):
        fit(line, squared_error, ones(), epochs=1, optimiser=other, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"model": None}, "model must be an nn.Module: got NoneType", id="model"),
        pytest.param({"loss": 3}, "loss must be a function of model and batch: got int", id="loss"),
        pytest.param(
            {"batches": None},
            "batches must be an iterable or a function of a generator: got None",
            id="batches",
        ),
        pytest.param({"validation": 3}, "validation must be an iterable or a function of a", id="validation"),
        pytest.param(
            {"optimiser": "Adam"}, "optimiser must be a torch.optim.Optimizer: got str", id="optimiser"
        ),
        pytest.param({"checkpoint": 3}, "checkpoint must be a path: got int", id="checkpoint"),
        pytest.param({"generator": 3}, "generator must be a torch.Generator: got int", id="generator"),
    ],
)
def test_every_argument_is_of_its_kind(change, message):
    arguments = {
        "model": torch.nn.Linear(1, 1),
        "loss": lambda model, batch: model(batch).square().mean(),
        "batches": [torch.ones(2, 1)],
        "epochs": 1,
        "progress": False,
    }
    with pytest.raises(ValueError, match=message):
        fit(**arguments | change)
