"""Some fused operators keep the name of their first part: the value they give lies further on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import ops
from .graph import Node
from .numbering import Before
from .readers.constants import digest

if TYPE_CHECKING:
    from .anchors import Anchors

_STEPS = 4
_WALK = 16  # nodes looked at behind a tensor
_QUANTIZED = ("int8", "uint8")
# Fused activation -> operators that it may have been.
_ACTIVATIONS = {"relu6": ("relu6", "clip", "aten.hardtanh"), "relu": ("relu", "aten.relu"),
                "logistic": ("sigmoid", "logistic"), "relu_n1_to_1": ("clip",)}
# Zero points at the lower end of the range: nothing below zero can be told.
_LOWEST = {digest(value, dtype, shape) for value, dtype in ((b"\0", "uint8"), (b"\x80", "int8"))
           for shape in ((), (1,))}


class Extender:
    """Moves a candidate forward, along single uses, until the fused operator's parts are all covered."""

    def __init__(self, before: Before, anchors: Anchors) -> None:
        self._before, self._anchors = before, anchors

    def extend(self, tensor: str, node: Node, output: str) -> str:
        """The tensor before that ``output`` of a node after really holds, given that names point to ``tensor``."""
        tensor = self._over_operands(tensor, node)
        activation = str(node.attributes.get("activation") or "").lower()
        if activation not in ("", "none", "linear"):
            tensor = self._over(tensor, _ACTIVATIONS.get(activation, (activation,)))
        return self._over_clamp(self._to_quantized(tensor, node, output), node, output)

    def _over_operands(self, tensor: str, node: Node) -> str:
        """Moves over operators whose other operands the node after reads too: a bias, or the other side of a sum."""
        maker = self._before.index.producer(tensor)
        if maker is None or maker.op == node.op or len(node.inputs) < 3:
            return tensor
        reads = Counter(self._anchors.number.get(t) for t in node.inputs if t)
        left = reads - self._consumed(tensor)
        for _ in range(_STEPS):
            user = self._single_user(tensor)
            if user is None or len(user.inputs) < 2:
                return tensor
            others = Counter(self._before.get(t) for t in user.inputs if t and t != tensor)
            if not others or others - left:
                return tensor
            left -= others
            tensor = user.outputs[0]
        return tensor

    def _consumed(self, tensor: str) -> Counter:
        """Values that the operators behind a tensor read, as far back as anchored tensors."""
        index, found, todo = self._before.index, Counter(), [tensor]
        for _ in range(_WALK):
            if not todo:
                break
            maker = index.producer(todo.pop())
            for name in maker.inputs if maker is not None else ():
                number = self._before.get(name) if name else None
                if number is None:
                    continue
                found[number] += 1
                if name in index.maker and number not in self._anchors.tied:
                    todo.append(name)
        return found

    def _over_clamp(self, tensor: str, node: Node, output: str) -> str:
        """An integer operator whose range starts at zero also does the Relu behind it, which is then gone."""
        if self._anchors.after.tensor(output).dtype not in _QUANTIZED or not ops.is_quantized(node.op):
            return tensor
        user = self._single_user(tensor)
        if user is None or user.op not in ("Relu", "Clip") or user.outputs[0] in self._anchors.after.maker:
            return tensor
        lowest = any(self._anchors.after.tensor(t).digest in _LOWEST for t in node.inputs[1:] if t)
        return user.outputs[0] if lowest and not self._survives(user) else tensor

    def _survives(self, node: Node) -> bool:
        """The activation itself is still there, under its own or a derived name."""
        return node.name in self._anchors.after.by_name or f"{node.name}_quant" in self._anchors.after.by_name

    def _over(self, tensor: str, wanted: tuple[str, ...]) -> str:
        maker = self._before.index.producer(tensor)
        if maker is not None and ops.plain(maker.op).lower() in wanted:
            return tensor
        user = self._single_user(tensor)
        return user.outputs[0] if user is not None and ops.plain(user.op).lower() in wanted else tensor

    def _to_quantized(self, tensor: str, node: Node, output: str) -> str:
        """An integer result stands for the quantized tensor before, where there is one."""
        if self._anchors.after.tensor(output).dtype not in _QUANTIZED:
            return tensor
        found = tensor
        for _ in range(_STEPS):
            maker = self._before.index.producer(found)
            if maker is None or self._before.index.tensor(found).dtype in _QUANTIZED:
                return found
            user = self._quantizing_user(found)
            if user is None:
                return tensor
            found = user.outputs[0]
        return tensor

    def _quantizing_user(self, tensor: str) -> Node | None:
        users = [self._before.index.nodes[i] for i in self._before.index.users.get(tensor, ())]
        for user in users:
            if ops.plain(user.op) == "QuantizeLinear":
                return user
        return users[0] if len(users) == 1 and users[0].outputs and ops.family(users[0].op) == "activation" else None

    def _single_user(self, tensor: str) -> Node | None:
        users = self._before.index.users.get(tensor, ())
        if len(users) != 1 or tensor in self._before.index.outputs:
            return None
        node = self._before.index.nodes[users[0]]
        return node if node.outputs and node.outputs[0] else None
