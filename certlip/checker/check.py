"""The check of one certificate, from the file to the verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import prod
from os import PathLike
from time import perf_counter

import numpy as np

from certlip.checker.blocks import model_hash, prove, read_block
from certlip.checker.container import read
from certlip.checker.document import field, number
from certlip.checker.samples import Samples, check_samples, counts
from certlip.checker.verdict import CertificateError, Rejected, Verdict

_STATEMENT = {"norm": "l2", "semantics": "real", "input_unit": "raw"}


def check_certificate(
    path: str | PathLike, *, model_sha256: str | None = None, data_sha256: str | None = None
) -> Verdict:
    """Prove every claim of a certificate (docs/certificate.md) again, from the stored numbers.

    The hashes, if given, say which network and data it must be about. A rejection says that a
    claim was not proven, not that it is false. Raises CertificateError for an unreadable file.
    """
    start, wanted = perf_counter(), {"model": model_sha256, "data": data_sha256}
    try:
        # NaN and overflow raise here; where flags are off, the comparisons reject them.
        with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
            found = _check(*read(path), wanted)
    except (CertificateError, MemoryError) as error:
        reason = str(error) or "out of memory, expected smaller arrays"
        raise CertificateError(f"{path}: {reason}") from None
    except (Rejected, ArithmeticError, np.linalg.LinAlgError) as error:
        return Verdict(False, str(error), seconds=perf_counter() - start)
    return Verdict(True, "every claim was proven", **found, seconds=perf_counter() - start)


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Say in every failure what it is about."""
    try:
        yield
    except (CertificateError, Rejected, ArithmeticError) as error:
        kind = CertificateError if isinstance(error, CertificateError) else Rejected
        raise kind(f"{what}: {error}") from None


def _check(document: dict, arrays: dict, wanted: dict[str, str | None]) -> dict:
    checks = [("arrays", f"{len(arrays)} arrays, finite, with the listed hashes")]
    if field(document, "statement", dict) != _STATEMENT:
        raise Rejected(f"statement {document['statement']!r:.200}, expected {_STATEMENT}")
    nodes = field(field(document, "model", dict), "blocks", list, dict)
    proofs = field(document, "proofs", list, dict)
    if not nodes or len(nodes) != len(proofs):
        raise Rejected(f"{len(nodes)} blocks, {len(proofs)} proofs, expected one proof per block")
    with _about("samples"):
        samples = Samples(document, arrays)
    blocks, proven = [], []
    for k, node in enumerate(nodes):
        with _about(f"block {k}"):
            width = blocks[-1].out if blocks else samples.stored.shape[1]
            blocks.append(read_block(node, arrays, width))
    found = {"model": model_hash(blocks), "data": samples.data_hash()}
    for name, digest in found.items():
        for other in (field(document[name], "sha256", str), wanted[name]):
            if other is not None and other.lower() != digest:
                raise Rejected(f"{name}: SHA-256 is {digest}, expected {other!r:.80}")
        checks.append((f"{name}_sha256", digest))

    for k, (block, proof) in enumerate(zip(blocks, proofs, strict=True)):
        with _about(f"block {k} ({block.kind})"):
            proven.append(prove(block, proof, arrays))
        checks.append((f"block {k}", f"{block.kind}, {proof['rule']}: L <= {proven[k].lip!r}"))
    upper, product = number(document, "lipschitz_upper"), prod(Fraction(p.lip) for p in proven)
    if not Fraction(upper) >= product:
        raise Rejected(f"lipschitz_upper {upper!r}, expected the product {float(product)!r}")
    checks.append(("lipschitz_upper", f"{upper!r}, at least the product of all blocks"))

    with _about("samples"):
        samples.check_status(blocks[-1].out)
        check_samples(samples, blocks, proven, arrays)
    checks.append(("samples", f"{(samples.status == 0).sum()} of {samples.n} proven certified"))
    share = {}
    with _about("claims"):
        for name, claimed, counted in counts(samples, document):
            if claimed != counted:
                raise Rejected(f"{name} is {claimed}, expected {counted}")
            share[name] = counted / max(samples.n, 1)
            checks.append((f"claim {name}", f"{counted} of {samples.n}"))
    return {
        "checks": tuple(checks),
        "lipschitz_upper": repr(upper),
        "natural_accuracy": share.pop("natural_correct"),
        "certified_accuracy": share,
        "n": samples.n,
        **{f"{name}_sha256": digest for name, digest in found.items()},
    }
