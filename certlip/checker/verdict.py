"""What the checker answers."""

from dataclasses import dataclass, field


class CertificateError(ValueError):
    """The file cannot be read as a certificate: nothing was judged."""


class Rejected(Exception):
    """A claim of a readable certificate could not be proven; becomes a verdict."""


@dataclass(frozen=True)
class Verdict:
    """The outcome for one certificate. The defaults are what may be believed of a rejected one.

    Args:
        accepted: Whether every claim was proven again.
        reason: One line; for a rejected certificate the first failure.
        checks: What was proven, in order, as (name, detail).
        lipschitz_upper: The proven ℓ2 Lipschitz bound of the network on raw inputs.
        natural_accuracy: Share of `predicted = label`; a prediction is proven only where certified.
        certified_accuracy: Share of certified samples with a radius of at least each ε.
        n: Number of samples.
        model_sha256: Hash of the stored network, recomputed.
        data_sha256: Hash of the stored inputs and labels, recomputed.
        seconds: Time of the check.
    """

    accepted: bool
    reason: str
    checks: tuple[tuple[str, str], ...] = ()
    lipschitz_upper: str = "inf"
    natural_accuracy: float = 0.0
    certified_accuracy: dict[str, float] = field(default_factory=dict)
    n: int = 0
    model_sha256: str = ""
    data_sha256: str = ""
    seconds: float = 0.0
