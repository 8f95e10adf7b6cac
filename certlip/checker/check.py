"""The check of one certificate, from the file to the verdict."""

from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from math import prod
from time import perf_counter

import numpy as np

from certlip.checker.blocks import Block
from certlip.checker.reading import CertificateError, Rejected, number, only, unpack
from certlip.checker.samples import Samples

_KEYS = "schema certlip statement model proofs lipschitz_upper data samples eps claims arrays"
_STATEMENT = {"norm": "l2", "semantics": "real", "input_unit": "raw"}


@dataclass(frozen=True)
class Verdict:
    """The outcome for one certificate. The defaults are what may be believed of a rejected one."""

    accepted: bool
    reason: str  # one line; the first failure
    seconds: float
    checks: tuple[tuple[str, str], ...] = ()  # (name, detail) of what was proven
    lipschitz_upper: str = "inf"  # ℓ2, on raw inputs
    natural_accuracy: float = 0.0  # predicted = label; predictions are proven only where certified
    certified_accuracy: dict[str, float] = field(default_factory=dict)
    n: int = 0
    model_sha256: str = ""  # recomputed, like the next one
    data_sha256: str = ""


def check_certificate(path, *, model_sha256=None, data_sha256=None) -> Verdict:
    """Prove every claim of a certificate again (docs/certificate.md), about this model and data.

    A rejection says that a claim was not proven, not that it is false.
    Raises CertificateError: the file is unreadable.
    """
    start, place, checks = perf_counter(), ["file"], {}
    try:
        # NaN and overflow raise here; where flags are off, the comparisons reject them.
        with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
            found = _check(*unpack(path), (model_sha256, data_sha256), place, checks)
    except (Rejected, ArithmeticError, np.linalg.LinAlgError) as error:
        return Verdict(False, f"{place[-1]}: {error}", perf_counter() - start)
    except Exception as error:  # a hostile file makes zipfile, json and lookups raise anything
        text = f"{type(error).__name__} {str(error)!r:.200}, expected a certificate"
        text = str(error) if isinstance(error, CertificateError) else text
        raise CertificateError(f"{path}: {place[-1]}: {text}") from None
    found = (tuple(checks.items()), *found)
    return Verdict(True, "every claim was proven", perf_counter() - start, *found)


def _check(document: dict, arrays: dict, wanted: tuple, place: list, checks: dict) -> tuple:
    """Fill `checks`; the last entry of `place` says what a failure is about."""
    if only(document, *_KEYS.split())["statement"] != _STATEMENT:
        raise Rejected(f"statement {document['statement']!r:.200}, expected {_STATEMENT}")
    nodes, proofs, blocks = document["model"]["blocks"], document["proofs"], []
    if not nodes or len(nodes) != len(proofs):
        raise Rejected(f"{len(nodes)} blocks, {len(proofs)} proofs, expected one proof per block")
    checks["arrays"] = f"{len(arrays)} arrays, finite, with the listed hashes"
    place.append("samples")
    samples, weights = Samples(document, arrays), sha256()
    for k, node in enumerate(nodes):
        place.append(f"block {k}")
        blocks.append(Block(node, arrays, blocks[-1].out if k else samples.stored.shape[1]))
        weights.update(blocks[k].hashed())
    hashes = {"model": weights.hexdigest(), "data": samples.data_hash()}
    for (name, digest), other in zip(hashes.items(), wanted, strict=True):
        place.append(name)
        if {document[name]["sha256"], (other or digest).lower()} != {digest}:
            raise Rejected(
                f"SHA-256 is {digest}, expected {document[name]['sha256']!r:.80} {other}"
            )
        checks[f"{name}_sha256"] = digest
    for k, (block, proof) in enumerate(zip(blocks, proofs, strict=True)):
        place.append(f"block {k} ({block.kind})")
        block.prove(proof, arrays, last=k + 1 == len(blocks))
        checks[place[-1]] = f"rule {proof['rule']}, L <= {block.lip!r}"
    place.append("lipschitz_upper")
    upper, product = number(document, place[-1]), prod(Fraction(block.lip) for block in blocks)
    if not Fraction(upper) >= product:
        raise Rejected(f"{upper!r}, expected at least the product {float(product)!r}")
    checks[place[-1]] = f"{upper!r}, at least the product of all blocks"
    place.append("samples")
    checks[place[-1]] = f"{samples.prove(blocks, arrays)} of {samples.n} proven certified"
    place.append("claims")
    counted = samples.count(document["eps"], document["claims"])
    checks |= {f"claim {name}": f"{count} of {samples.n}" for name, count in counted.items()}
    share = {name: count / max(samples.n, 1) for name, count in counted.items()}
    return repr(upper), share.pop("natural_correct"), share, samples.n, *hashes.values()
