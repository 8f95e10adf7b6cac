"""Equilibrium solvers, implicit gradients, and the evaluation of frozen networks."""

from certlip.solvers.anderson import Anderson as Anderson
from certlip.solvers.base import EquilibriumSolver as EquilibriumSolver
from certlip.solvers.base import Solution as Solution
from certlip.solvers.choose import solver_for as solver_for
from certlip.solvers.evaluate import Evaluator as Evaluator
from certlip.solvers.forward_backward import ForwardBackward as ForwardBackward
from certlip.solvers.gauss_seidel import GaussSeidel as GaussSeidel
from certlip.solvers.implicit import equilibrium as equilibrium
from certlip.solvers.peaceman_rachford import PeacemanRachford as PeacemanRachford
from certlip.solvers.substitution import Substitution as Substitution

SOLVERS: dict[str, type[EquilibriumSolver]] = {
    solver.name: solver
    for solver in (PeacemanRachford, ForwardBackward, Anderson, Substitution, GaussSeidel)
}
