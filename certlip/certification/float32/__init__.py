"""What the deployed float32 evaluation may differ by from the real network, over a whole ball."""

from certlip.certification.float32.deployed import Deployed as Deployed
from certlip.certification.float32.kinds import require_bounded as require_bounded
