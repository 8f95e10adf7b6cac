"""certlip: train, convert and certify Lipschitz-bounded networks and deep equilibrium models.

Public names are imported when they are first used, so that `import certlip` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from certlip._version import __version__ as __version__

if TYPE_CHECKING:
    from certlip.blocks import Network as Network
    from certlip.blocks import load as load
    from certlip.blocks import save as save
    from certlip.checker import check_certificate as check_certificate
    from certlip.lmi import prove as prove
    from certlip.reparam import reparametrize as reparametrize

_HOME = {
    "Network": "certlip.blocks",
    "load": "certlip.blocks",
    "save": "certlip.blocks",
    "check_certificate": "certlip.checker",
    "prove": "certlip.lmi",
    "reparametrize": "certlip.reparam",
}

__all__ = [
    "Network",
    "__version__",
    "check_certificate",
    "load",
    "prove",
    "reparametrize",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'certlip' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
