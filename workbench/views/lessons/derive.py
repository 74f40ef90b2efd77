"""The forward pass and the gradients by hand, shown and checked."""

from __future__ import annotations

import numpy as np

from ...teaching import autodiff, mlp
from ..charts import training
from ..notebook import pages
from ..notebook.work import Task, Work
from ..widgets.chart import Chart
from .case import Case

_CHECKED = 60  # weights for the complex step: each takes a forward pass of all samples


def forward(case: Case, sample: int = 0):
    """One sample on its way through the bundled model: shapes, active units, probabilities, losses."""
    trace = mlp.forward(case.bundled, case.held[sample:sample + 1])
    rows = [("x", str(trace.activations[0].shape), "features, scaled to 0..1", "")]
    for index, z in enumerate(trace.sums, start=1):
        w = case.bundled[index - 1][0]
        rows.append((f"z{index} = a{index - 1} W{index} + b{index}", str(z.shape), f"W{index} {w.shape}",
                     f"{w.size + w.shape[1]:,} parameters"))
        if index < len(trace.sums):
            rows.append((f"a{index} = max(0, z{index})", str(z.shape), f"{int((z > 0).sum())} of {z.size} units active",
                         ""))
    p = trace.probabilities[0]
    rows.append(("p = softmax(z)", str(trace.probabilities.shape), ", ".join(f"{v:.4f}" for v in p),
                 f"label {case.held_labels[sample]}"))
    labels = case.held_labels[sample:sample + 1]
    held = case.held[sample:sample + 1]
    losses = [f"{kind} {mlp.loss(case.bundled, held, labels, kind):.4f}" for kind in mlp.LOSSES]
    return pages.shown(pages.table(("", "shape", "what it is", ""), rows),
                       pages.note(f"Losses of this sample: {', '.join(losses)}."))


def check(case: Case, kind: str = "cross-entropy", framework: str = "tensorflow") -> Work[autodiff.Differentiated]:
    """The gradients by hand against automatic differentiation and against the complex step."""
    params, x, labels = case.start, case.x, case.labels

    def run(task: Task) -> autodiff.Differentiated:
        task.progress(0.2, f"{framework} differentiates in a process of its own")
        return autodiff.differentiate(params, x, labels, kind, framework=framework, cancel=task.cancel)

    def show(found: autodiff.Differentiated):
        mine, theirs = mlp.flatten(mlp.gradients(params, x, labels, kind)), mlp.flatten(found.gradients)
        places = np.linspace(0, mine.size - 1, _CHECKED).astype(int)
        numeric = mlp.complex_step(params, x, labels, places, kind)
        rows = [("loss", f"{abs(found.loss - mlp.loss(params, x, labels, kind)):.1e}"),
                (f"{mine.size:,} gradients, against {framework}", f"{np.abs(mine - theirs).max():.1e}"),
                (f"{_CHECKED} of them, against the complex step", f"{np.abs(mine[places] - numeric).max():.1e}")]
        return pages.shown(Chart(training.agreement(framework, mine, theirs)),
                           pages.table((f"{kind}, float64", "largest difference"), rows, right=(1,)))

    return Work(run, show, title=f"gradients of {kind}")
