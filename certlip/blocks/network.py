"""A network: blocks applied one after the other, and the record of how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from certlip.blocks.base import Block
from certlip.errors import InputError

#: The most numbers between two blocks. Sizes of images are plain values that no array stands behind: a file
#: could claim any, and evaluating it would ask for memory that no machine has.
WIDEST_NETWORK = 2**26


class Network:
    """f = f_K ∘ … ∘ f_1 on flattened raw inputs, with its training history (plain values)."""

    def __init__(self, blocks: Iterable[Block], history: Iterable[dict[str, Any]] = ()) -> None:
        self.blocks = tuple(blocks)
        self.history = tuple(history)
        if not self.blocks:
            raise InputError("a network needs at least one block")
        for k, entry in enumerate(self.history):
            if not isinstance(entry, dict):
                raise InputError(f"history[{k}] is a {type(entry).__name__}: expected an object")
        for k, block in enumerate(self.blocks):
            if max(block.in_width, block.out_width) > WIDEST_NETWORK:
                raise InputError(
                    f"block {k} ({block.describe()}): expected at most {WIDEST_NETWORK:,} numbers"
                )
        for k, (before, after) in enumerate(zip(self.blocks, self.blocks[1:], strict=False)):
            if before.out_width != after.in_width:
                raise InputError(
                    f"block {k} ({before.kind}) gives {before.out_width} numbers, "
                    f"block {k + 1} ({after.kind}) takes {after.in_width}"
                )

    @property
    def in_width(self) -> int:
        return self.blocks[0].in_width

    @property
    def classes(self) -> int:
        return self.blocks[-1].out_width

    def sha256(self) -> str:
        """Hash of the function alone (docs/certificate.md): blocks, not file format or history."""
        digest = hashlib.sha256()
        for block in self.blocks:
            arrays = block.arrays()
            head = {
                "kind": block.kind,
                "meta": block.meta(),
                "shapes": {name: list(array.shape) for name, array in arrays.items()},
            }
            digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode())
            digest.update(b"\n")
            for name in sorted(arrays):
                digest.update(arrays[name].numpy().astype("<f8", copy=False).tobytes())
        return digest.hexdigest()

    def with_history(self, entry: dict[str, Any]) -> Network:
        """The same network with one more line of history."""
        return Network(self.blocks, (*self.history, entry))
