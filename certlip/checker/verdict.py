"""What the checker answers."""

from dataclasses import dataclass, field


class CertificateError(ValueError):
    """The file cannot be read as a certificate: nothing was judged."""


class Rejected(Exception):
    """A claim of a readable certificate could not be proven; becomes a verdict."""


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
    seconds: float = 0.0
