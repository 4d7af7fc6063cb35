"""Gene structure, base by base: hidden Markov models fitted by counting against recurrent networks.

`OMP_NUM_THREADS=1 python -m helpers.experiments.gene_labels` runs it, in about ten minutes. Every model sees
the same input, the trinucleotide that ends at each base, and the same annotation, codon positions included.
It is judged on the region of each base (between genes, exon, intron), and on the exons of which both ends are
right. Of the sequences to learn from, a fifth validates the networks; the other models learn from all.

Expected, before the run. Step size, units and updates were chosen on other seeds, 0 to 4, which are not used
again; what is said below of the networks and of numbers of sequences leans on those.

1. What a model knows it need not learn. The 67 states are the grammar by which the sequences were drawn,
   but for lengths that are not geometric. With every number of sequences that HMM is first: its filter among
   those who read one way, its smoother among all. Its lead shrinks as there is more to learn from.
2. With 20 sequences no network beats the HMM with 7 states; with 500 both do, for they can learn splice
   signals, for which this HMM has no states.
3. The smoother beats the filter, whatever the states: an intron's end tells as much of it as its start, and
   the filter has seen only the start. So do both ways beat one way, once there is enough to learn from.
4. Only the 67 states know the signals base by base, so only they find most exons with both ends right.
5. The smoother's region is the most probable one at each base, Viterbi's path the most probable as a whole:
   where the model is right, with 67 states, the first is no less accurate by base, and more of the exons that
   the second finds are exact.
6. The composition of a window beats calling every base intergenic, and finds almost no exon's ends.

Source: Burge & Karlin (1997), Prediction of complete gene structures in human genomic DNA, Journal of
Molecular Biology 268:78-94; Burset & Guigó (1996), Evaluation of gene structure prediction programs, Genomics
34:353-367, for what is measured.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import fields

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import avg_pool1d, cross_entropy, one_hot, pad

from helpers.data import GeneStructures, gene_structures
from helpers.experiments.gene_grammars import (
    ALL_SIGNALS,
    EXON,
    INTERGENIC,
    INTRON,
    REGIONS,
    SEVEN_STATES,
    THREE_STATES,
    Grammar,
    fit_by_counts,
    most_probable_region,
    trinucleotides,
)
from helpers.experiments.intervals import mean_with_interval
from helpers.experiments.one_cycle import one_cycle
from helpers.experiments.results import write_results
from helpers.recurrent import GRU, Bidirectional
from helpers.statespace import hmm_filter, hmm_smoother, viterbi
from helpers.training import fit

SEEDS = (10, 11, 12, 13, 14)
SIZES = (20, 100, 500)  # sequences to learn from; a smaller set is part of every larger one
TEST, LENGTH = 200, 200
VALIDATE, LEAST_TO_VALIDATE = 0.2, 4  # share of the sequences, and how many at least
EMBEDDING, UNITS = 16, 64
PEAK, RISE, WEIGHT_DECAY, CLIP = 1e-2, 0.2, 0.01, 1.0
UPDATES, CHECK_EVERY, BATCH = 200, 25, 16
REACH = 15  # bases on each side of a window

GRAMMARS = {"HMM, 3 states": THREE_STATES, "HMM, 7 states": SEVEN_STATES, "HMM, 67 states": ALL_SIGNALS}
NETWORKS = {"GRU": False, "GRU, both ways": True}

CLASS_REGION = torch.tensor([INTERGENIC, EXON, EXON, EXON, INTRON])
"""What a network tells apart: between genes, the three codon positions, and introns."""


def classes(data: GeneStructures) -> Tensor:
    """The class of each base, (B, T)."""
    return torch.where(data.region == INTRON, len(CLASS_REGION) - 1, data.codon_position)


def select(data: GeneStructures, rows: slice) -> GeneStructures:
    """Some of the sequences."""
    return GeneStructures(*(getattr(data, field.name)[rows] for field in fields(data)))


# What is measured.


def exons(region: Tensor) -> set[tuple[int, int, int]]:
    """Sequence, first base and end of every exon."""
    edges = pad((region == EXON).long(), (1, 1)).diff()
    first, end = (edges == 1).nonzero(), (edges == -1).nonzero()
    return {(b, i, j) for (b, i), (_, j) in zip(first.tolist(), end.tolist(), strict=True)}


def score(region: Tensor, truth: Tensor) -> dict[str, float]:
    """Compare regions (B, T) with the true ones.

    `accuracy` is the share of bases, `sensitivity` that of the true exons found with both ends right, and
    `precision` that of the exons found that are such; 0 where none is found.
    """
    found, true = exons(region), exons(truth)
    exact = len(found & true)
    return {
        "accuracy": (region == truth).double().mean().item(),
        "sensitivity": exact / len(true),
        "precision": exact / max(len(found), 1),
    }


# Models.


def label_by_hmm(grammar: Grammar, train: GeneStructures, bases: Tensor) -> dict[str, Tensor]:
    """Regions by filter, smoother and Viterbi's path."""
    hmm, y = fit_by_counts(grammar, train), trinucleotides(bases)
    return {
        "filter": most_probable_region(hmm_filter(hmm, y).probability, grammar.region),
        "smoother": most_probable_region(hmm_smoother(hmm, y).probability, grammar.region),
        "Viterbi": grammar.region[viterbi(hmm, y).path],
    }


