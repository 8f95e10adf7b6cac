"""An independent checker of certificates: NumPy and the standard library, nothing else of certlip.

It repeats every proof that docs/certificate.md asks for, from the stored numbers alone. Assumed:
IEEE doubles to nearest with gradual underflow, plain dot products in any order, tanh and expm1.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from math import prod

import numpy as np

from certlip.checker.blocks import Block
from certlip.checker.reading import CertificateError as CertificateError
from certlip.checker.reading import Rejected, digest, number, only, unpack
from certlip.checker.samples import CERTIFIED, Samples

_KEYS = "schema certlip statement model proofs lipschitz_upper data samples eps claims arrays"
_STATEMENT = {"norm": "l2", "semantics": "real", "input_unit": "raw"}


@dataclass(frozen=True)
class Verdict:
    """The outcome for one certificate. The defaults are what may be believed of a rejected one."""

    accepted: bool
    reason: str  # one line; the first failure
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
    checks = {"file": ""}
    try:
        found = _check(path, (model_sha256, data_sha256), checks)
    except (Rejected, ArithmeticError, np.linalg.LinAlgError) as error:
        return Verdict(False, f"{[*checks][-1]}: {error}")
    except Exception as error:  # a hostile file makes zipfile, json and lookups raise anything
        text = f"{type(error).__name__} {str(error)!r:.200}, expected a certificate"
        text = str(error) if isinstance(error, CertificateError) else text
        raise CertificateError(f"{path}: {[*checks][-1]}: {text}") from None
    return Verdict(True, "every claim was proven", tuple(checks.items()), *found)


# NaN and overflow raise here; where flags are off, the comparisons reject them.
@np.errstate(over="raise", invalid="raise", divide="raise", under="ignore")
def _check(path, wanted: tuple, checks: dict) -> tuple:
    """Fill `checks` by name and detail. Each name comes first: the last is what a failure is about."""
    document, arrays = unpack(path)
    if only(document, *_KEYS.split())["statement"] != _STATEMENT:
        raise Rejected(f"statement {document['statement']!r:.200}, expected {_STATEMENT}")
    samples, nodes = Samples(document, arrays), document["model"]["blocks"]
    blocks, proofs, width = [], document["proofs"], samples.stored.shape[1]
    checks["file"] = f"{len(arrays)} arrays, finite, with the listed hashes"
    if not nodes or len(nodes) != len(proofs):
        raise Rejected(f"{len(nodes)} blocks, {len(proofs)} proofs, expected one proof per block")
    for k, (node, proof) in enumerate(zip(nodes, proofs, strict=True)):
        checks[f"block {k}"] = ""
        blocks.append(Block(node, arrays, blocks[-1].out if blocks else width))
        blocks[k].prove(proof, arrays)
        checks[f"block {k}"] = f"{node['kind']}, rule {proof['rule']}, L <= {blocks[k].lip!r}"
    data = chain(map(samples.x, range(samples.n)), [samples.label])
    hashes = {"model": digest(b.hashed() for b in blocks), "data": digest(data)}
    for (name, found), other in zip(hashes.items(), wanted, strict=True):
        checks[f"{name}_sha256"], listed = found, document[name]["sha256"]
        if {listed, (other or found).lower()} != {found}:
            raise Rejected(f"is {found}, listed is {listed!r:.80}, given is {other or 'none'}")
    upper, product = number(document["lipschitz_upper"]), prod(Fraction(b.lip) for b in blocks)
    checks["lipschitz_upper"] = f"{upper!r}, at least the product of all blocks"
    if not Fraction(upper) >= product:
        raise Rejected(f"{upper!r}, expected at least the product {float(product)!r}")
    checks["samples"] = f"{(samples.status == CERTIFIED).sum()} of {samples.n} proven certified"
    samples.prove(blocks, arrays)
    checks["claims"] = "counted again"
    natural, certified = samples.count(document["eps"], document["claims"])
    shares = {text: count / max(samples.n, 1) for text, count in certified.items()}
    return repr(upper), natural / max(samples.n, 1), shares, samples.n, *hashes.values()
