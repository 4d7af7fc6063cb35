"""Simulated genes obey the rules that they are drawn from."""

import math

import pytest
import torch
from scipy.stats import chisquare, kstest

from helpers.data import gene_structures

T = 300
BASES = "ACGT"
STOPS = {"TAA", "TAG", "TGA"}


@pytest.fixture(scope="module")
def drawn():
    return gene_structures(400, T, generator=torch.Generator().manual_seed(3))


def runs(drawn, region):
    """Series, first base and end of each run of a region that both a gene's sides close."""
    inside = torch.nn.functional.pad((drawn.region == region).long(), (1, 1)).diff()
    ends = zip((inside == 1).nonzero().tolist(), (inside == -1).nonzero().tolist(), strict=True)
    return [(b, i, j) for (b, i), (_, j) in ends]


def text(bases):
    return "".join(BASES[base] for base in bases)


def genes(drawn):
    """Coding sequence of every gene, its introns cut out."""
    found = []
    for b, i, j in runs(drawn, 1):
        opens = drawn.region[b, i - 1] == 0
        exon = text(drawn.bases[b, i:j])
        found = [*found, exon] if opens else [*found[:-1], found[-1] + exon]
    return found


def introns(drawn):
    return [text(drawn.bases[b, i:j]) for b, i, j in runs(drawn, 2)]


def test_a_gene_starts_with_atg_and_stops_at_its_only_stop_codon(drawn):
    assert len(genes(drawn)) > 300
    for gene in genes(drawn):
        codons = [gene[i : i + 3] for i in range(0, len(gene), 3)]
        assert codons[0] == "ATG"
        assert [codon in STOPS for codon in codons] == [False] * (len(codons) - 1) + [True]


def test_codon_positions_go_on_behind_an_intron(drawn):
    for positions, region in zip(drawn.codon_position, drawn.region, strict=True):
        inside = positions[region == 1]
        assert torch.equal(inside, torch.arange(len(inside)) % 3 + 1)
    assert (drawn.codon_position[drawn.region != 1] == 0).all()


def test_introns_cut_codons_at_each_position_about_equally(drawn):
    phases = torch.tensor([drawn.codon_position[b, i - 1] for b, i, _ in runs(drawn, 2)]).bincount()[1:]
    assert chisquare(phases).pvalue > 1e-3


def test_an_intron_lies_between_gt_and_ag_within_a_gene(drawn):
    assert len(introns(drawn)) > 200
    for (b, i, j), intron in zip(runs(drawn, 2), introns(drawn), strict=True):
        assert intron[:2] == "GT" and intron[-2:] == "AG"
        assert drawn.region[b, i - 1] == 1 and drawn.region[b, j] == 1


@pytest.mark.parametrize(
    ("place", "letters"),
    [(2, "AG"), (3, "A"), (4, "G"), (5, "T"), (-3, "CT"), (-5, "CT"), (-12, "CT")],
    ids=["GTR", "GTRA", "GTRAG", "GTRAGT", "YAG", "Y before N", "first Y"],
)
def test_splice_signals_have_four_fifths_of_their_letters(drawn, place, letters):
    right = [intron[place] in letters for intron in introns(drawn)]
    assert sum(right) / len(right) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / len(right)))


def test_codons_are_used_by_the_square_of_human_usage(drawn):
    """Two codons of alanine, 27.7 and 7.4 of 1000 in human genes."""
    inner = [gene[i : i + 3] for gene in genes(drawn) for i in range(3, len(gene) - 3, 3)]
    both = inner.count("GCC") + inner.count("GCG")
    expected = 27.7**2 / (27.7**2 + 7.4**2)
    spread = math.sqrt(expected * (1 - expected) / both)
    assert inner.count("GCC") / both == pytest.approx(expected, abs=4 * spread)


def test_composition_between_genes_is_the_stretch_s_own(drawn):
    strong = (drawn.bases == 1) | (drawn.bases == 2)
    outside = drawn.region == 0
    found = (strong & outside).sum(1) / outside.sum(1)
    z = (found - drawn.gc) / (drawn.gc * (1 - drawn.gc) / outside.sum(1)).sqrt()
    assert kstest(z, "norm").pvalue > 1e-3
    assert kstest((drawn.gc - 0.25) / 0.2, "uniform").pvalue > 1e-3


def test_intron_lengths_are_log_normal_and_not_geometric():
    """In stretches so long that no gene was left out for its length but the last."""
    drawn = gene_structures(20, 10_000, generator=torch.Generator().manual_seed(4))
    lengths = torch.tensor([len(intron) for intron in introns(drawn)]).double()
    beyond = lengths - 20
    assert (beyond > 0).all()
    assert beyond.median().item() == pytest.approx(10, abs=1)
    assert beyond.log().std().item() == pytest.approx(0.5, abs=0.05)
    assert lengths.std() / lengths.mean() < 0.3  # 1 for a geometric length


def test_what_is_too_short_for_a_gene_has_none():
    """A gap of 5 and a gene of 12 do not fit into 16."""
    short = gene_structures(50, 16, generator=torch.Generator().manual_seed(0))
    assert (short.region == 0).all() and (short.codon_position == 0).all()
    assert gene_structures(1, 1, generator=torch.Generator()).bases.shape == (1, 1)


def test_same_seed_same_genes_on_each_device(device):
    first, second = (
        gene_structures(3, T, generator=torch.Generator(device=device).manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(first.bases, second.bases) and torch.equal(first.region, second.region)
    assert first.bases.device.type == first.gc.device.type == device.type
    assert first.bases.dtype == first.region.dtype == first.codon_position.dtype == torch.int64


BAD = [
    ({"sequences": 0}, "sequences must be a whole number of at least 1: got 0"),
    ({"sequences": 2.0}, "sequences must be a whole number of at least 1: got 2.0"),
    ({"length": 0}, "length must be a whole number of at least 1: got 0"),
    ({"generator": None}, "generator must be a torch.Generator: got NoneType"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[case[-1] for case in BAD])
def test_refuses_by_name(change, message):
    with pytest.raises(ValueError) as error:
        gene_structures(**({"sequences": 1, "length": 9, "generator": torch.Generator()} | change))
    assert str(error.value) == message
