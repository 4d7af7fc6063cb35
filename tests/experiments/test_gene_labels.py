"""Gene structure: states read off annotations, models fitted by counts, networks, scores and the results."""

import pytest
import torch

from helpers.data import GeneStructures, gene_structures
from helpers.experiments import load_results
from helpers.experiments.gene_grammars import (
    ALL_SIGNALS,
    PER_INTRON,
    SEVEN_STATES,
    SHRINK,
    THREE_STATES,
    fit_by_counts,
    most_probable_region,
    trinucleotides,
)
from helpers.experiments.gene_labels import (
    DIFFERENCES,
    GRAMMARS,
    MEASURES,
    REACH,
    SEEDS,
    SETTINGS,
    SIZES,
    Labeller,
    classes,
    composition,
    differences,
    exons,
    label_by_composition,
    label_by_hmm,
    label_by_network,
    mean_cross_entropy,
    score,
    summarise,
    train_labeller,
)

A, C, G, T = range(4)
BOTH_WAYS = pytest.mark.parametrize("both_ways", [False, True], ids=["one way", "both ways"])
EVERY_GRAMMAR = pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def genes() -> GeneStructures:
    return gene_structures(60, 200, generator=generator())


# Grammars.


@EVERY_GRAMMAR
def test_a_state_lies_in_its_region(genes, grammar):
    assert torch.equal(grammar.region[grammar.path(genes)], genes.region)


def test_introns_remember_which_codon_position_they_follow(genes):
    path = SEVEN_STATES.path(genes)
    b, t = ((genes.region[:, :-1] == 1) & (genes.region[:, 1:] == 2)).nonzero().unbind(1)
    assert len(b) and torch.equal(path[b, t + 1], 3 + genes.codon_position[b, t])
    b, t = ((genes.region[:, :-1] == 2) & (genes.region[:, 1:] == 1)).nonzero().unbind(1)
    assert torch.equal((path[b, t] - 3) % 3 + 1, genes.codon_position[b, t + 1])


@pytest.mark.parametrize(
    ("states", "words"),
    [
        pytest.param((1, 2, 3), {(A, T, G)}, id="start"),
        pytest.param((7, 8, 9), {(T, A, A), (T, A, G), (T, G, A)}, id="stop"),
        *(
            pytest.param((10 + PER_INTRON * k, 11 + PER_INTRON * k), {(G, T)}, id=f"donor after {k + 1}")
            for k in range(3)
        ),
        *(
            pytest.param((27 + PER_INTRON * k, 28 + PER_INTRON * k), {(A, G)}, id=f"acceptor after {k + 1}")
            for k in range(3)
        ),
    ],
)
def test_signals_are_spelt_by_their_states(genes, states, words):
    """Unless an intron cuts them, whose bases lie in states of their own."""
    path = ALL_SIGNALS.path(genes)
    for state, letters in zip(states, zip(*words, strict=True), strict=True):
        found = genes.bases[path == state]
        assert len(found) > 5 and set(found.tolist()) <= set(letters)


def test_a_symbol_is_a_base_and_the_two_before_it():
    bases = torch.tensor([[T, G, C, A]])
    expected = [[T, 4 * T + G, 16 * T + 4 * G + C, 16 * G + 4 * C + A]]
    assert trinucleotides(bases).tolist() == expected


@EVERY_GRAMMAR
def test_counts_make_a_model_of_frequencies(genes, grammar):
    hmm, path = fit_by_counts(grammar, genes), grammar.path(genes)
    i = int(path[:, 20].mode().values)
    j, count = path[:, 1:][path[:, :-1] == i].unique(return_counts=True)
    torch.testing.assert_close(hmm.transition[i, j], count.double() / count.sum())
    total = hmm.emission.probabilities.unflatten(1, (16, 4)).sum(-1)
    torch.testing.assert_close(total, torch.full_like(total, 1 / 16))


def test_a_base_after_rare_ones_follows_its_state(genes):
    hmm, k = fit_by_counts(THREE_STATES, genes), 1
    inside, y = genes.region == k, trinucleotides(genes.bases)
    single = torch.bincount(genes.bases[inside], minlength=4) + 0.01
    single = single / single.sum()
    for pair in (0, 7, 15):
        triples = torch.bincount(y[inside], minlength=64)[4 * pair : 4 * pair + 4]
        expected = (triples + SHRINK * single) / (triples.sum() + SHRINK)
        found = 16 * hmm.emission.probabilities[k, 4 * pair : 4 * pair + 4]
        torch.testing.assert_close(found, expected.double(), atol=1e-6, rtol=0)


def test_a_state_that_was_never_seen_leads_nowhere():
    nothing = torch.zeros(2, 30, dtype=torch.long)
    hmm = fit_by_counts(SEVEN_STATES, GeneStructures(nothing, nothing, nothing, torch.zeros(2)))
    torch.testing.assert_close(hmm.transition, torch.eye(7, dtype=torch.double))


def test_the_most_probable_region_need_not_hold_the_most_probable_state():
    probability = torch.tensor([[[0.4, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0], [0.4, 0.2, 0.1, 0.0, 0.1, 0.1, 0.1]]])
    assert most_probable_region(probability, SEVEN_STATES.region).tolist() == [[1, 0]]


# What is measured.


def test_an_exon_is_exact_where_both_of_its_ends_are():
    truth = torch.tensor([[0, 1, 1, 2, 1, 1, 0], [1, 1, 0, 0, 0, 1, 1]])
    found = torch.tensor([[0, 1, 1, 2, 2, 1, 0], [1, 1, 0, 1, 0, 0, 0]])
    assert exons(truth) == {(0, 1, 3), (0, 4, 6), (1, 0, 2), (1, 5, 7)}
    assert score(found, truth) == {"accuracy": 10 / 14, "sensitivity": 2 / 4, "precision": 2 / 4}
    assert score(torch.zeros_like(truth), truth)["precision"] == 0


