"""What the diff knows about operators, whatever the format: families, and those that only carry values on."""

from __future__ import annotations

from functools import cache

NCHWC = "com.microsoft.nchwc."
MS = "com.microsoft."

# Order of inputs does not matter.
COMMUTATIVE = frozenset("Add Mul Max Min And Or Xor Sum Mean Equal ADD MUL MAXIMUM MINIMUM LOGICAL_AND LOGICAL_OR "
                        "AddV2 Maximum Minimum aten.add aten.mul Multiply Average".split())
# Results differ from call to call, so equal inputs prove nothing.
RANDOM = frozenset("RandomNormal RandomUniform RandomNormalLike RandomUniformLike Multinomial Bernoulli "
                   "RandomStandardNormal".split())
# Same values in another form; a runtime or a quantizer puts them around other operators.
CARRIERS: dict[str, str] = {
    "QuantizeLinear": "quantized", "DequantizeLinear": "quantized", "DynamicQuantizeLinear": "quantized",
    MS + "QuantizeLinear": "quantized", MS + "DequantizeLinear": "quantized",
    "QUANTIZE": "quantized", "DEQUANTIZE": "quantized",
    "FakeQuantWithMinMaxVars": "quantized", "FakeQuantWithMinMaxVarsPerChannel": "quantized",
    NCHWC + "ReorderInput": "blocked", NCHWC + "ReorderOutput": "blocked", "Reorder": "blocked",
    "Cast": "cast", "CAST": "cast", "Convert": "cast", "aten._to_copy": "cast",
    "Transpose": "transposed", "TRANSPOSE": "transposed", "aten.permute": "transposed",
    "Reshape": "reshaped", "Flatten": "reshaped", "Squeeze": "reshaped", "Unsqueeze": "reshaped", "RESHAPE": "reshaped",
    "SQUEEZE": "reshaped", "EXPAND_DIMS": "reshaped", "ExpandDims": "reshaped", "aten.view": "reshaped",
    "aten.reshape": "reshaped",
    "Identity": "same", "IdentityN": "same", "MemcpyToHost": "same", "MemcpyFromHost": "same", "Input": "same",
    "Output": "same", "Parameter": "same", "Result": "same",
}
# Pass their first input on when a model only predicts.
PASS_ON = frozenset("Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise AlphaDropout "
                    "GaussianDropout ActivityRegularization aten.dropout aten.detach aten.alias aten.contiguous "
                    "aten.clone StopGradient PreventGradient Snapshot EnsureShape aten.lift_fresh_copy".split())
# Move values about or change their form, without arithmetic.
MOVES = frozenset("Reshape Flatten Squeeze Unsqueeze Transpose Cast Identity Expand Slice Pad Tile Concat Split Gather "
                  "Shape Size ConstantOfShape Range Constant CastLike DepthToSpace SpaceToDepth RESHAPE SQUEEZE "
                  "EXPAND_DIMS TRANSPOSE CAST SHAPE STRIDED_SLICE SLICE PACK UNPACK PAD CONCATENATION SPLIT TILE "
                  "GATHER ExpandDims StridedSlice Pack Unpack ConcatV2 Fill GatherV2 Permute ZeroPadding2D Convert "
                  "BroadcastTo aten.view aten.reshape aten.permute aten.squeeze aten.unsqueeze aten.flatten "
                  "aten.slice aten.cat aten.transpose aten.select aten.expand aten.t aten._to_copy Reorder".split())
_ACTIVATIONS = ("Relu LeakyRelu Sigmoid Tanh HardSigmoid HardSwish Clip Elu Selu Softplus Gelu QuickGelu FastGelu "
                "PRelu Relu6 RELU RELU6 LOGISTIC TANH HARD_SWISH LEAKY_RELU ELU GELU PRELU ReLU aten.relu aten.sigmoid "
                "aten.silu aten.gelu aten.hardtanh aten.tanh aten.clamp Activation Swish Mish").split()
