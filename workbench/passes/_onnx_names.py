"""Names and declared shapes of a converted graph: as the source model had them."""

from __future__ import annotations

import re
from typing import Any

from ..model import Model, TensorSpec
from . import _onnx_io

_COUNTER = re.compile(r"__\d+(?=$|:)")


def restore(graph: Any, model: Model) -> None:
    """Gives a converted graph the names, the order and the open sizes of the source model (in place).

    Args:
        graph: ``GraphProto`` whose inputs and outputs stand for those of ``model``, by name or else by position.
        model: the source.
    """
    _restore(graph, graph.input, model.inputs)
    _restore(graph, graph.output, model.outputs)
    for values, specs in ((graph.input, model.inputs), (graph.output, model.outputs)):
        for value, spec in zip(values, specs, strict=True):
            _declare(value, spec)


def _restore(graph: Any, values: Any, specs: tuple[TensorSpec, ...]) -> None:
    wanted = [s.name for s in specs]
    found = {v.name: v for v in values}
    if set(wanted) != set(found):
        for value, name in zip(list(values), wanted, strict=True):
            rename(graph, value.name, name)
    by_name = {v.name: v for v in values}
    ordered = []
    for name in wanted:
        copy = type(values[0])()
        copy.CopyFrom(by_name[name])
        ordered.append(copy)
    del values[:]
    values.extend(ordered)


def canonical(graph: Any) -> None:
    """Takes a converter's counters from names, 'Relu__17' -> 'Relu', unique again in graph order (in place).

    The counters depend on what the process did before; the same model must give the same file.
    """
    kept = {v.name for v in (*graph.input, *graph.output)}
    nodes = _onnx_io.all_nodes(graph)
    tensors = dict.fromkeys(t for n in nodes for t in (*n.output, *n.input) if t and t not in kept)
    tensors |= dict.fromkeys(i.name for i in graph.initializer if i.name not in kept)
    new = _shortened(list(tensors), kept)
    _onnx_io.rewire(nodes, new, outputs=True)
    graphs = [graph, *(g for n in nodes for g in _onnx_io.subgraphs(n))]
    for value in (v for g in graphs for v in (*g.input, *g.output, *g.value_info, *g.initializer)):
        value.name = new.get(value.name, value.name)
    names = _shortened([n.name for n in nodes], set())
    for node in nodes:
        node.name = names[node.name]
    ordered = sorted(graph.initializer, key=lambda i: i.name)
    copies = [type(i).FromString(i.SerializeToString()) for i in ordered]
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _shortened(names: list[str], taken: set[str]) -> dict[str, str]:
    plain = {n for n in names if not _COUNTER.search(n)}  # what the model itself named keeps its name
    new, seen = {}, taken | plain
    for name in names:
        base = _COUNTER.sub("", name) or name
        short, count = base, 1
        while short in seen and name not in plain:
            short, count = f"{base}_{count}", count + 1
        seen.add(short)
        new[name] = short
    return new


def order(graph: Any) -> None:
    """Nodes in the order in which the outputs come to need them, input by input (in place); others go.

    Converters write independent nodes in an order that may depend on the process.
    """
    made = {o: place for place, node in enumerate(graph.node) for o in node.output}
    seen: set[int] = set()
    done: list[int] = []
    stack = [(made[o.name], False) for o in reversed(graph.output) if o.name in made]
    while stack:
        place, complete = stack.pop()
        if complete:
            done.append(place)
        elif place not in seen:
            seen.add(place)
            inner = [t for g in _onnx_io.subgraphs(graph.node[place]) for n in _onnx_io.all_nodes(g) for t in n.input]
            read = [made[t] for t in (*graph.node[place].input, *inner) if t in made]
            stack += [(place, True), *((p, False) for p in reversed(read))]
    nodes = [type(graph.node[place]).FromString(graph.node[place].SerializeToString()) for place in done]
    del graph.node[:]
    graph.node.extend(nodes)


def name_shared(graph: Any) -> None:
    """Names an initializer that several nodes read after the first of them, 'NODE/input_1' (in place).

    Converters merge equal constants, and which of their names stays may depend on the process.
    """
    nodes, uses = _onnx_io.all_nodes(graph), _onnx_io.uses(graph)
    shared = {i.name for i in graph.initializer if uses[i.name] > 1} - {o.name for o in graph.output}
    new: dict[str, str] = {}
    for node in nodes:
        for place, tensor in enumerate(node.input):
            if tensor in shared and tensor not in new:
                new[tensor] = f"{_COUNTER.sub('', node.name) or node.op_type}/input_{place}__{len(new)}"
    _onnx_io.rewire(nodes, new)
    for initializer in graph.initializer:
        initializer.name = new.get(initializer.name, initializer.name)


def rename(graph: Any, old: str, new: str) -> None:
    """Renames a tensor everywhere in a graph and the graphs inside it (in place).

    A tensor inside that already has the new name steps aside.
    """
    if old == new:
        return
    taken = {t for n in _onnx_io.all_nodes(graph) for t in (*n.input, *n.output)}
    taken |= {i.name for i in graph.initializer}
    if new in taken:
        rename(graph, new, _free(f"{new}_inner", taken))
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        if value.name == old:
            value.name = new
    for node in _onnx_io.all_nodes(graph):
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
    for inner in (g for n in _onnx_io.all_nodes(graph) for g in _onnx_io.subgraphs(n)):
        for value in (*inner.output, *inner.value_info):
            if value.name == old:
                value.name = new


def _free(name: str, taken: set[str]) -> str:
    suffix = 0
    while f"{name}_{suffix}" in taken:
        suffix += 1
    return f"{name}_{suffix}"


def _declare(value: Any, spec: TensorSpec) -> None:
    """Open sizes get the source's symbol, 'batch' for a nameless first axis, else a name made from the input's."""
    if "..." in spec.shape or not value.type.HasField("tensor_type"):
        return
    shape = value.type.tensor_type.shape
    known = [d.dim_value if d.HasField("dim_value") else 0 for d in shape.dim]
    if known and len(known) != len(spec.shape):
        return
    del shape.dim[:]
    for axis, size in enumerate(spec.shape):
        dim = shape.dim.add()
        if isinstance(size, int):
            dim.dim_value = size
        elif known and known[axis] > 0:
            dim.dim_value = known[axis]
        else:
            dim.dim_param = size or ("batch" if axis == 0 else f"{spec.name}_{axis}")
