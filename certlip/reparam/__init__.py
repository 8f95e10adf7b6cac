"""Theorems that bring a network to an LBEN with the same function and the same Lipschitz bound."""

from certlip.reparam.lben import lben_from_equilibrium as lben_from_equilibrium
from certlip.reparam.network import equilibrium_from_network as equilibrium_from_network
from certlip.reparam.network import reparametrize as reparametrize
