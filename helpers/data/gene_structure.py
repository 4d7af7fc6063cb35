"""Genes drawn base by base from the rules of a textbook, so that what each base is is known."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_generator, check_whole_number

BASES = "ACGT"
INTERGENIC, EXON, INTRON = range(3)

START, STOPS = "ATG", ("TAA", "TAG", "TGA")
DONOR, ACCEPTOR = "GTRAGT", "YYYYYYYYNYAG"
STANDS_FOR = {"R": "AG", "Y": "CT"}
CONSENSUS = 0.8
"""Probability that a base of a splice signal is as its letter says; GT and AG always are."""

GC_FROM, GC_TO = 0.25, 0.45
CODON_BIAS = 2.0
MOST_INTRONS = 2
EXON_LENGTH = 12, 24.0, 0.4
INTRON_LENGTH = 20, 10.0, 0.5
GAP_LENGTH = 5, 30.0, 0.6
"""The least, and median and σ of the log-normal length on top of it; in bases."""

CODON_USAGE = """
AAA 24.4  AAC 19.1  AAG 31.9  AAT 17.0  ACA 15.1  ACC 18.9  ACG  6.1  ACT 13.1
AGA 12.2  AGC 19.5  AGG 12.0  AGT 12.1  ATA  7.5  ATC 20.8  ATG 22.0  ATT 16.0
CAA 12.3  CAC 15.1  CAG 34.2  CAT 10.9  CCA 16.9  CCC 19.8  CCG  6.9  CCT 17.5
CGA  6.2  CGC 10.4  CGG 11.4  CGT  4.5  CTA  7.2  CTC 19.6  CTG 39.6  CTT 13.2
GAA 29.0  GAC 25.1  GAG 39.6  GAT 21.8  GCA 15.8  GCC 27.7  GCG  7.4  GCT 18.4
GGA 16.5  GGC 22.2  GGG 16.5  GGT 10.8  GTA  7.1  GTC 14.5  GTG 28.1  GTT 11.0
TAA  1.0  TAC 15.3  TAG  0.8  TAT 12.2  TCA 12.2  TCC 17.7  TCG  4.4  TCT 15.2
TGA  1.6  TGC 12.6  TGG 13.2  TGT 10.6  TTA  7.7  TTC 20.3  TTG 12.9  TTT 17.6
"""
"""Of 1000 codons in human genes, in the order of the alphabet, ACGT."""


@dataclass(frozen=True, eq=False)
class GeneStructures:
    """Stretches of DNA, with what each base is.

    Attributes
    ----------
    bases : Tensor (B, T), int64
        0, 1, 2, 3 for A, C, G, T.
    region : Tensor (B, T), int64
        0 between genes, 1 in an exon, 2 in an intron.
    codon_position : Tensor (B, T), int64
        1, 2 or 3 in an exon, where a codon goes on behind an intron; 0 elsewhere.
    gc : Tensor (B,)
        Probability of G or C between genes and in introns.
    """

    bases: Tensor
    region: Tensor
    codon_position: Tensor
    gc: Tensor


def gene_structures(sequences: int, length: int, *, generator: Generator) -> GeneStructures:
    """Draw stretches of DNA with as many whole genes as fit, each behind a stretch without.

    ::

        gene = ATG codon … codon (TAA | TAG | TGA), cut by 0, 1 or 2 introns GTRAGT … YYYYYYYYNYAG
        length = least + exp(log median + σ z),   z ~ N(0, 1)
        P(codon) ∝ (human usage)²,   P(G) = P(C) = gc / 2 outside exons,   gc uniform on [0.25, 0.45]

    An intron may cut a codon. R is A or G and Y is C or T; each base of a splice signal is as its letter says
    with probability 0.8, GT and AG always. N and … between the signals have the stretch's own composition.

    A gene must fit into 200 bases for a small network to learn from in seconds, so an exon has about 38
    instead of 120. To make up for what a short exon says less, the usage of codons is squared, and all else
    holds fewer G and C than in human genomes. Left out are the opposite strand, untranslated exons,
    promoters, repeats, alternative splicing, genes cut by a stretch's end, and any dependence between codons.

    Parameters
    ----------
    sequences, length : int
        B and T, each 1 or more. What is too short for a gene has none.
    generator : torch.Generator
        The result is on its device.

    Raises
    ------
    ValueError
        If `sequences` or `length` is less than 1, or there is no generator.

    Source: Burge & Karlin (1997), Prediction of complete gene structures in human genomic DNA, Journal of
    Molecular Biology 268:78-94, figure 3, for the grammar; Mount (1982), A catalogue of splice junction
    sequences, Nucleic Acids Research 10:459-472; Nakamura, Gojobori & Ikemura (2000), Codon usage tabulated
    from international DNA sequence databases, Nucleic Acids Research 28:292.
    """
    check_whole_number("sequences", sequences)
    check_whole_number("length", length)
    check_generator("generator", generator)
    gc = torch.empty(sequences, device=generator.device).uniform_(GC_FROM, GC_TO, generator=generator)
    drawn = torch.stack([_stretch(length, background, generator) for background in _composition(gc)], 1)
    return GeneStructures(*drawn, gc)


def _composition(gc: Tensor) -> Tensor:
    """Probabilities of A, C, G and T, shape (B, 4)."""
    return torch.stack([1 - gc, gc, gc, 1 - gc], -1) / 2


def _stretch(length: int, background: Tensor, generator: Generator) -> Tensor:
    """Bases, region and codon position of one stretch, (3, T)."""
    parts, left = [], length
    while True:
        gap = _between(_log_normal(*GAP_LENGTH, generator), background, generator)
        gene = _gene(background, generator)
        if gap.shape[1] + gene.shape[1] > left:
            return torch.cat([*parts, _between(left, background, generator)], 1)
        parts += [gap, gene]
        left -= gap.shape[1] + gene.shape[1]


def _gene(background: Tensor, generator: Generator) -> Tensor:
    """Exons, and an intron between each two of them, (3, L)."""
    introns = int(torch.randint(MOST_INTRONS + 1, (), generator=generator, device=generator.device))
    exons = [_log_normal(*EXON_LENGTH, generator) for _ in range(introns + 1)]
    exons[-1] += -sum(exons) % 3  # whole codons
    first, *rest = _coding(sum(exons) // 3, background, generator).split(exons, 1)
    return torch.cat([first, *(part for exon in rest for part in (_intron(background, generator), exon))], 1)


def _coding(codons: int, background: Tensor, generator: Generator) -> Tensor:
    """A start codon, codons that stop nothing, and a stop codon, (3, L)."""
    usage = torch.tensor([float(word) for word in CODON_USAGE.split()[1::2]], device=background.device)
    stops = [BASES.index(a) * 16 + BASES.index(b) * 4 + BASES.index(c) for a, b, c in STOPS]
    stopping = torch.zeros_like(usage, dtype=torch.bool)
    stopping[stops] = True
    sense = (usage**CODON_BIAS).masked_fill(stopping, 0.0)
    inner = _choose(sense.expand(codons - 2, -1), generator)
    last = _choose(usage.masked_fill(~stopping, 0.0).unsqueeze(0), generator)
    start = torch.tensor([BASES.index(base) for base in START], device=usage.device)
    later = torch.cat([inner, last])
    bases = torch.cat([start, torch.stack([later // 16, later // 4 % 4, later % 4], -1).flatten()])
    position = torch.arange(len(bases), device=usage.device) % 3 + 1
    return torch.stack([bases, torch.full_like(bases, EXON), position])


def _intron(background: Tensor, generator: Generator) -> Tensor:
    """A donor signal, any bases, and an acceptor signal, (3, L)."""
    inner = _log_normal(*INTRON_LENGTH, generator) - len(DONOR) - len(ACCEPTOR)
    motif = DONOR + "N" * inner + ACCEPTOR
    probability = torch.stack([_letter(letter, background) for letter in motif])
    for fixed, base in zip((0, 1, -2, -1), DONOR[:2] + ACCEPTOR[-2:], strict=True):
        probability[fixed] = torch.eye(4, device=background.device)[BASES.index(base)]
    bases = _choose(probability, generator)
    return torch.stack([bases, torch.full_like(bases, INTRON), torch.zeros_like(bases)])


def _letter(letter: str, background: Tensor) -> Tensor:
    """Probabilities of the four bases where a splice signal has this letter."""
    if letter == "N":
        return background
    meant = torch.tensor([base in STANDS_FOR.get(letter, letter) for base in BASES], device=background.device)
    return torch.where(meant, CONSENSUS / meant.sum(), (1 - CONSENSUS) / (~meant).sum())


def _between(length: int, background: Tensor, generator: Generator) -> Tensor:
    """Bases between genes, (3, L)."""
    bases = _choose(background.expand(length, -1), generator)
    return torch.stack([bases, torch.full_like(bases, INTERGENIC), torch.zeros_like(bases)])


def _log_normal(least: int, median: float, sigma: float, generator: Generator) -> int:
    """A length of at least `least`."""
    z = torch.randn((), generator=generator, device=generator.device)
    return least + int((median * (sigma * z).exp()).round())


def _choose(weights: Tensor, generator: Generator) -> Tensor:
    """One index for each row of weights (N, S), shape (N,); a weight of 0 is never chosen."""
    reached = weights.cumsum(-1)
    u = torch.rand(len(weights), 1, generator=generator, device=weights.device) * reached[:, -1:]
    return (u >= reached[:, :-1]).sum(-1)
