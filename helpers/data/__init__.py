"""Real data, and the ways in which data go missing."""

from .missingness import DetectionLimit, DropOut, Incomplete, Logistic, mar, mcar, mnar
from .physionet2012 import PhysioNet2012, physionet2012
from .tables import Indomethacin, LynxHare, Theophylline, indomethacin, lynx_hare, theophylline
from .visits import Visits, visit_times

__all__ = [
    "DetectionLimit",
    "DropOut",
    "Incomplete",
    "Indomethacin",
    "Logistic",
    "LynxHare",
    "PhysioNet2012",
    "Theophylline",
    "Visits",
    "indomethacin",
    "lynx_hare",
    "mar",
    "mcar",
    "mnar",
    "physionet2012",
    "theophylline",
    "visit_times",
]
