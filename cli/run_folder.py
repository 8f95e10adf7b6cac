"""The folder of a certification run: what its results depend on, and how far it came.

`run.json` is written before the first row and says what the rows depend on; `report.json` is written
last. A folder with the one and without the other holds a run that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certlip import __version__
from certlip.errors import InputError

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.lmi import NetworkProof

SCHEMA = "certlip/certify-run/1"
MANIFEST, RESULTS, DONE = "run.json", "results.jsonl", "report.json"
PARTS, STATES = "results.part*.jsonl", "states*.f64"
PAGE, COUNTEREXAMPLES, PICTURES = "report.html", "counterexamples.npz", "pictures.json"


def check_folder(folder: Path, resume: bool) -> None:
    """Refuses to overwrite a run that could go on.

    Raises:
        InputError: the folder holds a run that is not finished, and --resume was not given.
    """
    if not resume and (folder / MANIFEST).exists() and not (folder / DONE).exists():
        raise InputError(
            f"--report {folder}: holds a run that is not finished; use --resume or another folder"
        )


def manifest(
    network: Network, data: dict[str, Any], settings: dict[str, Any], device: str
) -> dict[str, Any]:
    """What the rows and the report depend on, apart from the proof.

    Every row is proven on its own, whatever machine it comes from; its last bits are this machine's.
    """
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": [torch.get_num_threads(), max(pools, default=1)],
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    if device != "cpu":
        machine["gpu"] = torch.cuda.get_device_name(device)
    return {
        "schema": SCHEMA,
        "certlip": __version__,
        "model": {"sha256": network.sha256()},
        "data": data,
        "settings": settings,
        "machine": machine,
    }


def proof_entry(proof: NetworkProof) -> dict[str, Any]:
    """The bounds, and a hash of all that the rows take from the proof."""
    digest = hashlib.sha256()
    for block in proof.blocks:
        for name, value in sorted(vars(block).items()):
            if name != "seconds":
                content = value.tobytes() if hasattr(value, "tobytes") else repr(value).encode()
                digest.update(f"{name}:{len(content)}:".encode() + content)
    return {
        "lipschitz_upper": str(proof.lip),
        "blocks": [{"rule": own.rule, "lipschitz_upper": str(own.lip)} for own in proof.blocks],
        "sha256": digest.hexdigest(),
    }


def require_same(folder: Path, own: dict[str, Any]) -> None:
    """Refuses to go on with the run of other settings, as far as `own` says; none there is fine.

    Raises:
        InputError: what differs, with both values; or a manifest that cannot be read.
    """
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise InputError(f"{path}: cannot be read; expected what a run of certify writes")
    require_equal(str(path), {k: stored.get(k) for k in own}, own)


def require_equal(where: str, there: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuses two manifests that differ.

    Raises:
        InputError: what differs, with both values.
    """
    old, new = (_flat(json.loads(json.dumps(document))) for document in (there, own))
    other = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
    if other:
        values = f"{other[0]} {_short(old.get(other[0]))} and not {_short(new.get(other[0]))}"
        more = f"; {', '.join(other[1:4])} differ as well" if len(other) > 1 else ""
        raise InputError(
            f"{where}: the run there has {values}{more}; use the same options or another --report"
        )


def begin(folder: Path, own: dict[str, Any]) -> None:
    """Takes away what an earlier run left, then writes the manifest of this one.

    Raises:
        InputError: the folder cannot be written.
    """
    from certlip.files import atomic
    from certlip.report import dumps

    try:  # the manifest first: without it the rest belongs to no run
        for name in (MANIFEST, DONE, PAGE, COUNTEREXAMPLES, PICTURES, RESULTS):
            (folder / name).unlink(missing_ok=True)
        for path in (*folder.glob(STATES), *folder.glob(PARTS)):
            path.unlink()
    except OSError as error:
        raise InputError(f"--report {folder}: cannot be written ({error.strerror})") from None
    text = dumps(own, indent=2) + "\n"
    atomic(folder / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every entry of a nested document under its dotted name."""
    if not isinstance(value, dict):
        return {name: value}
    parts = [_flat(entry, f"{name}.{key}" if name else key) for key, entry in value.items()]
    return {key: entry for part in parts for key, entry in part.items()}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}…"
