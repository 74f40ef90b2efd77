"""Controls of notebook 09: sliders over the arithmetic of :mod:`workbench.teaching`."""

from .case import Case, load
from .derive import check, forward
from .descent import DescentLesson
from .rounding import RoundingLesson

__all__ = ["Case", "DescentLesson", "RoundingLesson", "check", "forward", "load"]
