"""Real data, simulated genes, and the ways in which data go missing."""

from helpers.data.gene_structure import GeneStructures, gene_structures
from helpers.data.missingness import DetectionLimit, DropOut, Incomplete, Logistic, mar, mcar, mnar
from helpers.data.physionet2012 import PhysioNet2012, physionet2012
from helpers.data.tables import Indomethacin, LynxHare, Theophylline, indomethacin, lynx_hare, theophylline
from helpers.data.visits import Visits, visit_times

__all__ = [
    "DetectionLimit",
    "DropOut",
    "GeneStructures",
    "Incomplete",
    "Indomethacin",
    "Logistic",
    "LynxHare",
    "PhysioNet2012",
    "Theophylline",
    "Visits",
    "gene_structures",
    "indomethacin",
    "lynx_hare",
    "mar",
    "mcar",
    "mnar",
    "physionet2012",
    "theophylline",
    "visit_times",
]