class Labeller(nn.Module):
    """A GRU that reads trinucleotides one way or both, and a linear readout of the class of each base."""

    def __init__(self, both_ways: bool, generator: Generator) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, EMBEDDING)
        gru = GRU(EMBEDDING, UNITS, generator=generator)
        self.recurrent = Bidirectional(gru, generator=generator) if both_ways else gru
        self.readout = nn.Linear(self.recurrent.output_size, len(CLASS_REGION))
        nn.init.normal_(self.embedding.weight, generator=generator)
        bound = self.recurrent.output_size**-0.5
        for weight in self.readout.parameters():
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def forward(self, y: Tensor) -> Tensor:
        """From symbols (B, T) to logits (B, T, 5)."""
        return self.readout(self.recurrent(self.embedding(y)))


Batch = tuple[Tensor, Tensor]
"""Trinucleotides and classes, (B, T) each."""


def train_labeller(
    both_ways: bool, data: GeneStructures, generator: Generator, updates: int = UPDATES
) -> Labeller:
    """AdamW through one cycle of step sizes; the weights that validate best are kept."""
    y, target = trinucleotides(data.bases), classes(data)
    held_out = max(int(VALIDATE * len(y)), LEAST_TO_VALIDATE)
    model = Labeller(both_ways, generator)
    optimiser = torch.optim.AdamW(model.parameters(), PEAK, weight_decay=WEIGHT_DECAY)

    def batches(generator: Generator) -> Iterator[Batch]:
        for _ in range(CHECK_EVERY):
            rows = torch.randint(held_out, len(y), (BATCH,), generator=generator)
            yield y[rows], target[rows]

    fit(
        model,
        mean_cross_entropy,
        batches,
        epochs=updates // CHECK_EVERY,
        optimiser=one_cycle(optimiser, updates, RISE),
        validation=[(y[:held_out], target[:held_out])],
        clip=CLIP,
        progress=False,
        generator=generator,
    )
    return model


def mean_cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """-log of the probability that the model gives to the true class, on average."""
    return cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


@torch.no_grad()
def label_by_network(model: Labeller, bases: Tensor) -> Tensor:
    """The most probable region of each base."""
    return most_probable_region(model(trinucleotides(bases)).softmax(-1), CLASS_REGION)


