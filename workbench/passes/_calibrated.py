"""Settings that every pass with calibrated integer ranges shares; a recipe says them by these names in each pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..settings import SettingsBase, setting
from ._onnx_int8 import REDUCE_HELP
from ._qdq_place import AFTER_ACTIVATION, AFTER_CONV

METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
METHOD_HELP = ("How ranges are chosen: all values (minmax), least information lost (entropy, slow), or without the "
               "outliers (percentile)")
QDQ_HELP = ("Where values are rounded: right behind a convolution, which ONNX Runtime needs, or only behind its "
            "activation, which OpenVINO then fuses; auto looks at the runtime")
_FUSE_ACTIVATIONS = frozenset({"openvino"})
SAMPLES_HELP = "Calibration samples used: more are slower and steadier"


@dataclass(frozen=True)
class CalibratedSettings(SettingsBase):
    """How ranges are found for an ONNX model, and which nodes stay as they are."""

    per_channel: bool = setting(True, "One scale for each output channel of the weights: closer to float, same speed")
    method: str = setting("minmax", METHOD_HELP, choices=tuple(METHODS))
    percentile: float = setting(99.999, "Share of the values inside the range, for method percentile", low=90.0,
                                high=100.0, advanced=True)
    calibration_samples: int = setting(128, SAMPLES_HELP, low=1, high=10000)
    exclude_nodes: tuple = setting((), "Names of nodes to keep in float", advanced=True)


@dataclass(frozen=True)
class Int8Settings(CalibratedSettings):
    """The same for 8-bit activations, whose weights some CPUs want in 7 bits."""

    reduce_range: str = setting("auto", REDUCE_HELP, choices=("auto", "on", "off"))
    qdq_after: str = setting("auto", QDQ_HELP, choices=("auto", AFTER_CONV, AFTER_ACTIVATION), advanced=True)

    @property
    def placement(self) -> str:
        """Where pairs stand; 'auto' that no runtime has settled is what ONNX Runtime needs."""
        return AFTER_CONV if self.qdq_after == "auto" else self.qdq_after

    def for_runtime(self, runtime: str) -> Int8Settings:
        """See :meth:`workbench.settings.SettingsBase.for_runtime`."""
        if self.qdq_after != "auto":
            return self
        return replace(self, qdq_after=AFTER_ACTIVATION if runtime in _FUSE_ACTIVATIONS else AFTER_CONV)


@dataclass(frozen=True)
class TfliteSettings(SettingsBase):
    """How ranges are found for a TFLite model, and what becomes of operators without an integer kernel."""

    float_fallback: bool = setting(True, "Operators without an integer kernel stay float; off refuses such models")
    calibration_samples: int = setting(128, SAMPLES_HELP, low=1, high=10000)
