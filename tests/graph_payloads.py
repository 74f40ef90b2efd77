"""Payloads for the graph view: a small one with every status, and stacks of any size with hubs."""

import random

STATUSES = ("kept", "rewritten", "fused", "folded", "merged", "eliminated", "inserted", "quantized", "unexplained")


def node(name, op, inputs, outputs, scope="", **more):
    return {"name": name, "op": op, "scope": scope, "in": list(inputs), "out": list(outputs), "shape": [1, 8, 16, 16],
            "dtype": "float32", "attrs": {}, "params": 0, "bytes": 4096, "flops": 1000, "time_s": 1e-6, "group": -1,
            "status": "kept", **more}


def side(title, nodes, inputs, outputs):
    writer = {t: i for i, n in enumerate(nodes) for t in n["out"]}
    edges = [[writer[t], i, t] for i, n in enumerate(nodes) for t in n["in"] if t in writer]
    return {"title": title, "format": "onnx", "nodes": nodes, "edges": edges, "inputs": inputs, "outputs": outputs}


def payload(title, before, after, changes):
    """changes: (status, before names, after names)."""
    at = [{n["name"]: i for i, n in enumerate(s["nodes"])} for s in (before, after)]
    groups, counts = [], dict.fromkeys(STATUSES, 0)
    for k, (status, olds, news) in enumerate(changes):
        groups.append({"id": k, "before": [at[0][n] for n in olds], "after": [at[1][n] for n in news],
                       "status": status, "evidence": f"made up for {status}", "verified": k % 2 == 0,
                       "summary": f"{' + '.join(olds)} to {' + '.join(news)}"})
        counts[status] += 1
        for graph, names, index in ((before, olds, at[0]), (after, news, at[1])):
            for name in names:
                graph["nodes"][index[name]].update(group=k, status=status)
    return {"version": 1, "title": title, "before": before, "after": after, "groups": groups, "counts": counts}


def small(title="small"):
    """Conv + BatchNormalization + Relu fused, and one change of each other kind."""
    before = side("net.onnx", [
        node("w_scale", "Constant", [], ["ws"]),
        node("w_mul", "Mul", ["ws", "w"], ["wm"]),
        node("conv", "Conv", ["x", "wm"], ["c"], attrs={"kernel_shape": [3, 3], "strides": [2, 2]}, time_s=6e-4),
        node("bn", "BatchNormalization", ["c"], ["b"], time_s=2e-4),
        node("relu", "Relu", ["b"], ["r"], time_s=1e-4),
        node("drop", "Dropout", ["r"], ["d"]),
        node("left", "Sigmoid", ["d"], ["s1"]),
        node("right", "Sigmoid", ["d"], ["s2"]),
        node("add", "Add", ["s1", "s2"], ["a"]),
        node("gelu", "Gelu", ["a"], ["g"]),
        node("mat", "MatMul", ["g"], ["m"]),
        node("odd", "Odd", ["m"], ["o"]),
        node("soft", "Softmax", ["o"], ["y"]),
    ], ["x"], ["y"])
    after = side("optimized", [
        node("conv_nchwc", "com.microsoft.nchwc.Conv", ["x"], ["r"], time_s=4e-4),
        node("left", "Sigmoid", ["r"], ["s1"]),
        node("add", "Add", ["s1", "s1"], ["a"]),
        node("gelu", "com.microsoft.QuickGelu", ["a"], ["g"]),
        node("quant", "QuantizeLinear", ["g"], ["gq"]),
        node("mat", "MatMulInteger", ["gq"], ["m"]),
        node("strange", "Strange", ["m"], ["o"]),
        node("soft", "Softmax", ["o"], ["y"]),
    ], ["x"], ["y"])
    return payload(title, before, after, [
        ("fused", ["conv", "bn", "relu"], ["conv_nchwc"]), ("folded", ["w_scale", "w_mul"], []),
        ("eliminated", ["drop"], []), ("merged", ["left", "right"], ["left"]), ("kept", ["add"], ["add"]),
        ("rewritten", ["gelu"], ["gelu"]), ("inserted", [], ["quant"]), ("quantized", ["mat"], ["mat"]),
        ("unexplained", ["odd"], []), ("unexplained", [], ["strange"]), ("kept", ["soft"], ["soft"])])


