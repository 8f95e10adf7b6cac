"""The textbook evaluation of an LBEN, as the baseline of a benchmark: everything anew at every call.

    W = I − Ψ( G*G/(2L) + Ψ⁻¹UU*Ψ⁻¹/(2L) + V*V + S* − S + εI )                                 (7)

With convolutions this holds for each frequency of the torus, * the conjugate transpose (equation (25)).
Each call transforms all kernels, forms W and its resolvent (I + α(I − W))⁻¹ at all H·W frequencies, and
iterates Peaceman–Rachford between pixels, where σ acts, and frequencies, where W does, with complex
transforms of the full size. All of it is batched, and the step α is for the caller to choose.
Sources: Havens et al., 2023; Winston & Kolter, 2020 (convolutional case); numbers of the former.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

CHECK_EVERY = 5  # iterations between two residuals, as in certlip's own solver


@dataclass(frozen=True)
class Answer:
    """Outputs y and states z, one row per input, their residuals (batch,), and how many iterations."""

    y: Tensor
    z: Tensor
    residual: Tensor
    iterations: int
    converged: bool


class Textbook(ABC):
    """z = σ(Wz + Ux + b_z), y = Gz + b_y, with W from (7) at every call.

    Args:
        log_psi: d of Ψ = diag(exp(d)), (n,).
        U, G, V, S: Matrices, or kernels.
        b_z, b_y: (n,), (q,).
        relu: Where σ is ReLU rather than the identity, (n,) bool.
        lip, eps: L and ε of (7).
        alpha: The step of the splitting.
    """

    def __init__(
        self,
        *,
        log_psi: Tensor,
        U: Tensor,
        G: Tensor,
        V: Tensor,
        S: Tensor,
        b_z: Tensor,
        b_y: Tensor,
        relu: Tensor,
        lip: float = 1.0,
        eps: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        self.log_psi, self.U, self.G, self.V, self.S = log_psi, U, G, V, S
        self.b_z, self.b_y, self.relu = b_z, b_y, relu
        self.lip, self.eps, self.alpha = lip, eps, alpha

    @abstractmethod
    def blocks(self, A: Tensor) -> Tensor:
        """A matrix as itself, a kernel as its blocks at all frequencies."""

    @abstractmethod
    def shaped(self, x: Tensor) -> Tensor:
        """Rows of a batch in the shape that `product` takes."""

    @abstractmethod
    def product(self, A: Tensor, x: Tensor) -> Tensor:
        """Blocks times x."""

    @abstractmethod
    def per_unit(self, v: Tensor) -> Tensor:
        """A value per neuron or channel in the shape that goes with `product`."""

    def weight(self, U: Tensor, G: Tensor, V: Tensor, S: Tensor) -> Tensor:
        """W of (7), a block for each block of its parts."""
        psi, inverse = self.log_psi.exp(), (-self.log_psi).exp()
        inverse_U = inverse[:, None] * U
        eye = torch.eye(V.shape[-1], dtype=V.dtype, device=V.device)
        inner = (G.mH @ G + inverse_U @ inverse_U.mH) / (2.0 * self.lip)
        return eye - psi[:, None] * (inner + V.mH @ V + S.mH - S + self.eps * eye)

    def sigma(self, v: Tensor) -> Tensor:
        """σ and prox_{αf} alike: the identity and ReLU are projections."""
        return torch.where(self.per_unit(self.relu), v.relu(), v)

    @torch.no_grad()
    def __call__(self, x: Tensor, *, tol: float, max_iter: int = 2000) -> Answer:
        """Evaluates x (batch, d) until ‖z − σ(Wz + Ux + b_z)‖ ≤ tol·(1 + ‖z‖) in every row."""
        U, G, V, S = (self.blocks(A) for A in (self.U, self.G, self.V, self.S))
        W = self.weight(U, G, V, S)
        eye = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
        # solved against the identity: batched inverses may hang on CPU threads
        R = torch.linalg.solve(eye + self.alpha * (eye - W), eye.expand_as(W))
        c = self.product(U, self.shaped(x)) + self.per_unit(self.b_z)
        drive = self.alpha * self.product(R, c)
        u = self.alpha * c  # the state z = 0
        z, iterations, converged = torch.zeros_like(c), 0, False
        residual = c.flatten(1).norm(dim=1)
        while not converged and iterations < max_iter:
            for _ in range(CHECK_EVERY):
                half = 2.0 * z - u
                u = 2.0 * (self.product(R, half) + drive) - half
                z = self.sigma(u)
            iterations += CHECK_EVERY
            residual = (z - self.sigma(self.product(W, z) + c)).flatten(1).norm(dim=1)
            converged = bool((residual <= tol * (1.0 + z.flatten(1).norm(dim=1))).all())
        y = self.product(G, z) + self.per_unit(self.b_y)
        return Answer(y.flatten(1), z.flatten(1), residual, iterations, converged)

    def tuned(self, x: Tensor, *, tol: float, steps: tuple[float, ...]) -> float:
        """Sets α to the step of fewest iterations on x, and returns it."""

        def iterations(alpha: float) -> int:
            self.alpha = alpha
            return self(x, tol=tol).iterations

        self.alpha = min(steps, key=iterations)
        return self.alpha


class TextbookLBEN(Textbook):
    """Kernels U (n, c, ·, ·), G (q, n, ·, ·), V and S (n, n, ·, ·) on a torus of H × W pixels.

    Kernels are anchored as those of certlip's blocks; x is flattened channel by channel.
    """

    def __init__(self, *, height: int, width: int, **parameters) -> None:
        super().__init__(**parameters)
        self.height, self.width = height, width

    def blocks(self, A: Tensor) -> Tensor:
        """K̂(f) = Σ_t K[t] e^{2πi f·(t − a)/N} at all frequencies, (H, W, o, i)."""
        kh, kw = A.shape[2:]
        padded = torch.nn.functional.pad(A, (0, self.width - kw, 0, self.height - kh))
        anchored = padded.roll((-((kh - 1) // 2), -((kw - 1) // 2)), (2, 3))
        return torch.fft.fft2(anchored).conj().permute(2, 3, 0, 1)

    def shaped(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, self.height, self.width)

    def product(self, A: Tensor, x: Tensor) -> Tensor:
        """One small product per frequency between two transforms."""
        return torch.fft.ifft2(torch.einsum("hwoi,bihw->bohw", A, torch.fft.fft2(x))).real

    def per_unit(self, v: Tensor) -> Tensor:
        return v[:, None, None]


class TextbookDense(Textbook):
    """Matrices U (n, d), G (q, n), V and S (n, n)."""

    def blocks(self, A: Tensor) -> Tensor:
        return A

    def shaped(self, x: Tensor) -> Tensor:
        return x

    def product(self, A: Tensor, x: Tensor) -> Tensor:
        return x @ A.mT

    def per_unit(self, v: Tensor) -> Tensor:
        return v
