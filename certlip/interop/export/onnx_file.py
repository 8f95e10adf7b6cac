"""ONNX: one file of standard operators, from flat rows (n, d) to logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from certlip._version import __version__
from certlip.blocks import Network
from certlip.errors import InputError
from certlip.interop.export.base import Exporter, require_explicit, without_form
from certlip.interop.export.onnx_graph import Graph
from certlip.interop.export.onnx_nodes import NODES

OPSET, IR_VERSION = 17, 8


class OnnxExporter(Exporter):
    """OUT.onnx, opset 17. Runtimes know few operators in double precision, so float32 is the default."""

    name = "onnx"
    suffix = ".onnx"
    dtype = "float32"

    def render(self, network: Network, dtype: str) -> dict[str, bytes]:
        require_explicit(network)
        onnx = _package()
        graph = Graph(network.in_width, dtype)
        for block in network.blocks:
            if type(block) not in NODES:
                raise without_form(block, self.name)
            NODES[type(block)](block, graph)
        graph.reshape((network.classes,))
        kind = onnx.TensorProto.DOUBLE if dtype == "float64" else onnx.TensorProto.FLOAT
        values = {"x": network.in_width, graph.latest: network.classes}
        ends = [onnx.helper.make_tensor_value_info(n, kind, ["n", d]) for n, d in values.items()]
        made = onnx.helper.make_graph(graph.nodes, "network", ends[:1], ends[1:], graph.constants)
        model = onnx.helper.make_model(
            made,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            producer_name="certlip",
            producer_version=__version__,
            doc_string=f"The function that certlip proves has the SHA-256 {network.sha256()}",
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return {self.suffix: model.SerializeToString(deterministic=True)}

    def run(self, path: Path, x: np.ndarray, dtype: str) -> tuple[np.ndarray, str]:
        rows = {"x": x.astype(dtype)}
        try:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            (y,) = session.run(None, rows)
            name = f"onnxruntime {onnxruntime.__version__}"
        except Exception:  # not installed, or without some operator in double precision
            from onnx.reference import ReferenceEvaluator

            (y,) = ReferenceEvaluator(str(path)).run(None, rows)
            name = f"onnx.reference {_package().__version__}"
        return np.asarray(y, dtype=np.float64), name


def _package() -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError('--to onnx needs the package onnx: pip install "certlip[onnx]"') from None
    return onnx
