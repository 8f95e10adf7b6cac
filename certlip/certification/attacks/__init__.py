"""Attacks on certified balls: searches that find points, judges that decide, and the falsifier of both.

A search may be as careless as it likes. What it finds counts only if the point is proven to lie in the
ball and another class is proven to be at least as large there, or is what the deployed float32 evaluation
gives.
"""

from certlip.certification.attacks.counterexamples import Counterexample as Counterexample
from certlip.certification.attacks.counterexamples import (
    load_counterexamples as load_counterexamples,
)
from certlip.certification.attacks.counterexamples import (
    save_counterexamples as save_counterexamples,
)
from certlip.certification.attacks.falsify import ATTACKS as ATTACKS
from certlip.certification.attacks.falsify import USUAL as USUAL
from certlip.certification.attacks.falsify import Falsification as Falsification
from certlip.certification.attacks.falsify import Falsifier as Falsifier
from certlip.certification.attacks.falsify import falsify as falsify
