"""The forward pass of a module of one's own, traced by torch.fx, as a chain of parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg

from certlip.errors import UnsupportedError
from certlip.interop.functions import BATCH, ELEMENTWISE, FUNCTIONS, METHODS, SHAPE, X
from certlip.interop.lowering import Lowering


@dataclass(frozen=True)
class Traced:
    """One call of a function or a method, and where it is."""

    where: str
    add: Callable[[Lowering], None]


class _Tracer(fx.Tracer):
    def __init__(self, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self._is_leaf = is_leaf

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        return self._is_leaf(m)


def trace(
    module: nn.Module, path: str, is_leaf: Callable[[nn.Module], bool]
) -> Iterator[Traced | tuple[nn.Module, str]]:
    """Calls, and submodules with their paths, each on the result of the one before it.

    Raises:
        UnsupportedError: it cannot be traced, is no chain, or calls what has no rule.
    """
    name = path or type(module).__name__
    try:
        graph = _Tracer(is_leaf).trace(module)
    except Exception as error:  # whatever the forward pass runs into
        raise UnsupportedError(
            f"{name}: its forward pass cannot be traced ({_line(error)})"
        ) from None
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UnsupportedError(f"{name}: {len(inputs)} inputs: expected one")
    yield from _Chain(module, path, inputs[0]).parts(graph)


class _Chain:
    """The walk along a graph: the latest result, and what does not depend on the input."""

    def __init__(self, module: nn.Module, path: str, start: fx.Node) -> None:
        self.module, self.path, self.latest = module, path, start
        self.constants: dict[fx.Node, Any] = {}

    def parts(self, graph: fx.Graph) -> Iterator[Traced | tuple[nn.Module, str]]:
        for node in graph.nodes:
            if node.op == "placeholder":
                continue
            if node.op == "get_attr":
                self.constants[node] = _attribute(self.module, str(node.target))
                continue
            if _reads_shape(node):
                self.constants[node] = BATCH if node.args[1:] == (0,) else SHAPE
                continue
            if node.op == "output":
                if node.args != (self.latest,):
                    raise UnsupportedError(
                        f"{self._where(node)}: expected one output, the last one"
                    )
                return
            own = self._on_latest(node)
            if not own:
                self.constants[node] = self._evaluated(node)
                continue
            yield self._part(node)
            self.latest = node

    def _on_latest(self, node: fx.Node) -> bool:
        """Whether a node reads the latest result; it may read nothing older but constants."""
        read = [other for other in node.all_input_nodes if other not in self.constants]
        older = [other.name for other in read if other is not self.latest]
        if older:
            raise UnsupportedError(
                f"{self._where(node)}: reads {older[0]} beside {self.latest.name}: branches, such as "
                "residual additions, have no rule"
            )
        return bool(read)

    def _evaluated(self, node: fx.Node) -> Any:
        """The value of a node that does not depend on the input."""
        args, kwargs = self._values(node.args), self._values(node.kwargs)
        try:
            if node.op == "call_module":
                return _attribute(self.module, str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            assert callable(node.target)
            return node.target(*args, **kwargs)
        except Exception as error:  # of what is no constant, such as the size of the batch
            raise UnsupportedError(f"{self._where(node)}: not computed ({_line(error)})") from None

    def _part(self, node: fx.Node) -> Traced | tuple[nn.Module, str]:
        if node.op == "call_module":
            if node.args != (self.latest,) or node.kwargs:
                raise UnsupportedError(f"{self._where(node)}: expected one argument")
            target = str(node.target)
            where = f"{self.path}.{target}" if self.path else target
            return _attribute(self.module, target), where
        where = self._where(node)
        table: dict[Any, Any] = METHODS if node.op == "call_method" else FUNCTIONS
        rule = table.get(node.target)
        if rule is None:
            raise UnsupportedError(f"{where}: no rule")
        args, kwargs = self._values(node.args), self._values(node.kwargs)
        try:
            bound = inspect.signature(rule).bind(None, *args, **kwargs).arguments
        except TypeError as error:
            raise UnsupportedError(f"{where}: arguments without a rule ({error})") from None
        others = [value for name, value in bound.items() if name != "input"]
        if rule not in ELEMENTWISE and (bound["input"] is not X or any(v is X for v in others)):
            raise UnsupportedError(f"{where}: the input is not its first argument alone")
        return Traced(where, lambda to: rule(to, *args, **kwargs))

    def _values(self, args: Any) -> Any:
        """Arguments with the values of constants, and X for the input."""
        return map_arg(args, lambda node: self.constants.get(node, X))

    def _where(self, node: fx.Node) -> str:
        target = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        place = f"{self.path}.{node.name}" if self.path else node.name
        return f"{place} ({name})"


def _attribute(module: nn.Module, target: str) -> Any:
    value: Any = module
    for name in target.split("."):
        value = getattr(value, name)
    return value.detach() if isinstance(value, torch.Tensor) else value


def _reads_shape(node: fx.Node) -> bool:
    """x.size(…) or x.shape: every result has the same batch, so x may be any."""
    if node.op == "call_method":
        return node.target == "size" and not node.kwargs
    return node.op == "call_function" and node.target is getattr and node.args[1:] == ("shape",)


def _line(error: Exception) -> str:
    """The type and the first line of an exception, short."""
    lines = (str(error).strip() or "no text").splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}"
