"""The published convolutional LBEN: without its dead frame; its claim and a smaller bound are proven."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoints import normal, state_dict, written

from certlip.blocks import load
from certlip.data import load as load_data
from certlip.errors import InputError
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator
from certlip.solvers.padded_equilibrium import operators_of

SHAPES = {
    "g": (),
    "h": (),
    "psi": (2, 6, 9),
    "U.weight": (2, 1, 3, 3),
    "U.bias": (2,),
    "A.weight": (2, 2, 3, 3),
    "B.weight": (2, 2, 3, 3),
    "Wout.weight": (3, 12),
    "Wout.bias": (3,),
}
BOTH = {"gamma": 0.5, "m": 1.0}


def map_with_frame(p, z, x):
    """Wz + Ux of the publication, frame and all: z (batch, c, H + 2, W + 2), x (batch, 1, H, W)."""
    p = {name.removeprefix("mon.linear_module."): value.double() for name, value in p.items()}
    psi, A, B, U, Wout = p["psi"].exp(), *(p[f"{k}.weight"] for k in ("A", "B", "U", "Wout"))

    def circular(z, K):
        return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="circular"), K)

    def adjoint(y, K):
        return circular(y, K.flip(2, 3).transpose(0, 1))

    pooled = F.avg_pool2d(z, 3)
    Gz = pooled.flatten(1) @ Wout.T
    GGz = (Gz @ Wout).view_as(pooled).repeat_interleave(3, 2).repeat_interleave(3, 3) / 9
    UUz = F.conv2d(F.conv_transpose2d(z / psi, U), U)
    Az = circular(z, A)
    Fz = z + adjoint(Az, A) - circular(z, B) + adjoint(z, B) + GGz
    Ux = F.conv2d(F.pad(x, (2, 2, 2, 2)), U) + p["U.bias"][:, None, None]
    return z - UUz - psi * Fz + Ux, Gz + p["Wout.bias"]


def check_map(entries, network, height, width):
    """At random z that are 0 on the frame, and there the frame itself stays 0 whatever comes in."""
    block = network.blocks[1]
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(3, *block.psi.shape)))
    x = torch.from_numpy(rng.normal(size=(3, 1, height, width)))
    expected, y = map_with_frame(entries, F.pad(z, (1, 1, 1, 1)), x)
    W, U, G = operators_of(block, lambda a: a)
    b_z = block.b_z.repeat_interleave(block.pixels)
    found = W.apply(z.flatten(1)) + U.apply(x.flatten(1)) + b_z
    torch.testing.assert_close(found, expected[:, :, 1:-1, 1:-1].flatten(1), rtol=0, atol=1e-11)
    torch.testing.assert_close(G.apply(z.flatten(1)) + block.b_y, y, rtol=0, atol=1e-12)
    # and its adjoint
    v = torch.from_numpy(rng.normal(size=(3, block.n)))
    left = (W.apply(z.flatten(1)) * v).sum()
    assert float(left) == pytest.approx(float((z.flatten(1) * W.adjoint(v)).sum()), rel=1e-11)


@pytest.fixture(scope="module")
def published(shared_data):
    return shared_data / "models" / "lben" / "conv_w20_L0.5.params"


def test_the_map_of_the_publication(published):
    entries = torch.load(published, map_location="cpu", weights_only=True)
    network = convert(published, "lben-2021", BOTH)
    assert network.blocks[1].psi.shape == (20, 28, 28)
    check_map(entries, network, 28, 28)


def test_the_map_of_a_small_one(tmp_path):
    entries = state_dict(SHAPES)
    check_map(entries, convert(written(tmp_path, entries), "lben-2021", BOTH), 4, 7)


def test_images_and_their_margin_of_monotonicity(published, shared_data):
    network = convert(published, "lben-2021", BOTH)
    data = load_data("mnist", data_dir=shared_data, limit=3)
    with torch.no_grad():
        y, solutions = Evaluator(network).run(torch.from_numpy(data.x))
    assert (y.argmax(1).numpy() == data.label).all()
    assert float(solutions[1].residual.max()) < 1e-9


@pytest.mark.slow
def test_accuracy_on_500_images(published, shared_data):
    network = convert(published, "lben-2021", BOTH)
    data = load_data("mnist", data_dir=shared_data, limit=500)
    x = torch.from_numpy(data.x)
    evaluator = Evaluator(network, dtype=torch.float32, tol=1e-4)
    with torch.no_grad():
        y = torch.cat([evaluator(part.float()) for part in x.split(100)])
    assert (y.argmax(1).numpy() == data.label).mean() >= 0.92  # 0.9392 on all 10,000


@pytest.mark.slow
def test_a_smaller_bound_than_the_claimed_one(published):
    proof = prove(convert(published, "lben-2021", BOTH)).blocks[1]
    assert proof.claimed == 0.5
    assert 0.3672 < proof.lip.value < 0.4453  # above the slopes that the authors found


def test_the_claim_on_a_file_that_was_written(tmp_path, published):
    from certlip.blocks import save
    from certlip.lmi.rules.padded_equilibrium import prove_padded_equilibrium

    out = tmp_path / "model.pt"
    network = convert(published, "lben-2021", BOTH)
    save(network, out)
    assert out.stat().st_size < 3e6
    again = load(out)
    assert again.sha256() == network.sha256()
    assert prove_padded_equilibrium(again.blocks[1], lip=0.5).lip.value == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A.weight": None}, "no entry 'A.weight'"),
        ({"V.weight": normal(2, 2)}, "unexpected entry 'V.weight'"),
        ({"A.weight": normal(2, 2, 5, 5)}, "A.weight has shape"),
        ({"Wout.weight": normal(3, 13)}, r"Wout.weight has shape \(3, 13\): expected 12 columns"),
        ({"psi": normal(2, 5, 9)}, "sides that are multiples of 3"),
        ({"psi": normal(3, 6, 9)}, "U.weight has shape"),
        ({"psi": torch.full((2, 6, 9), 1000.0)}, "psi: exp"),
    ],
)
def test_malformed_entries_are_named(tmp_path, changes, message):
    path = written(tmp_path, state_dict(SHAPES, **changes))
    with pytest.raises(InputError, match=message) as caught:
        convert(path, "lben-2021", BOTH)
    assert str(path) in str(caught.value)