def label_by_composition(train: GeneStructures, bases: Tensor) -> Tensor:
    """Logistic regression on how frequent A, C, G and T are around each base."""
    x = composition(train.bases).flatten(0, 1)
    mean, deviation = x.mean(0), x.std(0)
    linear = nn.Linear(4, len(REGIONS))
    for weight in linear.parameters():
        nn.init.zeros_(weight)
    optimiser = torch.optim.LBFGS(linear.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = cross_entropy(linear((x - mean) / deviation), train.region.flatten())
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return linear((composition(bases) - mean) / deviation).argmax(-1)


def composition(bases: Tensor) -> Tensor:
    """Shares of A, C, G and T among the bases up to REACH away, (B, T, 4); fewer at the ends."""
    symbols = one_hot(bases, 4).float().mT
    return avg_pool1d(symbols, 2 * REACH + 1, 1, REACH, count_include_pad=False).mT


# All of it.


def label(train: GeneStructures, bases: Tensor, generator: Generator) -> Iterator[tuple[str, str, Tensor]]:
    """Model, method and regions (B, T), one model after another."""
    yield "majority", "", torch.full_like(bases, INTERGENIC)
    yield "window", "", label_by_composition(train, bases)
    for name, grammar in GRAMMARS.items():
        for method, region in label_by_hmm(grammar, train, bases).items():
            yield name, method, region
    for name, both_ways in NETWORKS.items():
        yield name, "", label_by_network(train_labeller(both_ways, train, generator), bases)


def run_seed(seed: int, sizes: tuple[int, ...] = SIZES) -> Iterator[list[dict]]:
    """Scores of every model on the same test sequences, from one number of sequences after another."""
    generator = torch.Generator().manual_seed(seed)
    test = gene_structures(TEST, LENGTH, generator=generator)
    pool = gene_structures(max(sizes), LENGTH, generator=generator)
    for size in sizes:
        place = {"seed": seed, "sequences": size}
        yield [
            place | {"model": model, "method": method} | score(region, test.region)
            for model, method, region in label(select(pool, slice(size)), test.bases, generator)
        ]


PLACE = ("sequences", "model", "method")
MEASURES = ("accuracy", "sensitivity", "precision")


def summarise(records: list[dict]) -> list[dict]:
    """Each model's scores over the seeds, with their 95 % intervals."""
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault(tuple(record[name] for name in PLACE), []).append(record)
    return [
        dict(zip(PLACE, place, strict=True))
        | {measure: mean_with_interval(record[measure] for record in group) for measure in MEASURES}
        for place, group in groups.items()
    ]


DIFFERENCES = (
    (("HMM, 67 states", "smoother"), ("GRU, both ways", "")),
    (("HMM, 67 states", "filter"), ("GRU", "")),
    (("HMM, 7 states", "smoother"), ("GRU, both ways", "")),
    (("HMM, 7 states", "filter"), ("GRU", "")),
    (("GRU, both ways", ""), ("GRU", "")),
    *(((name, "smoother"), (name, "filter")) for name in GRAMMARS),
    (("HMM, 67 states", "smoother"), ("HMM, 67 states", "Viterbi")),
    (("window", ""), ("majority", "")),
)
"""Pairs whose scores are subtracted seed by seed, the second from the first."""


def differences(summary: list[dict]) -> list[dict]:
    """Paired differences, with their 95 % intervals."""
    rows = {tuple(row[name] for name in PLACE): row for row in summary}
    return [
        {"sequences": size, "first": " ".join(first).strip(), "second": " ".join(second).strip()}
        | {name: _difference(rows[size, *first][name], rows[size, *second][name]) for name in MEASURES}
        for size in sorted({row["sequences"] for row in summary})
        for first, second in DIFFERENCES
    ]


def _difference(first: dict, second: dict) -> dict:
    return mean_with_interval(a - b for a, b in zip(first["seeds"], second["seeds"], strict=True))


SETTINGS = {
    "seeds": SEEDS,
    "sequences": SIZES,
    "test_sequences": TEST,
    "length": LENGTH,
    "validate": (VALIDATE, LEAST_TO_VALIDATE),
    "embedding": EMBEDDING,
    "units": UNITS,
    "step_size": (PEAK, RISE),
    "weight_decay": WEIGHT_DECAY,
    "clip": CLIP,
    "updates": UPDATES,
    "check_every": CHECK_EVERY,
    "batch": BATCH,
    "reach": REACH,
}


def main() -> None:
    """Run all seeds, write what there is after each number of sequences, and in the end what it comes to."""
    torch.set_num_threads(1)
    began, records = time.perf_counter(), []

    def write(results: dict) -> None:
        write_results("gene_labels", SETTINGS, results, time.perf_counter() - began)

    for seed in SEEDS:
        for scores in run_seed(seed):
            records += scores
            print(json.dumps(scores), flush=True)
            write({"records": records})
    summary = summarise(records)
    write({"summary": summary, "differences": differences(summary)})


if __name__ == "__main__":
    main()
