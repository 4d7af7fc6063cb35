"""Hidden Markov models of gene structure, fitted by counting: an annotation tells the state of each base."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from helpers.data import GeneStructures
from helpers.statespace import HMM, CategoricalEmission

REGIONS = INTERGENIC, EXON, INTRON = range(3)
CODON = 3  # bases in a codon, and so the positions in one
DONOR, ACCEPTOR = 6, 12
"""Bases of the signals at the start and at the end of an intron."""

SHRINK = 4.0
"""Bases, as many as a state's own composition counts beside what stood behind two given ones."""
LEAST_COUNT = 0.01
"""So that no base is impossible."""
STAY_COUNT = 1e-9
"""So that a state that was never seen leads somewhere: to itself."""


@dataclass(frozen=True, eq=False)
class Grammar:
    """The states of a hidden Markov model of genes.

    Attributes
    ----------
    region : Tensor (K,), int64
        What each state stands for: 0 between genes, 1 exon, 2 intron.
    emission : Tensor (K,), int64
        Its distribution of bases; states with the same number share one.
    path : function (GeneStructures) -> Tensor (B, T), int64
        The state of each base.
    """

    region: Tensor
    emission: Tensor
    path: Callable[[GeneStructures], Tensor]

    @property
    def states(self) -> int:
        """K."""
        return len(self.region)


def trinucleotides(bases: Tensor) -> Tensor:
    """Each base and the two before it as one of 64 symbols, (B, T); before the first stands A."""
    before = pad(bases, (2, 0))
    return 16 * before[:, :-2] + 4 * before[:, 1:-1] + bases


def fit_by_counts(grammar: Grammar, data: GeneStructures) -> HMM:
    """Fit a model to annotated stretches: relative frequencies are the maximum of the likelihood.

    ::

        P(j | i) = n(i → j) / n(i → ·)
        P(c | a b, k) = (n_k(a b c) + s P(c | k)) / (n_k(a b) + s)

    A base depends on the two before it, but where those are rare, on the state alone. The model emits a b c
    as one symbol, as if all a b were equally frequent: that is the same factor for every state, and changes
    no posterior.
    """
    K, path = grammar.states, grammar.path(data)
    jumps = counts(K * path[:, :-1] + path[:, 1:], K, K) + STAY_COUNT * torch.eye(K, dtype=torch.double)
    emissions = int(grammar.emission.max()) + 1
    triples = counts(64 * grammar.emission[path] + trinucleotides(data.bases), emissions, 16, 4)
    single = frequencies(triples.sum(1, keepdim=True) + LEAST_COUNT)  # P(c | k)
    emission = frequencies(triples + SHRINK * single).flatten(1) / 16
    return HMM(
        initial=one_hot(torch.tensor(INTERGENIC), K).double(),
        transition=frequencies(jumps),
        emission=CategoricalEmission(emission[grammar.emission]),
    )


def counts(symbols: Tensor, *shape: int) -> Tensor:
    """How often each symbol occurs, laid out in this shape."""
    size = torch.Size(shape)
    return torch.bincount(symbols.flatten(), minlength=size.numel()).view(size).double()


def frequencies(counts: Tensor) -> Tensor:
    """Shares of the last axis."""
    return counts / counts.sum(-1, keepdim=True)


def most_probable_region(probability: Tensor, region: Tensor) -> Tensor:
    """Add up states of the same region, and take the largest: from (B, T, K) and (K,) to (B, T)."""
    return (probability @ one_hot(region, len(REGIONS)).to(probability)).argmax(-1)


# Three grammars.


def seven_states(data: GeneStructures) -> Tensor:
    """Between genes, three codon positions, and introns that remember which position they follow, (B, T)."""
    return torch.where(data.region == INTRON, CODON + last_codon_position(data), data.codon_position)


PER_INTRON = DONOR + 1 + ACCEPTOR
FIRST_OF_INTRONS = 1 + 3 * CODON


def all_signals(data: GeneStructures) -> Tensor:
    """The same with start codon, stop codon and splice signals base by base, (B, T).

    ::

        0   1 2 3   4 5 6   7 8 9   10 … 28   29 … 47   48 … 66
            start   inside  stop    introns after codon position 1, 2 and 3: donor, any, acceptor
    """
    before, behind = place_in_run(data.region)
    opens, closes = opens_gene(data.region, before), opens_gene(data.region.flip(1), behind.flip(1)).flip(1)
    codon = CODON + data.codon_position
    codon = torch.where(opens & (before < CODON), 1 + before, codon)
    codon = torch.where(closes & (behind < CODON), 3 * CODON - behind, codon)
    place = torch.where(behind < ACCEPTOR, PER_INTRON - 1 - behind, before.clamp(max=DONOR))
    intron = FIRST_OF_INTRONS + PER_INTRON * (last_codon_position(data) - 1) + place
    return torch.where(data.region == EXON, codon, torch.where(data.region == INTRON, intron, INTERGENIC))


def last_codon_position(data: GeneStructures) -> Tensor:
    """Codon position of the latest exon base, this one included, (B, T); 0 before the first."""
    steps = torch.arange(data.region.shape[1])
    latest = torch.where(data.region == EXON, steps, 0).cummax(1).values
    return data.codon_position.gather(1, latest)


def place_in_run(region: Tensor) -> tuple[Tensor, Tensor]:
    """How many bases of the same region stand directly before, and directly behind, (B, T) each."""
    return bases_before(region), bases_before(region.flip(1)).flip(1)


def bases_before(region: Tensor) -> Tensor:
    """How many bases of the same region stand directly before, (B, T)."""
    steps = torch.arange(region.shape[1])
    changes = pad(region.diff() != 0, (1, 0), value=True)
    return steps - torch.where(changes, steps, 0).cummax(1).values


def opens_gene(region: Tensor, before: Tensor) -> Tensor:
    """Whether the run that a base is in follows on a stretch between genes, (B, T)."""
    first = torch.arange(region.shape[1]) - before
    return region.gather(1, (first - 1).clamp(min=0)) == INTERGENIC


THREE_STATES = Grammar(torch.arange(3), torch.arange(3), lambda data: data.region)
SEVEN_STATES = Grammar(
    torch.tensor([INTERGENIC] + [EXON] * CODON + [INTRON] * CODON),
    torch.tensor([0, 1, 2, 3, 4, 4, 4]),
    seven_states,
)
ALL_SIGNALS = Grammar(
    torch.tensor([INTERGENIC] + [EXON] * 3 * CODON + [INTRON] * CODON * PER_INTRON),
    torch.cat([torch.arange(10), 10 + torch.arange(PER_INTRON).repeat(CODON)]),
    all_signals,
)
