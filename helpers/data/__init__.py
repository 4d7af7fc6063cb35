"""Real data, simulated genes, tasks of memory, and the ways in which data go missing."""

from helpers.data.gene_structure import GeneStructures, gene_structures
from helpers.data.missingness import DetectionLimit, DropOut, Incomplete, Logistic, mar, mcar, mnar
from helpers.data.physionet2012 import PhysioNet2012, physionet2012
from helpers.data.tables import Indomethacin, LynxHare, Theophylline, indomethacin, lynx_hare, theophylline
from helpers.data.tasks import (
    ADDING_BASELINE,
    adding_problem,
    copying_baseline,
    copying_problem,
    delayed_response,
)
from helpers.data.visits import Visits, visit_times

__all__ = [
    "ADDING_BASELINE",
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
    "adding_problem",
    "copying_baseline",
    "copying_problem",
    "delayed_response",
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
