"""Names of variants that are shown together."""

from workbench import recipe
from workbench.told_apart import told_apart


def names(*recipes):
    return told_apart([r.label for r in recipes], recipes)


def test_equal_names_get_what_differs_and_others_stay():
    plain = recipe.make("onnx-int8-static", runtime="onnxruntime")
    tuned = recipe.make(("onnx-int8-static", {"method": "percentile", "symmetric_activations": True}),
                        runtime="onnxruntime")
    other = recipe.make("onnx-int8-dynamic", runtime="onnxruntime")
    assert names(plain, tuned, other) == [
        "ONNX Runtime · INT8 static (method minmax, no symmetric activations)",
        "ONNX Runtime · INT8 static (method percentile, symmetric activations)", "ONNX Runtime · INT8 dynamic"]


def test_settings_of_the_runtime_count_and_the_same_recipe_twice_does_not():
    half, whole = (recipe.make(runtime="openvino", runtime_settings={"precision": p}) for p in ("", "f32"))
    assert names(half, whole) == ["OpenVINO (precision default)", "OpenVINO (precision f32)"]
    assert names(whole, whole) == ["OpenVINO", "OpenVINO"]


def test_a_long_list_of_differences_is_cut_and_a_crowd_is_left_alone():
    one = recipe.make(("onnx-int8-static", {"method": "entropy", "per_channel": False, "percentile": 99.0,
                                            "calibration_samples": 3, "exclude_nodes": ["a", "b", "c"]}))
    assert names(one, recipe.make("onnx-int8-static"))[0].endswith(
        "(no per channel, method entropy, percentile 99 and 2 more)")
    crowd = [recipe.make(("onnx-int8-static", {"calibration_samples": n})) for n in range(1, 20)]
    assert len(set(names(*crowd))) == 1
