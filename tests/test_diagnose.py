"""One planted case a cause, each named correctly; what has none of them reads 'unexplained'."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from workbench import diagnose, recipe
from workbench.model import ModelFormat as F
from workbench.profile import Profile, Row, profile
from workbench.profile.roofline import Limits
from workbench.results import Result
from workbench.runtimes import _onnxruntime

RNG = np.random.default_rng(0)
VNNI = {"isa": ["avx2", "avx512f", "avx512_vnni", "avx512_fp16"], "physical_cores": 4, "usable_cores": 4}
PLAIN = {"isa": ["avx2", "fma"], "physical_cores": 4, "usable_cores": 4}


def result(*steps, runtime="onnxruntime", verdict="slower", median_s=0.01, describe=None, environment=VNNI, **fields):
    made = recipe.make(*steps, runtime=runtime, threads=fields.pop("threads", 1), device=fields.pop("device", "cpu"))
    return Result("r", "t", "m", "d", made, "machine", False, "ok", verdict=verdict, median_s=median_s,
                  describe={"threads": made.threads, **(describe or {})}, environment=environment, **fields)


BASELINE = replace(result(), is_baseline=True, verdict="", size_bytes=4_000_000)


def ids(found):
    return [c.id for c in found.causes]


def recorded(rows, end_to_end=1.0, total=1.0):
    """A profile of (name, op, share, precision, kernel) rows."""
    made = tuple(Row(n, op, share * total, (0, 1), share, precision=p, kernel=k) for n, op, share, p, k in rows)
    return Profile("onnxruntime", 1, 30, made, end_to_end, (0.9, 1.1), end_to_end, total, (), {})


def save(folder, name, nodes, shape, constants, opset=17):
    """A model with one float input 'x' and the output 'y'; rank and sizes of 'y' stay open."""
    graph = h.make_graph(nodes, name, [h.make_tensor_value_info("x", T.FLOAT, shape)],
                         [h.make_tensor_value_info("y", T.FLOAT, None)],
                         [onnx.numpy_helper.from_array(v, n) for n, v in constants.items()])
    path = folder / f"{name}.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9), path)
    return path


def profiled(path, shape, **settings):
    feed = {"x": RNG.random(shape, np.float32)}
    return profile(path, F.ONNX, "onnxruntime", _onnxruntime.Settings(**settings), 1, [feed], max_s=1)


# --- planted in real files, seen in real profiles -----------------------------------------------------------------


def quantized_convolutions(folder):
    """Three 1x1 convolutions as QDQ: cheap products between many Q and DQ nodes."""
    nodes, last = [], "x"
    constants = {"s": np.float32(0.05), "z": np.uint8(0), "sw": np.float32(0.01), "zw": np.int8(0)}
    for i in range(3):
        constants[f"w{i}"] = RNG.integers(-127, 127, (16, 16, 1, 1)).astype(np.int8)
        nodes += [h.make_node("QuantizeLinear", [last, "s", "z"], [f"q{i}"], f"quantize{i}"),
                  h.make_node("DequantizeLinear", [f"q{i}", "s", "z"], [f"d{i}"], f"dequantize{i}"),
                  h.make_node("DequantizeLinear", [f"w{i}", "sw", "zw"], [f"dw{i}"], f"weight{i}"),
                  h.make_node("Conv", [f"d{i}", f"dw{i}"], [f"c{i}"], f"conv{i}")]
        last = f"c{i}"
    nodes += [h.make_node("QuantizeLinear", [last, "s", "z"], ["q"]), h.make_node("DequantizeLinear", ["q", "s", "z"],
                                                                                ["y"])]
    return save(folder, "quantized", nodes, [1, 16, 96, 96], constants)


def test_unfused_pairs(tmp_path):
    path = quantized_convolutions(tmp_path)
    case = result("onnx-int8-static", artefact=str(path), describe={"graph_level": "ORT_DISABLE_ALL"})
    found = diagnose.diagnose(case, BASELINE, profile=profiled(path, (1, 16, 96, 96), graph_level="disabled"))
    assert found.causes[0].id == "qdq-unfused" and "optimizations-off" in ids(found)
    assert "3 nodes between them run in float" in found.causes[0].evidence and found.causes[0].share > 0.2
    assert "float-nodes" not in ids(found), "they were made INT8; what is missing is the fusion"
    without = diagnose.diagnose(case, BASELINE)
    assert without.causes[0].id == "optimizations-off" and "11 Q/DQ nodes" in without.causes[0].evidence
    fused = profiled(path, (1, 16, 96, 96))
    assert any(r.op == "QLinearConv" for r in fused.rows)


def test_nodes_left_in_float(tmp_path):
    side = 384
    constants = {"s": np.float32(0.01), "z": np.uint8(0), "sw": np.float32(0.01), "zw": np.int8(0),
                 "small": RNG.integers(-127, 127, (side, 8)).astype(np.int8),
                 "big": RNG.random((side, side), np.float32)}
    nodes = [h.make_node("MatMul", ["x", "big"], ["a"], "kept_in_float"),
             h.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
             h.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             h.make_node("DequantizeLinear", ["small", "sw", "zw"], ["w"]),
             h.make_node("MatMul", ["d", "w"], ["b"], "quantized"),
             h.make_node("QuantizeLinear", ["b", "s", "z"], ["qb"]), h.make_node("DequantizeLinear", ["qb", "s", "z"],
                                                                                 ["y"])]
    path = save(tmp_path, "mixed", nodes, [side, side], constants)
    stages = ({"details": {"float": ["kept_in_float"], "ops": {"kept_in_float": "MatMul", "quantized": "MatMul"},
                           "float_reasons": {"kept_in_float": "as asked"}}},)
    case = result("onnx-int8-static", artefact=str(path), stages=stages)
    found = diagnose.diagnose(case, BASELINE, profile=profiled(path, (side, side)))
    assert found.causes[0].id == "float-nodes" and "kept_in_float" in found.causes[0].evidence
    assert "as asked" in found.causes[0].advice
    from_report = diagnose.diagnose(case, BASELINE)
    assert ids(from_report) == ["float-nodes"] and "1 of 2 compute nodes" in from_report.causes[0].evidence


def test_casts_and_layout_changes(tmp_path):
    nodes, last = [], "x"
    for i in range(4):
        nodes += [h.make_node("Transpose", [last], [f"t{i}"], f"turn{i}", perm=[0, 2, 3, 1]),
                  h.make_node("Cast", [f"t{i}"], [f"c{i}"], f"cast{i}", to=T.DOUBLE),
                  h.make_node("Abs", [f"c{i}"], [f"a{i}"], f"abs{i}"),
                  h.make_node("Cast", [f"a{i}"], [f"o{i}"], f"back{i}", to=T.FLOAT)]
        last = f"o{i}"
    nodes.append(h.make_node("Identity", [last], ["y"]))
    path = save(tmp_path, "turned", nodes, [1, 16, 96, 96], {})
    moved = profiled(path, (1, 16, 96, 96), graph_level="disabled")
    calm = recorded([("a", "Abs", 1.0, "float", "")])
    found = diagnose.diagnose(result(artefact=str(path)), BASELINE, profile=moved, baseline_profile=calm)
    assert found.causes[0].id == "conversions" and "Transpose" in found.causes[0].evidence
    assert ids(diagnose.diagnose(result(), BASELINE, profile=moved, baseline_profile=moved)) == ["unexplained"]


def test_dynamic_quantization_of_convolutions(tmp_path):
    constants = {"w": RNG.integers(-127, 127, (16, 16, 3, 3)).astype(np.int8), "zw": np.int8(0)}
    nodes = [h.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "ranges"),
             h.make_node("ConvInteger", ["q", "w", "z", "zw"], ["c"], "product", pads=[1, 1, 1, 1]),
             h.make_node("Cast", ["c"], ["f"], "cast", to=T.FLOAT), h.make_node("Mul", ["f", "s"], ["y"], "scale")]
    path = save(tmp_path, "dynamic", nodes, [1, 16, 64, 64], constants)
    case = result("onnx-int8-dynamic", artefact=str(path))
    found = diagnose.diagnose(case, BASELINE, profile=profiled(path, (1, 16, 64, 64)))
    assert found.causes[0].id == "dynamic-convolutions" and "1 ConvInteger" in found.causes[0].evidence
    assert diagnose.diagnose(case, BASELINE).causes[0].id == "dynamic-convolutions"


def test_float16_is_emulated_here(tmp_path):
    half = {"w": RNG.random((256, 256)).astype(np.float16)}
    nodes = [h.make_node("Cast", ["x"], ["h"], "down", to=T.FLOAT16),
             h.make_node("MatMul", ["h", "w"], ["m"], "product"),
             h.make_node("Abs", ["m"], ["a"], "abs"), h.make_node("Cast", ["a"], ["y"], "up", to=T.FLOAT)]
    path = save(tmp_path, "half", nodes, [256, 256], half)
    case = result("onnx-float16", artefact=str(path), environment=PLAIN)
    found = diagnose.diagnose(case, BASELINE, profile=profiled(path, (256, 256)))
    assert found.causes[0].id == "emulated-half" and "no float16 arithmetic" in found.causes[0].evidence
    assert "conversions" not in ids(found), "the casts belong to the emulation"
    assert ids(diagnose.diagnose(replace(case, environment=VNNI), BASELINE)) == ["unexplained"]


# --- planted in what a session, a machine or a profile says -------------------------------------------------------


def test_a_processor_without_int8_dot_products():
    found = diagnose.diagnose(result("onnx-int8-static", environment=PLAIN), BASELINE)
    assert ids(found) == ["no-int8-dot"] and "avx2" in found.causes[0].evidence
    assert ids(diagnose.diagnose(result("onnx-int8-static"), BASELINE)) == ["unexplained"]
    assert ids(diagnose.diagnose(result(environment=PLAIN), BASELINE)) == ["unexplained"], "float needs no dot product"


@pytest.mark.parametrize("described, words", [
    ({"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"], "nodes_elsewhere": ["NonZero_3", "Loop_9"]},
     "2 nodes run elsewhere .NonZero_3, Loop_9"),
    ({"delegate": "XNNPACK", "nodes_elsewhere": ["CUSTOM #4"]}, "1 nodes run elsewhere"),
    ({"delegate": "none", "nodes_elsewhere": ["ADD #0"], "notes": ["XNNPACK took none of the nodes"]}, "took none")])
def test_fallback(described, words):
    found = diagnose.diagnose(result(describe=described), BASELINE)
    assert ids(found) == ["fallback"] and re.search(words, found.causes[0].evidence)


def test_a_delegate_that_was_not_asked_for_is_no_fallback():
    described = {"delegate": "none", "nodes_elsewhere": ["ADD #0"], "notes": []}
    assert ids(diagnose.diagnose(result(describe=described), BASELINE)) == ["unexplained"]


def test_too_many_threads():
    found = diagnose.diagnose(result(threads=16), BASELINE)
    assert ids(found) == ["too-many-threads"] and found.causes[0].evidence == "16 threads share 4 cores"
    assert found.causes[0].advice == "set threads to 4"
    limited = {**VNNI, "cpu_quota": 1.5}
    assert ids(diagnose.diagnose(result(threads=2, environment=limited), BASELINE)) == ["too-many-threads"]
    assert ids(diagnose.diagnose(result(threads=4), BASELINE)) == ["unexplained"]


def test_work_too_small_for_the_threads():
    tiny = result(threads=2, median_s=0.0001, describe={"nodes_by_provider": {"CPUExecutionProvider": 10}})
    assert ids(diagnose.diagnose(tiny, BASELINE)) == ["work-too-small"]
    heavy = replace(tiny, median_s=0.1)
    assert ids(diagnose.diagnose(heavy, BASELINE)) == ["unexplained"]
    same = replace(BASELINE, describe={"threads": 2})
    assert ids(diagnose.diagnose(tiny, same)) == ["unexplained"], "the baseline has as many threads"


def test_memory_bound_weights():
    limits = Limits("m", 1, 1e11, 1e11, ((2**16, 5e10), (2**26, 1e10)), {})
    case = result(median_s=0.012, size_bytes=100_000_000)
    large = replace(BASELINE, size_bytes=100_000_000)
    found = diagnose.diagnose(case, large, limits=limits)
    assert ids(found) == ["memory-bound"] and "100 MB of weights take at least 10.0 ms of 12.0 ms" in \
        found.causes[0].evidence
    assert ids(diagnose.diagnose(replace(case, median_s=0.1), large, limits=limits)) == ["unexplained"]


def test_reference_kernels():
    rows = [("lstm", "LSTMSequence", 0.6, "f32", "ref_any_f32"), ("fc", "FullyConnected", 0.4, "f32", "gemm_mlas_f32")]
    found = diagnose.diagnose(result(runtime="openvino"), BASELINE, profile=recorded(rows))
    assert ids(found) == ["reference-kernels"] and "LSTMSequence" in found.causes[0].evidence


def test_time_between_the_nodes():
    found = diagnose.diagnose(result(runtime="tensorflow"), BASELINE,
                              profile=recorded([("c", "Conv2D", 1.0, "", "")], end_to_end=0.02, total=0.004))
    assert ids(found) == ["overhead"] and found.causes[0].share == pytest.approx(0.8)


# --- the answer as a whole ----------------------------------------------------------------------------------------


def test_what_has_no_known_cause_is_unexplained():
    calm = recorded([("c", "Conv", 0.9, "float", ""), ("r", "Relu", 0.1, "float", "")])
    found = diagnose.diagnose(result(), BASELINE, profile=calm, baseline_profile=calm)
    assert ids(found) == ["unexplained"] and found.line.startswith("slower: unexplained")


def test_the_heaviest_cause_comes_first_and_the_line_names_it():
    rows = [("q", "QuantizeLinear", 0.15, "uint8", ""), ("m", "MatMul", 0.7, "float", ""), ("t", "Cast", 0.15, "", "")]
    found = diagnose.diagnose(result("onnx-int8-static", environment=PLAIN, verdict="undecided"), BASELINE,
                              profile=recorded(rows))
    assert ids(found)[0] == "float-nodes" and set(ids(found)) == {"float-nodes", "qdq-unfused", "conversions",
                                                                "no-int8-dot"}
    assert found.line.startswith("not measurably faster: nodes are left in float (1 of 1")


def test_faster_variants_and_failures_need_no_diagnosis():
    assert diagnose.diagnose(result(verdict="faster"), BASELINE).causes == ()
    assert diagnose.diagnose(BASELINE, BASELINE).line == "it is the baseline"
    failed = replace(result(), status="failed", reason="out of memory")
    assert diagnose.diagnose(failed, BASELINE).line == "it was not measured: out of memory"


def test_every_cause_is_named_here():
    """A cause without a planted case is a guess."""
    text = Path(__file__).read_text()
    source = Path(diagnose.__file__).read_text()
    named = {line.split('"')[1] for line in source.splitlines() if 'Cause("' in line}
    assert len(named) >= len(diagnose.CAUSES) and all(f'"{n}"' in text for n in named)


@pytest.mark.parametrize("op, compute", [("Conv", True), ("aten.linear.default", True), ("Convert", False),
                                         ("com.microsoft.QLinearConv", True), ("aten::to", False), ("Relu", False)])
def test_operators_are_sorted_by_kind(op, compute):
    assert diagnose.is_compute(op) == compute


@pytest.mark.parametrize("steps,what", [(["keras-prune-magnitude"], "zeros"), (["keras-cluster"], "shared weights")])
def test_zeros_and_shared_weights_make_no_dense_kernel_faster(steps, what):
    case = result(*steps, runtime="litert", verdict="undecided", compressed_bytes=240_000)
    found = diagnose.diagnose(case, replace(BASELINE, compressed_bytes=850_000))
    cause = next(c for c in found.causes if c.id == "dense-zeros")
    assert what in cause.evidence and "240 kB, 850 kB before" in cause.evidence and "structured" in cause.advice
    assert "dense-zeros" not in ids(diagnose.diagnose(result(), BASELINE))
