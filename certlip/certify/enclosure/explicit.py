"""Blocks that are evaluated directly: the output's own rounding errors are all of δ."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Activation, Affine, Normalize, Residual
from certlip.certify.enclosure.base import Local, sigma_ball
from certlip.linalg.rigorous.ball import Ball


def normalize(block: Normalize, x: np.ndarray) -> Local:
    """(x − mean)/std."""
    return _local((Ball(x) - Ball(block.mean.numpy())) / block.std.numpy())


def affine(block: Affine, x: np.ndarray) -> Local:
    """Wx + b."""
    return _local(Ball(x) @ Ball(block.W.numpy().T) + Ball(block.b.numpy()))


def activation(block: Activation, x: np.ndarray) -> Local:
    """σ(x)."""
    return _local(sigma_ball(block.sigma, Ball(x)))


def residual(block: Residual, x: np.ndarray) -> Local:
    """x − 2 W D σ(Wᵀx + b)."""
    W = block.W.numpy()
    v = Ball(x) @ Ball(W) + Ball(block.b.numpy())
    s = sigma_ball(block.sigma, v) * Ball(2.0 * block.D.numpy())
    return _local(Ball(x) - s @ Ball(W.T))


def _local(y: Ball) -> Local:
    rad = y.rad
    return Local(y.mid, np.zeros(y.mid.shape[0]) if rad is None else Ball(rad).norm_upper())
