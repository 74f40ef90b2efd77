"""``workbench inspect MODEL``: what a model file is."""

from __future__ import annotations

from ..units import count, size
from . import common

HELP = "show format, inputs, outputs, parameters and size of a model file"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    common.add_model_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Reads the model and describes it."""
    model = common.model(args.model, args.fix)
    lines = [f"{model.name}  {model.format.value}  {size(model.size_bytes)}",
             f"{count(model.parameters)} parameters in {model.nodes} nodes",
             *(f"input   {_spec(s)}" for s in model.inputs), *(f"output  {_spec(s)}" for s in model.outputs),
             *(f"note    {line}" for line in model.notes), f"sha256  {model.sha256}"]
    return model.to_dict(), "\n".join(lines)


def _spec(spec) -> str:
    dims = ", ".join("?" if d is None else str(d) for d in spec.shape)
    return f"{spec.name}: {spec.dtype}[{dims}]"