def test_a_window_counts_the_bases_that_there_are(genes):
    found = composition(genes.bases)
    ends = {0: slice(0, REACH + 1), 100: slice(100 - REACH, 101 + REACH), 199: slice(199 - REACH, 200)}
    for t, window in ends.items():
        bases = genes.bases[7, window]
        expected = torch.bincount(bases, minlength=4) / len(bases)
        torch.testing.assert_close(found[7, t], expected, atol=1e-6, rtol=0)


def test_composition_tells_apart_what_it_can():
    region = (torch.arange(200) // 100).expand(10, 200)  # A and T in the first half, C and G in the second
    bases = torch.where(region == 0, A, C) + torch.randint(2, (10, 200), generator=generator()) * (
        3 - 2 * region
    )
    data = GeneStructures(bases, region, region, torch.zeros(10))
    wrong = label_by_composition(data, bases) != region
    assert not wrong[:, :95].any() and not wrong[:, 105:].any()


# Networks.


def test_classes_are_codon_positions_and_introns(genes):
    found = classes(genes)
    assert torch.equal(found == 4, genes.region == 2)
    assert torch.equal(found[genes.region != 2], genes.codon_position[genes.region != 2])


@BOTH_WAYS
def test_only_who_reads_both_ways_knows_the_future(genes, both_ways):
    model, y = Labeller(both_ways, generator()), trinucleotides(genes.bases[:2])
    changed = y.clone()
    changed[:, 100:] = 0
    with torch.no_grad():
        moved = (model(changed) != model(y))[:, :100]
    assert moved.any() == both_ways


@BOTH_WAYS
def test_training_repeats_itself_and_improves(both_ways):
    data = gene_structures(20, 60, generator=generator())
    models = [Labeller(both_ways, generator(1))]
    models += [train_labeller(both_ways, data, generator(1), updates=25) for _ in range(2)]
    with torch.no_grad():
        batch = trinucleotides(data.bases), classes(data)
        before, *after = (mean_cross_entropy(model, batch).item() for model in models)
    assert after[0] == after[1] < before - 0.3


def test_a_network_labels_every_base(genes):
    found = label_by_network(Labeller(False, generator()), genes.bases)
    assert found.shape == genes.region.shape and set(found.unique().tolist()) <= {0, 1, 2}


def test_with_enough_to_count_the_smoother_beats_the_filter_and_the_majority(genes):
    test = gene_structures(40, 200, generator=generator(1))
    found = {
        way: score(region, test.region)
        for way, region in label_by_hmm(SEVEN_STATES, genes, test.bases).items()
    }
    assert list(found) == ["filter", "smoother", "Viterbi"]
    majority = (test.region == 0).double().mean().item()
    assert found["smoother"]["accuracy"] > found["filter"]["accuracy"] > majority


# The table.


def test_differences_are_taken_seed_by_seed():
    models = sorted({one for pair in DIFFERENCES for one in pair})
    records = [
        {"seed": seed, "sequences": 20, "model": model, "method": method}
        | dict.fromkeys(MEASURES, number + 10 * seed)
        for seed in (1, 2)
        for number, (model, method) in enumerate(models)
    ]
    summary = summarise(records)
    assert [row["accuracy"]["seeds"] for row in summary] == [[n + 10, n + 20] for n, _ in enumerate(models)]
    first = differences(summary)[0]
    gap = models.index(DIFFERENCES[0][0]) - models.index(DIFFERENCES[0][1])
    assert (first["first"], first["second"]) == ("HMM, 67 states smoother", "GRU, both ways")
    assert first["precision"] == {"mean": gap, "interval": [gap, gap], "seeds": [gap, gap]}


# What was found: tests of the committed file.


@pytest.fixture(scope="module")
def stored():
    return load_results("gene_labels")


def test_what_is_stored_was_run_by_these_settings(stored):
    as_lists = {name: list(value) if isinstance(value, tuple) else value for name, value in SETTINGS.items()}
    assert stored["settings"] == as_lists
    summary = stored["results"]["summary"]
    assert {row["sequences"] for row in summary} == set(SIZES)
    assert {len(row["accuracy"]["seeds"]) for row in summary} == {len(SEEDS)}
    assert stored["results"]["differences"] == differences(summary)


def difference(stored, sequences, first, second):
    """How much more accurate by base the first was, with every seed."""
    rows = stored["results"]["differences"]
    chosen = (sequences, first, second)
    row = next(row for row in rows if (row["sequences"], row["first"], row["second"]) == chosen)
    return row["accuracy"]["seeds"]


@pytest.mark.parametrize("sequences", SIZES)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("HMM, 67 states smoother", "GRU, both ways", id="grammar and network, both ways"),
        pytest.param("HMM, 67 states filter", "GRU", id="grammar and network, one way"),
        *(pytest.param(f"{name} smoother", f"{name} filter", id=name) for name in GRAMMARS),
        pytest.param("window", "majority", id="composition and majority"),
    ],
)
def test_with_any_number_of_sequences_every_seed_is_for_the_first(stored, sequences, first, second):
    assert min(difference(stored, sequences, first, second)) > 0


@pytest.mark.parametrize(
    ("hmm", "network"),
    [
        pytest.param("HMM, 7 states smoother", "GRU, both ways", id="both ways"),
        pytest.param("HMM, 7 states filter", "GRU", id="one way"),
    ],
)
def test_networks_need_more_than_20_sequences_to_beat_7_states(stored, hmm, network):
    assert min(difference(stored, 20, hmm, network)) > 0
    assert max(difference(stored, 500, hmm, network)) < 0
