"""Real data, and the ways in which data go missing."""

from .missingness import DetectionLimit, DropOut, Incomplete, Logistic, mar, mcar, mnar
from .tables import Indomethacin, LynxHare, Theophylline, indomethacin, lynx_hare, theophylline
from .visits import Visits, visit_times

__all__ = [
    "DetectionLimit",
    "DropOut",
    "Incomplete",
    "Indomethacin",
    "Logistic",
    "LynxHare",
    "Theophylline",
    "Visits",
    "indomethacin",
    "lynx_hare",
    "mar",
    "mcar",
    "mnar",
    "theophylline",
    "visit_times",
]
