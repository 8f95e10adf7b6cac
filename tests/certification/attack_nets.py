"""Networks whose falsification is known."""

import numpy as np
from certify_nets import affine

from certlip.blocks import Network


def diagonal():
    """f_0 − f_1 = 2(Σ x_i + 0.5): the steepest direction is a corner of the cube."""
    return Network([affine(np.vstack([np.ones((1, 6)), -np.ones((1, 6))]), [0.5, -0.5])])


def common(scale=1e6):
    """Logits that share a large term: what differs between them is lost in float32."""
    rng = np.random.default_rng(0)
    W = scale * rng.standard_normal(8) + 0.1 * rng.standard_normal((4, 8))
    return Network([affine(W, rng.standard_normal(4))])
