"""Some fused operators keep the name of their first part: the value they give lies further on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ops
from .graph import Node
from .numbering import Before

if TYPE_CHECKING:
    from .anchors import Anchors

_STEPS = 4
_SUMS = ("Add", "Sum")
_WITH_SUM = ("FusedConv", "Conv", "NhwcFusedConv")  # the fourth input is added before the activation
_QUANTIZED = ("int8", "uint8")


class Extender:
    """Moves a candidate forward, along single uses, until the fused operator's parts are all covered."""

    def __init__(self, before: Before, anchors: Anchors) -> None:
        self._before, self._anchors = before, anchors

    def extend(self, tensor: str, node: Node, output: str) -> str:
        """The tensor before that ``output`` of a node after really holds, given that names point to ``tensor``."""
        name = ops.plain(node.op)
        if node.op.startswith(ops.MS) and name in _WITH_SUM and len(node.inputs) > 3 and node.inputs[3]:
            tensor = self._over_sum(tensor, self._anchors.pair.get(node.inputs[3]))
        activation = node.attributes.get("activation")
        if activation and node.op.startswith(ops.MS):
            tensor = self._over(tensor, (str(activation),))
        return self._to_quantized(tensor, node, output)

    def _over_sum(self, tensor: str, other: str | None) -> str:
        if other is None:
            return self._over(tensor, _SUMS)
        wanted = self._before.get(other)
        maker = self._before.index.producer(tensor)
        if maker is not None and maker.op in _SUMS and wanted in [self._before.get(t) for t in maker.inputs if t]:
            return tensor
        found = tensor
        for _ in range(_STEPS):
            user = self._single_user(found)
            if user is None:
                return tensor
            found = user.outputs[0]
            if user.op in _SUMS and wanted in [self._before.get(t) for t in user.inputs if t]:
                return found
        return tensor

    def _over(self, tensor: str, wanted: tuple[str, ...]) -> str:
        maker = self._before.index.producer(tensor)
        if maker is not None and maker.op in wanted:
            return tensor
        user = self._single_user(tensor)
        return user.outputs[0] if user is not None and user.op in wanted else tensor

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
