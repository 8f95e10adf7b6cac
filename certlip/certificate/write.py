"""Writes `*.certlip` files; the format is docs/certificate.md, version certlip/certificate/2.

This room only records: what is proven was proven before, and is proven again by the checker.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from certlip._version import __version__
from certlip.blocks import Network
from certlip.certificate.claims import Claims
from certlip.errors import UnsupportedError
from certlip.files import atomic

SCHEMA = "certlip/certificate/2"

#: The kinds of blocks that this version of the format describes and its checker knows.
KINDS = (
    *("normalize", "affine", "activation", "residual", "equilibrium"),
    *("convolution", "conv-residual", "conv-equilibrium"),
    *("pooling", "window", "resize", "group-sort"),
)


class _Arrays:
    """Collects the arrays of a document under their member names."""

    def __init__(self) -> None:
        self.members: dict[str, np.ndarray] = {}

    def add(self, name: str, array: np.ndarray, dtype: str = "<f8") -> str:
        self.members[name] = np.ascontiguousarray(array, dtype=dtype)
        return name

    def index(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "dtype": array.dtype.str,
                "shape": list(array.shape),
                "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            }
            for name, array in self.members.items()
        }


def write_certificate(
    path: str | Path, network: Network, proofs: Sequence[Any], lipschitz_upper: str, claims: Claims
) -> None:
    """Writes the certificate, to a temporary file first; nothing if the network cannot be described.

    Args:
        proofs: One per block, with `rule`, `lip`, and for residual blocks `delta`, for equilibrium
            blocks `lam`, `gam`, `mu` and `pairs`, which may be None.

    Raises:
        UnsupportedError: a block of a kind that this version of the format does not cover, or bounds of
            pairs of a block that is not the last one.
        InputError: the file cannot be written.
    """
    require_covered(network)
    _require_pairs_last(network, proofs)
    arrays = _Arrays()
    document = {
        "schema": SCHEMA,
        "certlip": __version__,
        "statement": {"norm": "l2", "semantics": "real", "input_unit": "raw"},
        "model": {"sha256": network.sha256(), "blocks": _blocks(network, arrays)},
        "proofs": [_proof(k, proof, arrays) for k, proof in enumerate(proofs)],
        "lipschitz_upper": lipschitz_upper,
        **_samples(claims, arrays),
    }
    document["arrays"] = arrays.index()
    text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False)
    atomic(Path(path), lambda temporary: _write_zip(temporary, text, arrays.members))


def require_covered(network: Network) -> None:
    """Refuses a network that the format does not describe; worth asking before the work is done.

    Raises:
        UnsupportedError: with the first such block.
    """
    for k, block in enumerate(network.blocks):
        if block.kind not in KINDS:
            raise UnsupportedError(
                f"no certificate can be written: {SCHEMA} does not cover block {k} ({block.kind}), "
                f"only {', '.join(KINDS)}"
            )


def _require_pairs_last(network: Network, proofs: Sequence[Any]) -> None:
    """Bounds of pairs are described for a last block of matrices; radii may rest on others."""
    for k, (block, proof) in enumerate(zip(network.blocks, proofs, strict=False)):
        last = k + 1 == len(network.blocks) and block.kind == "equilibrium"
        if getattr(proof, "pairs", None) is not None and not last:
            raise UnsupportedError(
                f"no certificate can be written: {SCHEMA} has bounds of pairs for a last block of kind "
                f"equilibrium, not for block {k} ({block.kind})"
            )


def _blocks(network: Network, arrays: _Arrays) -> list[dict[str, Any]]:
    return [
        {
            "kind": block.kind,
            "arrays": {
                name: arrays.add(f"block{k}.{name}", tensor.numpy())
                for name, tensor in block.arrays().items()
            },
            "meta": block.meta(),
        }
        for k, block in enumerate(network.blocks)
    ]


def _proof(k: int, proof: Any, arrays: _Arrays) -> dict[str, Any]:
    entry: dict[str, Any] = {"rule": proof.rule, "lipschitz_upper": str(proof.lip)}
    if proof.rule in ("residual", "conv-residual"):
        entry["delta"] = repr(float(proof.delta))
    if proof.rule in ("equilibrium", "conv-equilibrium"):
        entry["condition"] = proof.condition
        entry["lam"] = arrays.add(f"proof{k}.lam", proof.lam)
        entry["gam"] = arrays.add(f"proof{k}.gam", proof.gam)
        entry["mu_lower"] = str(proof.mu)
        if proof.pairs is not None and len(proof.pairs):
            parts = {"a": proof.pairs.a, "j": proof.pairs.j, "lam": proof.pairs.lam}
            entry["pairs"] = {
                name: arrays.add(f"proof{k}.pairs.{name}", array, "<f8" if name == "lam" else "<i8")
                for name, array in parts.items()
            }
            name = f"proof{k}.pairs.lipschitz_upper"
            entry["pairs"]["lipschitz_upper"] = arrays.add(name, proof.pairs.lip)
    return entry


def _samples(claims: Claims, arrays: _Arrays) -> dict[str, Any]:
    data = {
        "name": claims.name,
        "split": claims.split,
        "sha256": claims.sha256,
        "n": len(claims.label),
    }
    if claims.divisor is not None:
        data["divisor"] = claims.divisor
    x_dtype = "<f8" if claims.divisor is None else "|u1"
    return {
        "data": data,
        "samples": {
            "x": arrays.add("samples.x", claims.x, x_dtype),
            "label": arrays.add("samples.label", claims.label, "<i8"),
            "predicted": arrays.add("samples.predicted", claims.predicted, "<i8"),
            "status": arrays.add("samples.status", claims.status, "<i8"),
            "radius_lower": arrays.add("samples.radius_lower", claims.radius_lower),
            "z": {
                str(k): arrays.add(f"samples.z{k}", z, _state_dtype(z))
                for k, z in claims.states.items()
            },
        },
        "eps": {text: repr(float(value)) for text, value in claims.eps.items()},
        "claims": {
            "natural_correct": claims.natural_correct,
            "certified_correct": dict(claims.certified_correct),
        },
    }


def _state_dtype(z: np.ndarray) -> str:
    """float32 where that loses nothing: rough guesses are enough for most samples."""
    small = bool((np.abs(z) <= np.finfo(np.float32).max).all())
    return "<f4" if small and np.array_equal(z, z.astype(np.float32)) else "<f8"


def _write_zip(path: Path, text: str, members: Mapping[str, np.ndarray]) -> None:
    # a fixed time stamp: the same run gives the same file
    stamp = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_info("certificate.json", stamp), text)
        for name, array in members.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(_info(f"{name}.npy", stamp), buffer.getvalue())


def _info(name: str, stamp: tuple[int, int, int, int, int, int]) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, stamp)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
