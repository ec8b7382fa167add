"""Small quantized networks and the shipped student, run by onnxruntime: the golden files of src/int8/tests.rs.

    python3 pretrain/compare/int8_golden.py tests/golden/int8

For each network: NAME.onnx; NAME.input (f32, little endian); NAME.tensors (u8: the quantized input,
then what each convolution gives, each as channels x rows x columns); NAME.output (f32). The networks
are in QOperator form under the rules of docs/reference/int8.md, written here with the onnx package and not by
glint, so that glint's reader meets files that are not its own. The student is models/student.onnx, which is not
copied: whoever ships another one runs this again.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# name: input shape, input exponent and zero point, (outputs, kernel, stride, pad) of each convolution, tail
NETWORKS = {
    "motion": ((1, 3, 14, 13), (-5, 128), [(24, 3, 1, 1), (16, 3, 2, 1), (8, 1, 1, 0)], "means"),
    "luma": ((1, 1, 20, 24), (-6, 128), [(16, 3, 2, 1), (16, 3, 1, 1)], "heads"),
    "plain": ((1, 5, 9, 7), (-4, 0), [(20, 3, 2, 1), (9, (5, 4), 1, 0)], "none"),
}


class Writer:
    """Collects nodes and stored tensors."""

    def __init__(self):
        self.nodes, self.stored = [], []

    def store(self, name, value):
        self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, inputs, outputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))


def quantized_layers(writer, rng, shape, scale, zero, layers):
    """The chain from "x" to "features"; returns the names of its u8 tensors."""
    exponent = scale
    scale, zero = writer.store("x_scale", np.float32(2.0**exponent)), writer.store("x_zero", np.uint8(zero))
    none = writer.store("zero", np.uint8(0))
    writer.node("QuantizeLinear", ["x", scale, zero], ["t0"])
    tensors, inputs = ["t0"], shape[1]
    for i, (outputs, kernel, stride, pad) in enumerate(layers, 1):
        rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        weight = rng.integers(-63, 64, (outputs, inputs, rows, columns)).astype(np.int8)
        extreme = rng.random(weight.shape)
        weight[extreme < 0.1], weight[extreme > 0.9] = -63, 63
        # A sum of n products deviates by about 40 * 100 * sqrt(n): bring it to a few tens of steps.
        shift = np.round(np.log2(40 * 100 * np.sqrt(inputs * rows * columns) / 40)).astype(int)
        w_exponent = -5 - exponent - shift + rng.integers(0, 3, outputs)
        y_scale = writer.store(f"y{i}_scale", np.float32(2.0**-5))
        writer.node(
            "QLinearConv",
            [
                tensors[-1], scale, zero,
                writer.store(f"w{i}", weight),
                writer.store(f"w{i}_scale", (2.0**w_exponent).astype(np.float32)),
                writer.store(f"w{i}_zero", np.zeros(outputs, np.int8)),
                y_scale, none,
                writer.store(f"b{i}", rng.integers(-20000, 20000, outputs).astype(np.int32)),
            ],
            [f"t{i}"],
            kernel_shape=[rows, columns], strides=[stride, stride], pads=[pad] * 4,
        )
        tensors.append(f"t{i}")
        scale, zero, inputs, exponent = y_scale, none, outputs, -5
    writer.node("DequantizeLinear", [tensors[-1], scale, zero], ["features"])
    return tensors, inputs


def tail(writer, rng, kind, channels):
    """The f32 layers behind the chain; returns the names of the outputs."""
    if kind == "means":
        writer.node("GlobalAveragePool", ["features"], ["mean"])
        writer.node("Flatten", ["mean"], ["flat"])
        matrix = writer.store("class_weight", rng.normal(0, 0.3, (channels, 3)).astype(np.float32))
        writer.node("Gemm", ["flat", matrix, writer.store("class_bias", np.float32([0.1, 0, -0.1]))], ["class"])
        return ["class"]
    if kind == "heads":
        for name, outputs in (("score", 1), ("box", 4)):
            weight = writer.store(f"{name}_weight", rng.normal(0, 0.1, (outputs, channels, 1, 1)).astype(np.float32))
            bias = writer.store(f"{name}_bias", rng.normal(0, 0.1, outputs).astype(np.float32))
            out = "logit" if name == "score" else name
            writer.node("Conv", ["features", weight, bias], [out], kernel_shape=[1, 1])
        writer.node("Sigmoid", ["logit"], ["score"])
        return ["score", "box"]
    return ["features"]


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (shape, (exponent, zero), layers, kind) in NETWORKS.items():
        rng = np.random.default_rng(sum(name.encode()))
        writer = Writer()
        tensors, channels = quantized_layers(writer, rng, shape, exponent, zero, layers)
        outputs = tail(writer, rng, kind, channels)
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            writer.nodes, name, [info("x", TensorProto.FLOAT, shape)],
            [info(o, TensorProto.FLOAT, None) for o in outputs], writer.stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        record(folder, name, model, tensors, rng, 2.0**exponent)
    name = "student"
    model = onnx.load(pathlib.Path(__file__).parents[2] / "models" / f"{name}.onnx")
    chain = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "QLinearConv")]
    scale = next(t for t in model.graph.initializer if t.name == chain[0].input[1])
    tensors = [n.output[0] for n in chain]
    record(folder, name, model, tensors, np.random.default_rng(sum(name.encode())), numpy_helper.to_array(scale))


def record(folder, name, model, tensors, rng, scale):
    """Runs a network on values about its input's range; writes what it was given and what it gave."""
    (source,), outputs = model.graph.input, [o.name for o in model.graph.output]
    shape = [d.dim_value for d in source.type.tensor_type.shape.dim]
    # Half steps, so that rounding matters, and values beyond the range.
    values = rng.integers(-300, 300, shape).astype(np.float32) * np.float32(scale / 2)
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    seen.graph.output.extend(helper.make_tensor_value_info(t, TensorProto.UINT8, None) for t in tensors)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(seen.SerializeToString(), options, ["CPUExecutionProvider"])
    found = session.run(outputs + tensors, {source.name: values})
    (folder / f"{name}.input").write_bytes(values.astype("<f4").tobytes())
    (folder / f"{name}.output").write_bytes(b"".join(v.astype("<f4").tobytes() for v in found[: len(outputs)]))
    (folder / f"{name}.tensors").write_bytes(b"".join(v.tobytes() for v in found[len(outputs) :]))
    spread = [f"{(v == 0).mean():.2f}/{(v == 255).mean():.2f}" for v in found[len(outputs) :]]
    print(f"{name}: share of 0 and 255 in each tensor {' '.join(spread)}")


if __name__ == "__main__":
    main(sys.argv[1])
