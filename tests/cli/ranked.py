"""One rank of a certification that goes wrong where the environment says so.

`TROUBLE="1:0:kill"`: rank 1 is killed when it comes to its first batch; `raise` raises instead. The
others go slowly then, so that it comes there. `late`: it is a second late when it says that it failed.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from certlip_cli.main import run
from certlip_cli.ranks import Several

from certlip.certification import Certifier

rank, at, kind = os.environ.get("TROUBLE", "none:0:none").split(":")
original, seen, fail = Certifier.__call__, [], Several.fail


def call(self, *args, **options):
    if os.environ["RANK"] == rank and len(seen) == int(at):
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("planted")
    if rank not in ("none", os.environ["RANK"]):
        time.sleep(0.5)
    seen.append(args)
    return original(self, *args, **options)


def late(self, *args):
    time.sleep(os.environ["RANK"] == rank)
    return fail(self, *args)


Certifier.__call__ = call
if kind == "late":
    Several.fail = late
sys.exit(run(sys.argv[1:]))
