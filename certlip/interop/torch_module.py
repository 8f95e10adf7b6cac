"""Feed-forward torch modules as networks, in evaluation and in float64.

Batch normalisation becomes the affine map of its running statistics and dropout the identity, whichever
mode the module is in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from certlip.blocks import Block, Network
from certlip.errors import CertlipError, InputError, UnsupportedError
from certlip.interop.lowering import Lowering, Numbers
from certlip.interop.modules import MODULES
from certlip.interop.traced import Traced, trace


def from_torch(
    module: nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    mean: Numbers | None = None,
    std: Numbers | None = None,
) -> Network:
    """The network of a module that applies one layer after the other.

    Args:
        module: Layers of `certlip.interop.modules`, sequences of them, certlip's own layers and models, or
            modules whose traced forward pass is a chain of these. It is not changed.
        input_shape: Of one input, such as (1, 28, 28); of a network that begins with a linear layer, or
            with one of certlip's own, it is known.
        mean, std: Normalisation of the raw input, (x − mean)/std: one number, or one per channel.

    Raises:
        InputError: the parts do not fit, a weight is not finite, or the shape is needed and not given.
        UnsupportedError: something certlip has no rule for, named with its place in the module.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"a {type(module).__name__}: expected a torch module")
    to = Lowering(input_shape)
    with _evaluated(module), torch.no_grad():
        to.normalize_input(mean, std)
        lower(module, "", to)
        return to.network([{"step": "convert", "format": "torch", "source": _kind(module)}])


def lower(module: nn.Module, path: str, to: Lowering) -> None:
    """Adds the blocks of a module at this place of a larger one."""
    if _is_sequence(module):
        _check_plain(module, path)
        # not named_children(), which names a layer that is there twice only once
        for name, child in module._modules.items():
            where = f"{path}.{name}" if path else name
            if child is None:
                raise UnsupportedError(f"{where}: None: expected a module")
            lower(child, where, to)
        return
    if is_leaf(module):
        step = _step(module)
        with to.at(f"{path} ({_kind(module)})" if path else _kind(module)):
            _check_plain(module, "")
            if _freezes(module):
                _freeze(module, to)
            elif step is not None:
                step(module, to)
            else:
                raise UnsupportedError(f"no rule; certlip has one for {_known()}")
        return
    _check_plain(module, path or _kind(module))
    for part in trace(module, path, is_leaf):
        if isinstance(part, Traced):
            with to.at(part.where):
                part.add(to)
        else:
            lower(*part, to)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is taken as it is, not looked into."""
    if _is_sequence(module):
        return False
    return _freezes(module) or _step(module) is not None or _is_torch(module)


def _freezes(module: nn.Module) -> bool:
    """Whether it is a layer or model of certlip: `freeze` of others may mean anything, and says nothing of
    a forward pass of one's own."""
    own = (getattr(type(module), name, None) for name in ("freeze", "forward"))
    return all(getattr(each, "__module__", "").partition(".")[0] == "certlip" for each in own)


def _step(module: nn.Module) -> Any:
    """The function of `MODULES` for the module, unless it has a forward pass of its own."""
    for base in type(module).__mro__:
        if base in MODULES and type(module).forward is base.forward:
            return MODULES[base]
    return None


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _is_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn")


def _check_plain(module: nn.Module, path: str) -> None:
    """Raises an `UnsupportedError` if something else runs when the module is called."""
    where = f"{path}: " if path else ""
    hooks = module._forward_hooks, module._forward_pre_hooks
    if any(hooks):
        raise UnsupportedError(
            f"{where}has hooks that may change what it computes; remove them (such as by "
            "torch.nn.utils.remove_weight_norm)"
        )
    if "forward" in vars(module):
        raise UnsupportedError(f"{where}its forward pass was replaced on the object itself")


def _freeze(module: Any, to: Lowering) -> None:
    """certlip's own layers and models."""
    frozen = module.freeze()
    blocks = frozen.blocks if isinstance(frozen, Network) else frozen
    blocks = [blocks] if isinstance(blocks, Block) else list(blocks)
    if isinstance(frozen, Network) or not to.known:  # models take flattened inputs
        to.fixed(blocks)
        return
    # the shape of images is in no block: what the module itself makes of an input has it
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        y = module(torch.zeros(1, *to.shape, dtype=dtype, device=device))
    except CertlipError:
        raise
    except Exception as error:  # a module may raise anything on what it cannot take
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"input of shape {to.shape}: refused ({line})") from None
    if blocks and math.prod(y.shape[1:]) != blocks[-1].out_width:
        raise InputError(f"freeze() gives {blocks[-1].out_width} outputs, the module {y.shape[1:]}")
    to.fixed(blocks, tuple(y.shape[1:]))


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _known() -> str:
    return ", ".join(sorted(kind.__name__ for kind in MODULES))