class _Stack:
    def __init__(self, named, seed=0):
        self.named, self.nodes, self.random = named, [], random.Random(seed)

    def add(self, op, scope, inputs, flops=1000, params=0):
        k = len(self.nodes)
        name = f"/{scope}/{op}_{k}" if self.named else f"n{k}"
        seconds = flops / 5e10 * self.random.uniform(0.8, 1.2)
        self.nodes.append(node(name, op, inputs, [f"t{k}"], scope if self.named else "", shape=[1, 128, 768],
                               params=params, bytes=4 * (params + 98304), flops=int(flops), time_s=seconds))
        return f"t{k}"

    def norm(self, x, scope):
        mean = self.add("ReduceMean", scope, [x])
        apart = self.add("Sub", scope, [x, mean])
        t = self.add("Pow", scope, [apart])
        for op in ("ReduceMean", "Add", "Sqrt"):
            t = self.add(op, scope, [t])
        t = self.add("Div", scope, [apart, t])
        return self.add("Add", scope, [self.add("Mul", scope, [t])])

    def attention(self, x, scope, hubs):
        heads = []
        for name in ("query", "key", "value"):
            t = self.add("MatMul", f"{scope}/{name}", [x], 150e6, 589824)
            for op in ("Add", "Reshape", "Transpose"):
                t = self.add(op, f"{scope}/{name}", [t])
            heads.append(t)
        if hubs:
            heads[0] = self.add("Mul", scope, [heads[0], hubs[0]])
            heads[1] = self.add("Mul", scope, [heads[1], hubs[1 % len(hubs)]])
        t = self.add("Div", scope, [self.add("MatMul", scope, heads[:2], 25e6)])
        t = self.add("Softmax", scope, [self.add("Add", scope, [t, *hubs[2:3]])])
        t = self.add("MatMul", scope, [t, heads[2]], 25e6)
        for op in ("Transpose", "Reshape"):
            t = self.add(op, scope, [t])
        return self.add("Add", f"{scope}/output", [self.add("MatMul", f"{scope}/output", [t], 150e6, 589824)])

    def feed_forward(self, x, scope):
        a = self.add("Add", f"{scope}/fc1", [self.add("MatMul", f"{scope}/fc1", [x], 600e6, 2359296)])
        t = self.add("Div", f"{scope}/act", [a])
        for op in ("Erf", "Add"):
            t = self.add(op, f"{scope}/act", [t])
        t = self.add("Mul", f"{scope}/act", [self.add("Mul", f"{scope}/act", [a, t])])
        return self.add("Add", f"{scope}/fc2", [self.add("MatMul", f"{scope}/fc2", [t], 600e6, 2359296)])


FUSIONS = (("ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add".split(), "LayerNormalization"),
           ("Div Erf Add Mul Mul".split(), "Gelu"))


def stack(count, named=True, hubs=3):
    """A network of transformer blocks with about ``count`` nodes, and the same with its norms and Gelus fused.

    Args:
        count: nodes of the original.
        named: whether names carry scopes; else the structure must tell the blocks.
        hubs: nodes that feed every block.
    """
    net = _Stack(named)
    tables = [net.add("Cast", "", ["mask"]) for _ in range(hubs)]
    x, block = net.add("Gather", "embeddings", ["ids"]), 0
    while len(net.nodes) < count - 1:
        scope = f"encoder/layer.{block}"
        block += 1
        x = net.add("Add", scope, [x, net.attention(net.norm(x, f"{scope}/ln1"), f"{scope}/attention", tables)])
        x = net.add("Add", scope, [x, net.feed_forward(net.norm(x, f"{scope}/ln2"), f"{scope}/mlp")])
    net.add("MatMul", "head", [x], 600e6, 1000)
    before = side(f"stack of {len(net.nodes)}", net.nodes, ["mask", "ids"], net.nodes[-1]["out"])
    return _fused(before)


def _fused(before):
    nodes, out, changes, at = before["nodes"], [], [], 0
    ops = [n["op"] for n in nodes]
    while at < len(nodes):
        pattern, op = next(((p, o) for p, o in FUSIONS if ops[at:at + len(p)] == p), ([ops[at]], ops[at]))
        members = nodes[at:at + len(pattern)]
        inner = {t for n in members for t in n["out"]}
        inputs = list(dict.fromkeys(t for n in members for t in n["in"] if t not in inner))
        out.append({**members[-1], "op": op, "in": inputs, "time_s": 0.6 * sum(n["time_s"] for n in members),
                    "flops": sum(n["flops"] for n in members)})
        changes.append(("fused" if len(members) > 1 else "kept", [n["name"] for n in members], [out[-1]["name"]]))
        at += len(members)
    after = side("fused", out, before["inputs"], before["outputs"])
    return payload(f"{len(nodes)} nodes, norms and Gelus fused", before, after, changes)
