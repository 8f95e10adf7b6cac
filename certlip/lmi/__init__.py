"""Matrix inequalities: conditions (3), (4), (10), their analytic multipliers, and their proof."""

from certlip.lmi.conditions import Conditions as Conditions
from certlip.lmi.network import NetworkProof as NetworkProof
from certlip.lmi.network import prove as prove
from certlip.lmi.pair_search import prove_pairs as prove_pairs
from certlip.lmi.proof import BlockProof as BlockProof
from certlip.lmi.proof import EquilibriumProof as EquilibriumProof
from certlip.lmi.proof import ResidualProof as ResidualProof
