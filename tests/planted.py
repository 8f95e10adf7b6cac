"""Claims as a producer with a bug would make them, and who of proof, checker and falsifier catches them."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from certlip.blocks import Affine, Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import ReLU
from certlip.certificate import claims_of, write_certificate
from certlip.certification import Radii, Status, certify, falsify, parse_eps
from certlip.certification.attacks.rounding import bisect
from certlip.checker import check_certificate
from certlip.data import Dataset
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import UpperBound
from certlip.linalg.rigorous.bounds import product
from certlip.lmi import NetworkProof, prove
from certlip.lmi.search import Search
from certlip.solvers import Evaluator


@dataclass(frozen=True)
class Claimed:
    """What is claimed of a network: its proof, and radii of samples x that all are called certified."""

    network: Network
    proof: NetworkProof
    x: np.ndarray
    radii: Radii

    def caught(self, path):
        """The names of those that catch it: none for an honest claim."""
        catchers = {"proof": self._unproven, "checker": self._rejected, "falsifier": self._broken}
        return {name for name, catch in catchers.items() if catch(path)}

    def _unproven(self, _path):
        """The bound that is claimed, of a block or of the network, is below every one that is proven."""
        try:
            honest = prove(self.network)
        except (RejectedError, InconclusiveError):
            return True
        above = [own.lip.value for own in (*honest.blocks, honest)]
        claimed = [own.lip.value for own in (*self.proof.blocks, self.proof)]
        return any(c < a * (1 - 1e-9) for c, a in zip(claimed, above, strict=True))

    def _rejected(self, path):
        label = self.radii.label
        classes = self.network.classes
        data = Dataset("planted", "test", self.x, label, classes, (self.x.shape[1],))
        claims = claims_of(self.radii, data, parse_eps("0.1"))
        write_certificate(path, self.network, self.proof.blocks, str(self.proof.lip), claims)
        return not check_certificate(path).accepted

    def _broken(self, _path):
        """The judge of the falsifier is honest: it encloses logits by bounds that are proven."""
        for search in (None, Search("structured")):
            try:
                honest = prove(self.network, search=search)
            except (RejectedError, InconclusiveError):
                continue
            radii = self.radii
            found = falsify(self.network, honest, self.x, radii.predicted, radii.radius_lower)
            return bool(found.broken)
        return False


def claim(network, x, *, proof=None, certifier=None):
    """The certified ones of the samples, by an honest certification unless another is given."""
    proof = proof or prove(network)
    label = Evaluator(network)(torch.from_numpy(x)).argmax(dim=1).numpy()
    if certifier is None:
        radii = certify(network, proof, x, label, keep_states=True)
    else:
        radii = certifier(x, label, keep_states=True)
    rows = radii.status == Status.CERTIFIED
    assert rows.sum() >= 10
    return Claimed(network, proof, x[rows], rows_of(radii, rows))


def rows_of(radii, rows):
    """The radii of some samples."""
    columns = {name: value for name, value in vars(radii).items() if name != "states"}
    arrays = {name: None if value is None else value[rows] for name, value in columns.items()}
    return Radii(**arrays, states={k: z[rows] for k, z in radii.states.items()})


def with_radii(claimed, change):
    """The same with other radii, a function of the honest ones."""
    radius = change(claimed.radii.radius_lower)
    return replace(claimed, radii=replace(claimed.radii, radius_lower=radius))


def with_bounds(proof, total=None, **changes):
    """The proof with the bounds of some blocks (block0=…) or of the network replaced."""
    bounds = {int(name.removeprefix("block")): UpperBound(lip) for name, lip in changes.items()}
    blocks = tuple(replace(own, lip=bounds.get(k, own.lip)) for k, own in enumerate(proof.blocks))
    lip = product([own.lip for own in blocks]) if total is None else UpperBound(total)
    return NetworkProof(blocks, lip)


# --- networks and samples -------------------------------------------------------------------------


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def affine(W, b=None):
    W = tensor(W)
    return Affine(W, W.new_zeros(len(W)) if b is None else tensor(b))


def linear(seed=0, d=6, classes=2):
    """Two opposite rows, where radii are tight; more classes are random."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((1, d))
    W = np.vstack([W, -W]) if classes == 2 else rng.standard_normal((classes, d))
    return Network([affine(W, rng.standard_normal(classes))])


def inputs(network, n=40, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((n, network.in_width))


def near_boundary(network, n=40, seed=0, away=1e-4):
    """Samples between two classes, at a share `away` of the way from the boundary."""
    x = torch.from_numpy(inputs(network, 4 * n, seed))
    evaluate = Evaluator(network)
    label = evaluate(x).argmax(dim=1)
    other = torch.stack([(label != a).nonzero()[0, 0] for a in label])

    def beyond(t):
        return evaluate(x + t * (x[other] - x)).argmax(dim=1) != label

    zero = torch.zeros(len(x), 1, dtype=torch.float64)
    t, _ = bisect(beyond, zero, zero + 1.0)
    return (x + (1.0 - away) * t * (x[other] - x)).numpy()[:n]


def equilibrium(W, U, G, lam, lip, b_z=None, b_y=None):
    """An equilibrium with the multipliers that are claimed for it."""
    origin = Origin("lben", {"lip": lip}, {"psi": 1.0 / tensor(lam)})
    W, U, G = map(tensor, (W, U, G))
    b_z = W.new_zeros(len(W)) if b_z is None else tensor(b_z)
    b_y = W.new_zeros(len(G)) if b_y is None else tensor(b_y)
    return Equilibrium(W, U, G, b_z, b_y, Sigma.of(ReLU(), len(W)), origin)


def lben_parts(seed=0, n=6, d=4, q=3, lip=2.0, eps=0.01):
    """(7): weights, Λ and V for which (10) holds at L by construction."""
    rng = np.random.default_rng(seed)
    lam = rng.uniform(0.5, 2.0, n)
    U, G, V, S = (rng.standard_normal(s) for s in ((n, d), (q, n), (n, n), (n, n)))
    lam_U = lam[:, None] * U
    R = (G.T @ G + lam_U @ lam_U.T) / (2 * lip) + V.T @ V + S.T - S + eps * np.eye(n)
    W = np.eye(n) - R / lam[:, None]
    biases = {"b_z": rng.standard_normal(n), "b_y": rng.standard_normal(q)}
    return {"W": W, "U": U, "G": G, "lam": lam, "lip": lip, **biases}, V


def tf32(array):
    """Rounded to 11 significant bits, as a tensor core reads its operands."""
    bits = np.asarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x0FFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(
        0xFFFFE000
    )
    return rounded.view(np.float32).astype(np.float64)
