"""How long each node of an ONNX model takes, from ONNX Runtime's own profile, named as the file names them."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..errors import NotApplicable
from . import _onnx_io

_KERNEL = "_kernel_time"
_TOKEN = re.compile(r"_token_\d+$")  # what a fused integer operator appends to the name of its float node
_WARM_UPS = 2
_MOST_FUSED = 2  # nodes that a convolution may have swallowed, each behind the other


def node_times(model: Any, feeds: list[dict[str, np.ndarray]], *, runs: int = 8) -> dict[str, float]:
    """Median seconds a run of each node that the runtime still knows; fused nodes count for the node they began with.

    Args:
        model: a ``ModelProto`` with unique node names.
        feeds: whole feeds, used in turn.
        runs: profiled runs, after a few that warm up.

    Returns:
        name in the file -> seconds; under '' the sum of what could not be attributed (layout changes, conversions).

    Raises:
        NotApplicable: the model does not load or run.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            for index in range(_WARM_UPS + runs):
                session.run(None, feeds[index % len(feeds)])
            events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
        except Exception as error:  # ORT's classes share no base but Exception
            raise NotApplicable(f"the model cannot be profiled: {_onnx_io.one_line(error)}") from None
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            key = event["name"].removesuffix(_KERNEL), event.get("args", {}).get("op_name", "")
            samples[key].append(event["dur"] * 1e-6)
    origin = _Origins(model)
    times: dict[str, float] = defaultdict(float)
    for (name, op), durations in samples.items():
        per_run = len(durations) / (_WARM_UPS + runs)  # above 1 inside loops
        times[origin.of(name, op)] += median(durations[int(_WARM_UPS * per_run):]) * max(per_run, 1.0)
    return dict(times)


class _Origins:
    """From a name in the profile to the node in the file."""

    def __init__(self, model: Any) -> None:
        nodes = _onnx_io.all_nodes(model.graph)
        self._names = {n.name for n in nodes}
        self._makers = {o: n for n in nodes for o in n.output if o}

    def of(self, name: str, op: str) -> str:
        """The file's name, or ''. The channel-blocked layout names a node after its output, fusions add a suffix."""
        if name in self._names:
            return name
        base = _TOKEN.sub("", name.removesuffix("_nchwc"))
        if base in self._names:
            return base
        if base in self._makers:
            return self._began(self._makers[base], op.removeprefix("Fused").removeprefix("QLinear")).name
        while "/" in base:  # fusions add their own name behind a slash
            base = base.rsplit("/", 1)[0]
            if base in self._names:
                return base
        return ""

    def _began(self, node: Any, op: str) -> Any:
        """The node of that operator that an activation or a sum was fused into, else the node itself."""
        for tensor in (node.input if node.op_type != op else ()):
            maker = self._makers.get(tensor)
            for _ in range(_MOST_FUSED):
                if maker is None or maker.op_type == op:
                    break
                maker = self._makers.get(maker.input[0]) if maker.input else None
            if maker is not None and maker.op_type == op:
                return maker
        return node
