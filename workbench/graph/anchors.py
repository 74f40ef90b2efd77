"""Which tensor after holds the value of which tensor before: by construction, by name, or through a change of form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from . import kin, naming, ops
from .extend import Extender
from .graph import Node
from .hints import Hints
from .index import Index
from .kindred import Kindred
from .numbering import Before, Numbers


def _dialect(format: str) -> str:
    """Formats with one set of operators and names."""
    return "onnx" if format == "onnxruntime" else format


class Anchors:
    """Walks the second graph in order and ties its tensors to those of the first.

    Attributes:
        pair: tensor after -> tensor before with the same value.
        how: tensor after -> 'same' (same operator on the same values), 'kin' (same kind of operator of another format
            on the same values), 'back' (read by two versions of one operator), 'name', 'node', 'origin', 'layer',
            'place' (position among the graph's outputs) or 'form' (another form of an anchored tensor).
        forms: tensor after -> changes of form on the way from the anchored tensor.
        number: value numbers of the tensors after; anchored ones share that of their counterpart.
        tied: the numbers of anchored tensors.
    """

    def __init__(self, before: Before, after: Index, numbers: Numbers) -> None:
        self.before, self.after, self._numbers = before, after, numbers
        self.pair: dict[str, str] = {}
        self.how: dict[str, str] = {}
        self.forms: dict[str, frozenset[str]] = {}
        self.number: dict[str, int] = {}
        self.tied: set[int] = set()
        self._one_format = _dialect(before.index.graph.format) == _dialect(after.graph.format)
        self._hints = Hints(before.index, after)
        self._extender = Extender(before, self)
        self._used: set[str] = set()
        self._inputs()
        self._constants()
        for i, node in enumerate(after.nodes):
            self._node(i, node)
        for node in reversed(after.nodes):
            self._backwards_from(node)

    @cached_property
    def _kindred(self) -> Kindred:
        return Kindred(self.before)

    def _inputs(self) -> None:
        first, second = self.before.index.graph.inputs, self.after.graph.inputs
        left = [n for n in first if n not in second]
        unknown = [n for n in second if n not in first]
        by_place = dict(zip(unknown, left, strict=False)) if len(left) == len(unknown) else {}
        for name in second:
            if name in first:
                self._tie(name, name, "name")
            elif name in by_place:
                self._tie(name, by_place[name], "place")
            else:
                self.number[name] = self._numbers.of(("input", name))

    def _constants(self) -> None:
        """By content; else by name, which then means 'the same weight with other values'."""
        known = self.before
        for tensor in self.after.graph.tensors.values():
            if not tensor.is_constant or tensor.name in self.after.maker:
                continue
            self._constant(tensor.name, known)

    def _constant(self, name: str, known: Before) -> None:
        number = self._numbers.constant(self.after.tensor(name))
        same = known.members.get(number)
        candidates = [c for c in (name, *naming.origins(name)) if c in known.of
                      and (self._one_format or c in known.index.constants)]
        if same:
            self._tie(name, next((c for c in candidates if c in same), same[0]), "same")
        elif candidates and self._fits(candidates[0], name):
            self._tie(name, candidates[0], "name")
            if candidates[0] == name:  # the same weight with other values: not the same value
                self.number[name] = number
        else:
            self.number[name] = number

    def _node(self, i: int, node: Node) -> None:
        inputs = [self._get(t) if t else None for t in node.inputs]
        form = self.after.is_carrier(i)
        key = self._numbers.key(node, inputs)
        for place, name in enumerate(node.outputs):
            if not name:
                continue
            if self.after.tensor(name).is_constant:
                self._constant(name, self.before)
                continue
            number = self._numbers.known((key, place))
            same = self.before.members.get(number, ()) if number is not None else ()
            if same and self._in_form(node) and not self._agreed(node, name, same):
                same = ()
            if same:
                clamped = self._clamped_later(name, number)
                self._tie(name, name if clamped else self._hints.best(node, place, name, same),
                          "name" if clamped else "same")
                continue
            if self.after.passes_on(i) and place == 0 and name not in self.before.of:
                self._carry(name, self.after.passed(i), "same")
                continue
            if self._by_hint(i, node, place, name, form):
                continue
            if self._by_kin(node, place, name):
                continue
            if form and place == 0 and node.inputs and node.inputs[0]:
                self._carry(name, node.inputs[0], form)
            else:
                self.number[name] = self._numbers.of((key, place))

    def _trusted(self, candidate: str, name: str, how: str) -> bool:
        """Words that hold even between unlike operators: a layer may end with another one than it is named after."""
        return how in ("place", "layer") or (candidate == name and self._one_format)

    def _in_form(self, node: Node) -> bool:
        """Reads values whose places have changed, which matters to all but elementwise operators."""
        return not ops.elementwise(node.op) and any(
            self.forms.get(t, frozenset()) & {"transposed", "reshaped"} for t in node.inputs if t)

    def _agreed(self, node: Node, name: str, same: Sequence[str]) -> bool:
        """Names and sizes confirm what the value numbers say."""
        label = self.before.index.by_name.get(node.name)
        named = name in same or (label is not None and set(self.before.index.nodes[label].outputs) & set(same))
        return bool(named) and self._fits(same[0], name)

    def _by_hint(self, i: int, node: Node, place: int, name: str, form: str) -> bool:
        for candidate, how in self._hints.of(i, place, name):
            maker = self.before.index.producer(candidate)
            if maker is None or (ops.conflict(maker.op, node.op) and not self._trusted(candidate, name, how)):
                continue
            if form and self.pair.get(node.inputs[0]) == candidate:  # its input has that value already
                return False
            if form and how != "place" and self._elsewhere(maker, node):
                continue
            if form and not self._same_form(maker, node, form):  # a carrier named after what it carries
                if form == "quantized" and self._clamps(maker, node):
                    self._tie(name, candidate, how)
                    return True
                self._backwards(node.inputs[0], candidate, how)
                continue
            found = candidate if form else self._extender.extend(candidate, node, name)
            if self._fits(found, name):
                self._tie(name, found, how)
                return True
        return False

    def _by_kin(self, node: Node, place: int, name: str) -> bool:
        """Across formats: the only operator before of the same kind on the same values."""
        if self._one_format or place:
            return False
        made = kin.signature(node, self.after)
        if made is None:
            return False
        reads = frozenset(self._roots(t) for t in kin.data_inputs(node, self.after))
        weights = [self.number.get(t) for t in node.inputs if t and self.how.get(t) == "same"]
        candidates = self._kindred.by_weight(made, weights) or self._kindred.by_inputs(made, reads)
        fitting = [c for c in candidates if c not in self._used and self._fits(c, name)]
        if len(fitting) != 1:
            return False
        self._tie(name, fitting[0], "kin")
        return True

    def _roots(self, tensor: str) -> int:
        """Number of the value that a tensor after is a form of."""
        return self._get(self.after.forms(tensor)[-1])

    def _elsewhere(self, maker: Node, node: Node) -> bool:
        """Both only change a form, but of different values: the name moved with an operator to another place."""
        source = node.inputs[0]
        if not self.before.index.is_carrier(self.before.index.maker[maker.outputs[0]]) or source not in self.pair:
            return False
        mine = {self.number.get(t) for t in self.after.forms(source)}
        return not mine & {self.before.get(t) for t in self.before.index.forms(maker.inputs[0])}

    @staticmethod
    def _same_form(maker: Node, node: Node, form: str) -> bool:
        """Both change the form in one way: Flatten and Reshape do, quantize and dequantize do not."""
        moved = form in ("reshaped", "transposed", "cast") and ops.CARRIERS.get(maker.op) == form
        return moved or maker.op == node.op

    def _clamps(self, maker: Node, node: Node) -> bool:
        """Quantizing to a range that starts at zero does what the activation did, so quantizers drop it."""
        if ops.family(maker.op) != "activation" or not ops.plain(node.op).startswith(("Quantize", "QUANTIZE")):
            return False
        return self.before.get(maker.inputs[0]) == self._get(node.inputs[0])

    def _clamped_later(self, name: str, number: int | None) -> bool:
        """A quantizer took an activation out, let its maker write to the activation's result, and quantizes that."""
        maker = self.before.index.producer(name)
        if maker is None or ops.family(maker.op) != "activation" or self.before.get(maker.inputs[0]) != number:
            return False
        users = [self.after.nodes[i] for i in self.after.users.get(name, ())]
        return bool(users) and all(ops.plain(u.op) == "QuantizeLinear" for u in users)

    def _backwards(self, source: str, candidate: str, how: str) -> None:
        """A carrier's result has the name of a tensor before: so its input holds that value too."""
        if how in ("name", "place") and source and source not in self.pair and source in self.after.maker:
            self._tie(source, candidate, "form")

    def _backwards_from(self, node: Node) -> None:
        """Two versions of one operator with one input each that is not tied yet: those inputs correspond."""
        result = next((t for t in node.outputs[:1] if self.how.get(t, "form") != "form"), None)
        maker = self.before.index.producer(self.pair[result]) if result else None
        if maker is None or not (maker.op == node.op or self._alike(maker, node)):
            return
        new = [t for t in kin.data_inputs(node, self.after) if t not in self.pair]
        if len(new) != 1 or new[0] not in self.after.maker:
            return
        known = {self._roots(t) for t in kin.data_inputs(node, self.after)}
        forms = self.before.index.forms
        old = [t for t in kin.data_inputs(maker, self.before.index)
               if not {self.before.get(f) for f in forms(t)} & known]
        if len(old) == 1 and old[0] not in self._used and self._fits(old[0], new[0]):
            self._tie(new[0], old[0], "back")

    def _alike(self, maker: Node, node: Node) -> bool:
        first, second = kin.signature(maker, self.before.index), kin.signature(node, self.after)
        return first is not None and first == second

    def _carry(self, name: str, source: str, form: str) -> None:
        self.number[name] = self._get(source)
        self.forms[name] = self.forms.get(source, frozenset()) | ({form} - {"same"})
        if source in self.pair:
            self.pair[name] = self.pair[source]
            self.how[name] = "form"

    def _tie(self, name: str, old: str, how: str) -> None:
        self.pair[name], self.how[name], self.number[name] = old, how, self.before.get(old)
        self.tied.add(self.number[name])
        self._used.add(old)

    def _get(self, name: str) -> int:
        if name not in self.number:
            if name in self.before.of and name not in self.before.index.maker and name not in self.after.maker:
                self._tie(name, name, "name")  # inputs of loop bodies
            else:
                self.number[name] = self._numbers.of(("free after", name))
        return self.number[name]

    def _fits(self, old: str, new: str) -> bool:
        """Sizes do not speak against it: as many elements, channels padded up in blocked layouts excepted."""
        a, b = self.before.index.tensor(old).shape, self.after.tensor(new).shape
        if a is None or b is None or not all(isinstance(d, int) for d in (*a, *b)):
            return True
        padded = len(a) == len(b) == 4 and a[0] == b[0] and a[2:] == b[2:] and a[1] < b[1] < a[1] + 16
        return padded or math.prod(a) == math.prod(b)