_FAMILIES: dict[str, tuple[str, ...]] = {
    "convolution": ("Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv", "CONV_2D", "CONV_3D",
                    "DEPTHWISE_CONV_2D", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "DepthwiseConv2dNative",
                    "SeparableConv2D", "_FusedConv2D", "_FusedDepthwiseConv2dNative", "aten.conv2d", "aten.convolution",
                    "aten._convolution", "aten.conv1d", "aten.conv3d", "Convolution", "GroupConvolution"),
    "transposed convolution": ("ConvTranspose", "TRANSPOSE_CONV", "Conv2DTranspose", "Conv2DBackpropInput",
                               "aten.conv_transpose2d", "Deconvolution"),
    "matrix product": ("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "QLinearMatMul", "MatMulInteger", "QGemm",
                       "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits", "TransposeMatMul", "BatchMatMul",
                       "FULLY_CONNECTED", "BATCH_MATMUL", "Dense", "BatchMatMulV2", "_FusedMatMul", "aten.linear",
                       "aten.mm", "aten.addmm", "aten.matmul", "aten.bmm", "FullyConnected", "Einsum", "EinsumDense"),
    "pooling": ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "NhwcMaxPool", "QLinearAveragePool",
                "QLinearGlobalAveragePool", "LpPool", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MaxPooling1D", "MaxPooling2D",
                "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "AvgPool",
                "GlobalMaxPooling2D", "aten.max_pool2d", "aten.avg_pool2d", "aten.adaptive_avg_pool2d",
                "aten.max_pool2d_with_indices", "Pooling"),
    "recurrence": ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "Bidirectional",
                   "SimpleRNN", "aten.lstm", "aten.gru"),
    "normalization": ("BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
                      "SkipLayerNormalization", "FusedBatchNormV3", "RMSNormalization", "aten.batch_norm",
                      "aten.layer_norm", "aten._native_batch_norm_legit_no_training", "aten.native_layer_norm",
                      "LRN", "LpNormalization", "L2_NORMALIZATION", "Norm", "MVN"),
    "softmax": ("Softmax", "LogSoftmax", "SOFTMAX", "LOG_SOFTMAX", "QLinearSoftmax", "aten.softmax", "aten._softmax",
                "SoftMax", "aten.log_softmax", "aten._log_softmax"),
    "activation": tuple(_ACTIVATIONS),
    "sum": ("Add", "Sum", "ADD", "AddV2", "QLinearAdd", "BiasAdd", "aten.add", "aten.add_"),
    "product": ("Mul", "MUL", "QLinearMul", "Multiply", "aten.mul"),
    "lookup": ("Gather", "GATHER", "GatherV2", "Embedding", "aten.embedding", "EMBEDDING_LOOKUP", "ResourceGather"),
    "concatenation": ("Concat", "CONCATENATION", "ConcatV2", "Concatenate", "aten.cat", "QLinearConcat"),
    "resize": ("Resize", "Upsample", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "UpSampling2D", "Interpolate",
               "aten.upsample_nearest2d", "ResizeNearestNeighbor", "ResizeBilinear"),
}
_FAMILY = {op: family for family, ops in _FAMILIES.items() for op in ops}
# Two of these are never versions of one another.
_DISTINCT = frozenset({"convolution", "transposed convolution", "matrix product", "pooling", "recurrence", "softmax",
                       "lookup", "concatenation", "resize"})


@cache
def plain(op: str) -> str:
    """Operator without its domain: 'com.microsoft.nchwc.Conv' -> 'Conv'; PyTorch's 'aten.' stays."""
    return op if op.startswith("aten.") else op.rsplit(".", 1)[-1]


@cache
def family(op: str) -> str:
    """Family of an operator, '' when it is in none."""
    return _FAMILY.get(plain(op), "")


def conflict(a: str, b: str) -> bool:
    """Whether two operators cannot be versions of one another (Conv and MatMul; not Conv and Relu)."""
    first, second = family(a), family(b)
    return first != second and first in _DISTINCT and second in _DISTINCT


@cache
def elementwise(op: str) -> bool:
    """Operators that do not care where a value stands."""
    return family(op) in ("activation", "sum", "product") or plain(op) in (
        "Sub", "Div", "Pow", "Sqrt", "Exp", "Log", "Neg", "Abs", "Erf", "Reciprocal", "Where", "Min", "Max", "Not")


@cache
def is_quantized(op: str) -> bool:
    """Operators that compute with integers and scales."""
    name = plain(op)
    return name.startswith(("QLinear", "QGemm", "DynamicQuantize", "QAttention", "QMoE")) or name in (
        "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "NhwcMaxPool")


@cache
def is_blocked(op: str) -> bool:
    """Operators of ONNX Runtime's blocked channel layout."""
    return op.startswith(NCHWC)


@cache
def numbering_name(op: str) -> str:
    """Name under which an operator counts as the same one: pooling in blocked layout computes the same values."""
    return plain(op) if op in (NCHWC + "MaxPool", NCHWC + "AveragePool", NCHWC + "GlobalAveragePool",
                               NCHWC + "GlobalMaxPool", MS + "NhwcMaxPool") else op
