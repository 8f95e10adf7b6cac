"""Plain torch: a Python file that builds the network of torch's layers, and its weights beside it.

A file of tensors alone says no architecture, a pickled module executes what it holds, and programs of
`torch.export` are bound to the version that wrote them. Source can be read, changed and trained on.
"""

from __future__ import annotations

import inspect
import io
import runpy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from certlip._version import __version__
from certlip.blocks import Network
from certlip.interop.export.base import Exporter, require_explicit, without_form
from certlip.interop.export.torch_layers import LAYERS, Shape

#: End of the file of tensors beside the source; OUT.pt may be the model that is exported.
WEIGHTS = ".weights.pt"


class TorchExporter(Exporter):
    """OUT.py with `build` and `load`, and OUT.weights.pt, which `torch.load(weights_only=True)` reads."""

    name = "torch"
    suffix = ".py"
    dtype = "float64"

    def render(self, network: Network, dtype: str) -> dict[str, bytes]:
        require_explicit(network)
        lines, state, needs = ["nn.Flatten(),"], {}, {}
        shape: Shape = (network.in_width,)
        for block in network.blocks:
            if type(block) not in LAYERS:
                raise without_form(block, self.name)
            layer = LAYERS[type(block)](block)
            if layer.takes is not None and layer.takes != shape:
                if len(shape) > 1:
                    lines.append("nn.Flatten(),")
                if len(layer.takes) > 1:
                    lines.append(f"nn.Unflatten(1, {layer.takes}),")
            for name, array in layer.state.items():
                state[f"{len(lines)}.{name}"] = array.to(getattr(torch, dtype)).contiguous()
            lines.append(f"{layer.source},")
            needs |= dict.fromkeys(layer.needs)
            shape = layer.gives or shape
        if len(shape) > 1:
            lines.append("nn.Flatten(),")
        stream = io.BytesIO()
        torch.save(state, stream)
        source = _source(network, lines, list(needs), dtype)
        return {self.suffix: source.encode(), WEIGHTS: stream.getvalue()}

    def run(self, path: Path, x: np.ndarray, dtype: str) -> tuple[np.ndarray, str]:
        module = runpy.run_path(str(path))["load"]()
        with torch.no_grad():
            y = module(torch.from_numpy(x).to(getattr(torch, dtype)))
        return y.double().numpy(), f"torch {torch.__version__}"


def _source(network: Network, lines: list[str], needs: list[type[nn.Module]], dtype: str) -> str:
    classes = [inspect.getsource(kind).rstrip() for kind in needs]
    text = "\n\n\n".join(classes)
    uses = ["import torch"]
    if "F." in text:
        uses.append("import torch.nn.functional as F")
    uses.append("from torch import Tensor, nn" if classes else "from torch import nn")
    body = "\n".join(f"        {line}" for line in lines)
    return f'''"""{network.in_width} inputs, {network.classes} logits, {dtype}: a network in torch alone.

    from NAME import load
    logits = load()(x)  # x (n, {network.in_width}) or images that flatten to it, in raw units

Written by certlip {__version__}; the function it proves has the SHA-256
{network.sha256()}
"""

from pathlib import Path

{chr(10).join(uses)}

WEIGHTS = Path(__file__).with_suffix("{WEIGHTS}")
{chr(10) * 2 + text + chr(10) if classes else ""}

def build() -> nn.Sequential:
    """The layers, without their weights."""
    return nn.Sequential(
{body}
    ).to(torch.{dtype})


def load(path: str | Path = WEIGHTS) -> nn.Sequential:
    """The network with its weights, in evaluation mode."""
    module = build()
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return module.eval()
'''
