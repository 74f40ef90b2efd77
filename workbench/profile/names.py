"""Which node of the neutral graph a runtime's node is: by name, by its origins, by what runtimes append to names."""

from __future__ import annotations

import re
from collections.abc import Iterable

# ONNX Runtime names a layout's or quantized node after the tensor or node that it stands for.
_TAILS = re.compile(r"(_nchwc|_token_\d+|_quantized|_QuantizeLinear(_Output)?|_DequantizeLinear(_Output)?|"
                    r"_output_0|/duplicated|_fused|/sink_port_0|:0)+$")


class Names:
    """Names of a graph's nodes, ready to be looked up.

    Args:
        names: the nodes' names; none match nothing.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = set(names)
        self._plain: dict[str, list[str]] = {}
        for name in self._known:
            self._plain.setdefault(_plain(name), []).append(name)

    def of(self, name: str, origins: Iterable[str] = ()) -> tuple[str, ...]:
        """Nodes that a runtime's node stands for; () when none is known."""
        found = [o for o in origins if o in self._known]
        if name in self._known:
            found.insert(0, name)
        if not found:
            for label in (name, *origins):
                found += sorted(self._plain.get(_plain(label), ()))
        return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    return _TAILS.sub("", name).strip("/")
