"""The check of one certificate, from the file to the verdict."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from os import PathLike
from time import perf_counter

import numpy as np

from certlip.checker import document as read
from certlip.checker.blocks import model_hash, prove, read_block
from certlip.checker.container import unpack
from certlip.checker.document import CertificateError, Rejected
from certlip.checker.samples import Samples, check_claims, check_samples

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


def check_certificate(
    path: str | PathLike, *, model_sha256: str | None = None, data_sha256: str | None = None
) -> Verdict:
    """Prove every claim of a certificate (docs/certificate.md) again, from the stored numbers.

    The hashes, if given, say which network and data it must be about. A rejection says that a
    claim was not proven, not that it is false. Raises CertificateError for an unreadable file.
    """
    start, place, checks = perf_counter(), ["file"], []
    try:
        # NaN and overflow raise here; where flags are off, the comparisons reject them.
        with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
            wanted = {"model": model_sha256, "data": data_sha256}
            found = _check(*unpack(path), wanted, place, checks)
    except (CertificateError, MemoryError) as error:
        raise CertificateError(f"{path}: {place[-1]}: {str(error) or 'out of memory'}") from None
    except (Rejected, ArithmeticError, np.linalg.LinAlgError) as error:
        return Verdict(False, f"{place[-1]}: {error}", perf_counter() - start)
    return Verdict(True, "every claim was proven", perf_counter() - start, tuple(checks), *found)


def _check(document: dict, arrays: dict, wanted: dict, place: list, checks: list) -> tuple:
    """Fill `checks`; the last entry of `place` says what a failure is about."""
    if read.field(document, "statement", dict) != _STATEMENT:
        raise Rejected(f"statement {document['statement']!r:.200}, expected {_STATEMENT}")
    nodes = read.field(read.field(document, "model", dict), "blocks", list, dict)
    proofs = read.field(document, "proofs", list, dict)
    if not nodes or len(nodes) != len(proofs):
        raise Rejected(f"{len(nodes)} blocks, {len(proofs)} proofs, expected one proof per block")
    checks.append(("arrays", f"{len(arrays)} arrays, finite, with the listed hashes"))
    place.append("samples")
    samples, blocks, proven, share = Samples(document, arrays), [], [], {}
    for k, node in enumerate(nodes):
        place.append(f"block {k}")
        blocks.append(read_block(node, arrays, blocks[-1].out if k else samples.stored.shape[1]))
    hashes = {"model": model_hash(blocks), "data": samples.data_hash()}
    for name, digest in hashes.items():
        place.append(name)
        for other in (read.field(document[name], "sha256", str), wanted[name]):
            if other is not None and other.lower() != digest:
                raise Rejected(f"SHA-256 is {digest}, expected {other!r:.80}")
        checks.append((f"{name}_sha256", digest))
    for k, (block, proof) in enumerate(zip(blocks, proofs, strict=True)):
        place.append(f"block {k} ({block.kind})")
        proven.append(prove(block, proof, arrays))
        checks.append((place[-1], f"rule {proof['rule']}, L <= {proven[k].lip!r}"))
    place.append("lipschitz_upper")
    upper, product = read.number(document, place[-1]), prod(Fraction(p.lip) for p in proven)
    if not Fraction(upper) >= product:
        raise Rejected(f"{upper!r}, expected at least the product {float(product)!r}")
    checks.append((place[-1], f"{upper!r}, at least the product of all blocks"))
    place.append("samples")
    samples.check_status(blocks[-1].out)
    check_samples(samples, blocks, proven, arrays)
    checks.append((place[-1], f"{(samples.status == 0).sum()} of {samples.n} proven certified"))
    place.append("claims")
    for name, counted in check_claims(samples, document).items():
        share[name] = counted / max(samples.n, 1)
        checks.append((f"claim {name}", f"{counted} of {samples.n}"))
    return repr(upper), share.pop("natural_correct"), share, samples.n, *hashes.values()
