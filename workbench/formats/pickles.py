"""Says what a pickle would import, without unpickling it."""

from __future__ import annotations

import pickletools
import re

# All that a pickle of plain tensors needs; each only builds data.
_PLAIN = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter)|torch\._tensor\._rebuild_from_type_v2|"
    r"torch\.(Tensor|\w*Storage)|torch\.nn\.parameter\.Parameter|torch\.storage\.(Untyped|Typed)Storage|"
    r"(__builtin__|builtins)\.set|collections\.OrderedDict|torch\.(Size|device|float\d+\w*|bfloat16|u?int\d+|bool|complex\d+|q\w+)|"
    r"torch\.serialization\._get_layout|torch\.per_(tensor|channel)_affine")
_UNCHECKABLE = ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "INST")  # names that only running would tell


def foreign_name(data: bytes) -> str:
    """The first name in a pickle that is not part of plain tensors, '' when there is none.

    Args:
        data: the pickle stream (of torch.save's protocol 2; later protocols hide names and count as foreign).
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _UNCHECKABLE:
                return f"pickle opcode {opcode.name}"
            if opcode.name == "GLOBAL":
                name = str(argument).replace(" ", ".")
                if not _PLAIN.fullmatch(name):
                    return name
    except Exception:  # pickletools raises many kinds; a stream it cannot follow is not plain
        return "a damaged pickle"
    return ""
