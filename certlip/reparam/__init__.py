"""Theorems that bring a network to LBENs with the same function and the same Lipschitz bound."""

from certlip.reparam.lben import lben_from_equilibrium as lben_from_equilibrium
from certlip.reparam.network import Reparametrized as Reparametrized
from certlip.reparam.network import equilibria_from_network as equilibria_from_network
from certlip.reparam.network import equilibrium_from_network as equilibrium_from_network
from certlip.reparam.network import reparametrize as reparametrize
