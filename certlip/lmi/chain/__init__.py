"""Feed-forward chains as one inequality with block-tridiagonal structure: cost linear in depth."""

from certlip.lmi.chain.analytic import analytic_chain as analytic_chain
from certlip.lmi.chain.conditions import ChainConditions as ChainConditions
from certlip.lmi.chain.problem import Chain as Chain
from certlip.lmi.chain.proof import prove_chain as prove_chain
from certlip.lmi.chain.solver import minimise_chain as minimise_chain
