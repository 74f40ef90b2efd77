"""The neutral graph: what every reader makes, whatever the format, and what diff, cost and views take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..model import Dim


@dataclass(frozen=True)
class Tensor:
    """A value that flows, or a constant.

    Attributes:
        name: unique in its graph.
        dtype: numpy name, '' when unknown.
        shape: sizes, symbolic names or None; None as a whole when even the rank is unknown.
        is_constant: a weight or other initializer.
        size_bytes: of the data, 0 when unknown.
        digest: content hash of a constant, or of a small result that the inputs' sizes determine (the output of a
            shape computation); '' when not hashed.
    """

    name: str
    dtype: str = ""
    shape: tuple[Dim, ...] | None = None
    is_constant: bool = False
    size_bytes: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Node:
    """An operator.

    Attributes:
        name: unique in its graph; readers make one up where the file has none.
        op: operator type with its domain prefix where not the default, e.g. 'Conv', 'com.microsoft.nchwc.Conv'.
        inputs: tensor names, '' for an absent optional one.
        outputs: tensor names.
        scope: path of the enclosing blocks from the name, outermost first; subgraphs of If/Loop/Scan included.
        attributes: plain JSON values.
        parameters: weight elements read by this node.
        flops: floating-point (or integer) operations of one run, 0 when unknown.
        bytes: bytes read and written in one run (activations and weights), 0 when unknown.
        origins: names of source nodes where the runtime tells.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    flops: int = 0
    bytes: int = 0
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the tensors between them.

    Attributes:
        nodes: operators; those of subgraphs carry the owner in their scope.
        tensors: by name.
        inputs: names of the graph's inputs.
        outputs: names of the graph's outputs.
        title: for people, e.g. 'cnn.onnx'.
        format: what it was read from: 'onnx', 'tflite', 'keras', ...
        producer: 'onnxruntime 1.32', 'openvino 2026.4', '' when unknown.
    """

    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    title: str = ""
    format: str = ""
    producer: str = ""
