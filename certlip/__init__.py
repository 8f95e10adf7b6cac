"""certlip: train, convert and certify Lipschitz-bounded networks and deep equilibrium models.

Public names are imported when they are first used, so that `import certlip` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from certlip._version import __version__ as __version__

if TYPE_CHECKING:
    from certlip.api.attacked import attack as attack
    from certlip.api.bounds import check_lmi as check_lmi
    from certlip.api.bounds import lipschitz as lipschitz
    from certlip.api.certified import certify as certify
    from certlip.api.checked import verify as verify
    from certlip.api.exported import export as export
    from certlip.api.models import freeze as freeze
    from certlip.api.models import load as load
    from certlip.blocks import Network as Network
    from certlip.blocks import save as save
    from certlip.checker import check_certificate as check_certificate
    from certlip.lmi import prove as prove
    from certlip.reparam import reparametrize as reparametrize

_HOME = {
    "Network": "certlip.blocks",
    "attack": "certlip.api.attacked",
    "certify": "certlip.api.certified",
    "check_certificate": "certlip.checker",
    "check_lmi": "certlip.api.bounds",
    "export": "certlip.api.exported",
    "freeze": "certlip.api.models",
    "lipschitz": "certlip.api.bounds",
    "load": "certlip.api.models",
    "prove": "certlip.lmi",
    "reparametrize": "certlip.reparam",
    "save": "certlip.blocks",
    "verify": "certlip.api.checked",
}

__all__ = [
    "Network",
    "__version__",
    "attack",
    "certify",
    "check_certificate",
    "check_lmi",
    "export",
    "freeze",
    "lipschitz",
    "load",
    "prove",
    "reparametrize",
    "save",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'certlip' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
