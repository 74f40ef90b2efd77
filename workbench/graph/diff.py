"""The difference of two graphs, node by node, with the reason for each claim."""

from __future__ import annotations

from collections.abc import Mapping

from .anchors import Anchors
from .classify import Classifier
from .graph import Graph
from .groups import Diff
from .index import Index
from .numbering import Before, Numbers
from .regions import Regions
from .verify import verified


def diff(before: Graph, after: Graph, *, values: Mapping[str, bool] | None = None) -> Diff:
    """Relates the nodes of two graphs of one model.

    Args:
        before: the graph as given.
        after: what an optimizer, a quantizer or a converter made of it.
        values: tensor after -> whether its computed value agrees with its counterpart's, from
            :func:`workbench.graph.values.compare`; groups whose results agree are marked verified.

    Returns:
        groups that hold every node of both sides exactly once.
    """
    numbers = Numbers()
    first = Before(Index(before), numbers)
    second = Index(after)
    anchors = Anchors(first, second, numbers)
    regions = Regions(first, second, anchors)
    groups = Classifier(first, second, anchors, regions).groups()
    found = Diff(before, after, tuple(groups), anchors.pair)
    return verified(found, values) if values else found
