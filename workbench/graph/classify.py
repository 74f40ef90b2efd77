"""From regions to groups: a status and a sentence of evidence for each."""

from __future__ import annotations

from . import normal, ops
from .anchors import Anchors
from .dtypes import QUANTIZED
from .graph import Node
from .groups import Group
from .index import Index
from .leftovers import left_groups
from .numbering import Before
from .regions import Region, Regions
from .summaries import short, summary

_FORMS = {"quantized": "in another precision", "blocked": "in another memory layout", "cast": "in another type",
          "transposed": "with its axes in another order", "reshaped": "in another shape", "same": "unchanged"}
_HEAVY = ("convolution", "transposed convolution", "matrix product", "recurrence")


class Classifier:
    """Names what happened in each region."""

    def __init__(self, before: Before, after: Index, anchors: Anchors, regions: Regions) -> None:
        self._before, self._after, self._anchors, self._regions = before, after, anchors, regions

    def groups(self) -> list[Group]:
        """All groups; every node of both graphs is in exactly one."""
        made: list[tuple[float, Group]] = []
        for region in self._regions.found:
            for group in self._region(region):
                made.append((self._place(group), group))
        for i, region in self._regions.extra.items():
            made.append((float(i), self._extra(i, region)))
        for i in (*self._regions.carriers, *self._regions.loose):
            made.append((float(i), self._inserted(i)))
        made += [(self._place(g), g) for g in left_groups(self._before, self._anchors, self._after, self._regions.left)]
        return [g for _, g in sorted(made, key=lambda pair: pair[0])]

    def _place(self, group: Group) -> float:
        """Where a group stands in the list: at its last node after, or where its nodes before would have been."""
        if group.after:
            return float(group.after[-1])
        share = group.before[0] / max(1, len(self._before.index.nodes))
        return share * len(self._after.nodes) - 0.5

    def _group(self, before: list[int], after: list[int], status: str, evidence: str) -> Group:
        nodes_b = [self._before.index.nodes[i] for i in before]
        nodes_a = [self._after.nodes[i] for i in after]
        return Group(tuple(before), tuple(after), status, evidence, False, summary(status, nodes_b, nodes_a))

    def _region(self, region: Region) -> list[Group]:
        dropped, core = self._split(region)
        rest = []
        for i in dropped:
            node = self._before.index.nodes[i]
            rest.append(self._group([i], [], *self._why_dropped(node)))
        before = sorted([*core, *region.copies])
        status, evidence = self._status(core, region)
        if region.copies and status in ("kept", "rewritten"):
            status = "merged"
            evidence = f"same operator on the same values as '{self._after.nodes[region.after[-1]].name}'"
        elif region.copies:
            evidence += f"; {len(region.copies)} copies of the same computation went with it"
        return [self._group(before, region.after, status, evidence), *rest]

    def _split(self, region: Region) -> tuple[list[int], list[int]]:
        """(nodes that were only dropped on the way, the others)."""
        if len(region.before) < 2 or len(region.after) != 1:
            return [], region.before
        node = self._after.nodes[region.after[0]]
        index = self._before.index
        same = [i for i in region.before if ops.numbering_name(index.nodes[i].op) == ops.numbering_name(node.op)
                and normal.attributes(index.nodes[i]) == normal.attributes(node)]
        others = [i for i in region.before if i not in same]
        if len(same) != 1 or any(index.nodes[i].op not in ops.MOVES and not self._is_constant_work(i) for i in others):
            return [], region.before
        return others, same

    def _is_constant_work(self, i: int) -> bool:
        return all(t in self._before.index.constants for t in self._before.index.nodes[i].inputs if t)

    def _why_dropped(self, node: Node) -> tuple[str, str]:
        if all(t in self._before.index.constants for t in node.inputs if t):
            return "folded", "it reads constants only: its result is stored in the model now"
        return "eliminated", "the next operator takes its input directly; only form or place of the values changed"

    def _status(self, core: list[int], region: Region) -> tuple[str, str]:
        index, after = self._before.index, [self._after.nodes[i] for i in region.after]
        before = [index.nodes[i] for i in core]
        main = after[-1]
        if not self._same_leaves(region):
            return self._unlike(before, after, region)
        if self._became_quantized(before, after):
            return "quantized", self._quantized_evidence(before, after)
        if len(core) == 1 and len(after) == 1:
            return self._one_to_one(before[0], main, region)
        reads = "same inputs, and its result is " + self._result(region)
        if len(after) == 1:
            return "fused", reads
        return "rewritten", reads

    def _one_to_one(self, old: Node, new: Node, region: Region) -> tuple[str, str]:
        how = self._anchors.how.get(region.results[0], "") if region.results else ""
        if ops.numbering_name(old.op) != ops.numbering_name(new.op):
            words = f"{short(old.op)} is {short(new.op)} now: same inputs, and its result is "
            return "rewritten", words + self._result(region)
        if normal.attributes(old) != normal.attributes(new):
            return "rewritten", f"same operator on the same inputs with other attributes: {self._changed(old, new)}"
        if old.op != new.op:
            return "rewritten", f"same operator on the same values, now {self._form(new)}"
        if how == "same":
            return "kept", "same operator with the same attributes on the same values"
        weights = self._changed_weights(old, new)
        if weights:
            return "rewritten", f"same operator with other weights: {weights}"
        return "kept", "same operator and attributes, and its result is " + self._result(region)

    def _form(self, node: Node) -> str:
        return "in blocked channel layout" if ops.is_blocked(node.op) else f"as {short(node.op)}"

    def _changed(self, old: Node, new: Node) -> str:
        first, second = dict(normal.attributes(old)), dict(normal.attributes(new))
        names = sorted(k for k in first.keys() | second.keys() if first.get(k) != second.get(k))
        return ", ".join(names[:4])

    def _changed_weights(self, old: Node, new: Node) -> str:
        """Constant inputs whose content differs."""
        for a, b in zip(old.inputs, new.inputs, strict=False):
            if not a or not b or a not in self._before.index.constants or b not in self._after.constants:
                continue
            first, second = self._before.index.tensor(a), self._after.tensor(b)
            if first.dtype and second.dtype and first.dtype != second.dtype:
                return f"'{a}' is {second.dtype} now"
            if first.digest and second.digest and first.digest != second.digest:
                return f"'{a}' has other values"
        return ""

    def _result(self, region: Region) -> str:
        tensor = region.results[0] if region.results else ""
        old = self._anchors.pair.get(tensor, "")
        how = self._anchors.how.get(tensor, "")
        if how == "same":
            return f"the same value as '{old}'"
        if how == "place" and old != tensor:
            return f"the same output of the model ('{old}')"
        if how == "kin":
            return f"'{old}', from the same kind of operator"
        if how == "back":
            return f"'{old}', which the same operator reads"
        if how == "layer":
            return f"'{old}', as its path tells"
        if how == "origin":
            return f"named as coming from '{old}'"
        if how == "node":
            return f"'{old}', as the node's name tells"
        return f"'{old}'" if old == tensor else f"'{old}' under another name"

    def _same_leaves(self, region: Region) -> bool:
        """Both sides read the same values, whatever their form (constants and shape computations left out)."""
        inside = set(region.after)
        mine = {t for i in region.after for t in self._after.nodes[i].inputs
                if t and t not in self._after.settled and self._after.maker.get(t) not in inside}
        new = [self._numbers_after(t) for t in mine]
        old = [{self._before.get(t) for t in self._before.index.forms(leaf)} for leaf in region.leaves]
        all_old, all_new = set().union(*old), set().union(*new)
        return all(numbers & all_old for numbers in new) or all(numbers & all_new for numbers in old)

    def _numbers_after(self, tensor: str) -> set[int]:
        """Value numbers of a tensor after and of what it is a form of."""
        found: set[int] = set()
        for name in self._after.forms(tensor):
            found.add(self._anchors.number.get(name, -1))
            if name in self._anchors.pair:
                found.update(self._before.get(t) for t in self._before.index.forms(self._anchors.pair[name]))
        return found

    def _unlike(self, before: list[Node], after: list[Node], region: Region) -> tuple[str, str]:
        return "unexplained", "the two sides read different values, so nothing shows that they compute the same"

    def _became_quantized(self, before: list[Node], after: list[Node]) -> bool:
        if any(ops.is_quantized(n.op) or ops.CARRIERS.get(n.op) == "quantized" for n in before):
            return False
        if any(ops.is_quantized(n.op) or ops.CARRIERS.get(n.op) == "quantized" for n in after):
            return True
        if self._integer(after[-1], self._after) and self._floating(before[-1]):
            return True
        return any(self._reads_dequantized(n) and (ops.family(n.op) in _HEAVY or self._is_quantized_next(n))
                   for n in after)

    @staticmethod
    def _integer(node: Node, index: Index) -> bool:
        return bool(node.outputs) and index.tensor(node.outputs[0]).dtype in QUANTIZED

    def _floating(self, node: Node) -> bool:
        return bool(node.outputs) and self._before.index.tensor(node.outputs[0]).dtype.startswith("float")

    def _reads_dequantized(self, node: Node) -> bool:
        return any("quantized" in self._anchors.forms.get(t, ()) for t in node.inputs if t)

    def _is_quantized_next(self, node: Node) -> bool:
        users = (self._after.nodes[i] for t in node.outputs for i in self._after.users.get(t, ()))
        return any(ops.plain(u.op) in ("QuantizeLinear", "QUANTIZE") for u in users)

    def _quantized_evidence(self, before: list[Node], after: list[Node]) -> str:
        main = after[-1]
        dropped = [n for n in before if ops.family(n.op) == "activation" and len(before) > 1]
        tail = f"; the range of its result does what {short(dropped[0].op)} did" if dropped and len(after) == 1 and (
            ops.family(main.op) != "activation") and not main.attributes.get("activation") else ""
        if any(ops.is_quantized(n.op) for n in after):
            return f"{short(main.op)} computes the same with integers and scales{tail}"
        if ops.CARRIERS.get(main.op) == "quantized":
            return f"quantizing to a range that starts at zero does what {short(before[-1].op)} did"
        if self._integer(main, self._after):
            return f"same operator on integers{tail}"
        return f"same operator between dequantize and quantize nodes, which runtimes compute with integers{tail}"

    def _extra(self, i: int, region: Region) -> Group:
        node = self._after.nodes[i]
        if self._after.is_carrier(i):
            return self._inserted(i)
        twin = self._after.nodes[region.after[-1]]
        words = f"a second copy of '{twin.name}': {short(node.op)} is computed again here"
        return self._group([], [i], "inserted", words)

    def _inserted(self, i: int) -> Group:
        node = self._after.nodes[i]
        form = self._after.is_carrier(i)
        source = self._anchors.pair.get(node.inputs[0], node.inputs[0]) if node.inputs else ""
        why = f"gives '{source}' {_FORMS[form]}" if form else "it has no counterpart before"
        if form:
            return self._group([], [i], "inserted", why)
        outputs = [t for t in node.outputs if t]
        if outputs and all(t in self._after.settled for t in outputs):
            return self._group([], [i], "inserted", "a constant, or part of the computation of a shape")
        return self._group([], [i], "unexplained", why)
