"""ONNX files made by hand, and what onnxruntime computes with them."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=f"the_{output}", **attributes)


def model_of(nodes, constants, shape, *, batch="n", opset=OPSET, dtype=np.float32, output=None):
    """A model of these nodes, from the input x; constants by name, arrays of floats in `dtype`."""
    kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    tensors = []
    for name, value in constants.items():
        array = np.asarray(value)
        array = array if array.dtype == np.int64 else array.astype(dtype)
        tensors.append(numpy_helper.from_array(array, name))
    last = output or nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, [batch, *shape])],
        [helper.make_tensor_value_info(last, kind, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    model = onnx.shape_inference.infer_shapes(model)
    kind = model.graph.output[0].type.tensor_type
    if not kind.HasField("shape"):  # the format wants some
        kind.shape.dim.add().dim_param = "n"
    return model


def write(path, *args, **options):
    onnx.save(model_of(*args, **options), str(path))
    return path


def runtime(path, x):
    """The output of onnxruntime, flattened."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return torch.from_numpy(np.asarray(y, dtype=np.float64)).flatten(1)


def reference(path, x):
    """The output of the slow evaluation that comes with the format, in the dtype of x."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
