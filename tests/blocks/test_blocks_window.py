"""Windows of images, and convolutions of any stride and padding made of them, against torch and loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import Affine, Convolution, Network, Window, dense_form
from certlip.blocks.strided import LARGEST_KERNEL, convolution_blocks, depthwise
from certlip.certification.enclosure import Encloser
from certlip.errors import InputError, UnsupportedError
from certlip.lmi import prove
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)


@st.composite
def windows(draw):
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    steps = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    top = draw(st.integers(1 - rows * steps[0], height - 1))
    left = draw(st.integers(1 - columns * steps[1], width - 1))
    return Window(draw(st.integers(1, 3)), height, width, top, left, rows, columns, *steps)


def loops(block, x):
    image = x.reshape(len(x), block.channels, block.height, block.width)
    steps = block.row_step, block.column_step
    y = np.zeros((len(x), block.channels, *steps, block.rows, block.columns))
    for a, b, i, j in np.ndindex(y.shape[2:]):
        r, s = block.top + steps[0] * i + a, block.left + steps[1] * j + b
        if 0 <= r < block.height and 0 <= s < block.width:
            y[:, :, a, b, i, j] = image[:, :, r, s]
    return y.reshape(len(x), -1)


@given(windows(), seeds)
def test_a_window_is_its_formula_in_every_form(block, seed):
    x = np.random.default_rng(seed).normal(size=(2, block.in_width))
    expected = loops(block, x)
    net, (affine,) = Network([block]), dense_form(block)
    assert np.array_equal(Evaluator(net)(torch.from_numpy(x)).numpy(), expected)
    assert np.array_equal(x @ affine.W.numpy().T, expected)
    enclosure = Encloser(net, prove(net))(x)
    assert np.array_equal(enclosure.y, expected)
    assert not enclosure.error.any()
    assert prove(net).lip.value == 1.0
    assert np.linalg.norm(affine.W.numpy(), 2) <= 1.0  # 1 unless the steps miss the image


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"top": 4}, "top = 4: expected a whole number from -3 to 3, where the window meets"),
        ({"top": -4}, "top = -4"),
        ({"left": 3}, "left = 3: expected a whole number from -5 to 2"),
        ({"left": -6}, "left = -6"),
        ({"top": 1.0}, "top = 1.0"),
        ({"top": True}, "top = True"),
        ({"left": None}, "left = None"),
        ({"rows": 0}, "rows = 0"),
        ({"columns": 2.0}, "columns = 2.0"),
        ({"row_step": 0}, "row_step = 0"),
        ({"column_step": "2"}, "column_step = '2'"),
        ({"channels": -1}, "channels = -1"),
        ({"height": 0}, "height = 0"),
    ],
)
def test_what_is_no_window_is_refused(change, match):
    sides = {"channels": 2, "height": 4, "width": 3, "top": 0, "left": 0}
    steps = {"rows": 2, "columns": 3, "row_step": 2, "column_step": 2}
    Window(**sides, **steps)
    with pytest.raises(InputError, match=f"window block: {match}"):
        Window(**{**sides, **steps, **change})


def test_descriptions():
    assert Window(2, 4, 3, -1, 0, 6, 3, 1, 1).describe() == "2 channels, 4×3 → 6×3"
    assert Window(2, 4, 4, 0, 0, 2, 2, 2, 2).describe() == "2 channels, 4×4 → 2×2, 2×2 phases"


@st.composite
def convolutions(draw):
    image = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    taps = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    mode = draw(st.sampled_from(["zero", "circular"]))
    most = min(image) if mode == "circular" else 4  # torch wraps once at most
    padding = tuple(draw(st.integers(0, most)) for _ in range(4))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return image, shape, taps, stride, padding, mode, draw(seeds)


@settings(max_examples=300)
@given(convolutions())
def test_any_convolution_is_that_of_torch_and_its_bound_holds(case):
    image, (o, c), taps, stride, (above, below, left, right), mode, seed = case
    rng = np.random.default_rng(seed)
    K, b, x = (
        torch.from_numpy(rng.normal(size=size)) for size in ((o, c, *taps), (o,), (3, c, *image))
    )
    kind = "circular" if mode == "circular" else "constant"
    padded = F.pad(x, (left, right, above, below), mode=kind)
    options = {"stride": stride, "padding": (above, below, left, right), "mode": mode}
    if padded.shape[2] < taps[0] or padded.shape[3] < taps[1]:
        with pytest.raises(UnsupportedError, match="does not fit an image"):
            convolution_blocks(K, b, image, **options)
        return
    expected = F.conv2d(padded, K, b, stride=stride).flatten(1)
    net = Network(convolution_blocks(K, b, image, **options))
    torch.testing.assert_close(Evaluator(net)(x.flatten(1)), expected, rtol=1e-12, atol=1e-12)
    dense = Network([part for block in net.blocks for part in dense_form(block)])
    torch.testing.assert_close(Evaluator(dense)(x.flatten(1)), expected, rtol=1e-12, atol=1e-12)
    eye = torch.eye(c * image[0] * image[1], dtype=torch.float64)
    matrix = Evaluator(net)(eye) - Evaluator(net)(0 * eye[:1])
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= prove(net).lip.value * (1 + 1e-12)


def kinds(*args, **options):
    return [block.kind for block in convolution_blocks(*args, **options)]


def test_no_window_where_none_is_needed():
    K, b = torch.ones(2, 1, 3, 3).double(), torch.zeros(2).double()
    assert kinds(K, b, (5, 6), padding=(1, 1, 1, 1)) == ["convolution"]
    assert kinds(K, b, (5, 6), padding=(1, 1, 1, 1), mode="circular") == ["convolution"]
    assert kinds(K, b, (5, 6)) == ["convolution", "window"]
    assert kinds(K, b, (3, 3)) == ["affine"]
    assert kinds(K[..., :2, :2], b, (6, 6), stride=(2, 2)) == ["window", "convolution"]
    assert kinds(K[..., :2, :2], b, (6, 6), padding=(1, 1, 1, 1)) == ["window", "convolution"]


def test_the_bound_of_a_patch_embedding_is_its_norm():
    """Windows without overlap: the norm is that of K as a matrix, not √16 times as much."""
    K = torch.ones(1, 1, 4, 4).double()
    blocks = convolution_blocks(K, torch.zeros(1).double(), (16, 16), stride=(4, 4))
    assert prove(Network(blocks)).lip.value == pytest.approx(4.0, rel=1e-9)
    plain = Convolution(K, torch.zeros(1).double(), 16, 16, "zero")
    assert prove(Network([plain])).lip.value == pytest.approx(16.0, rel=0.1)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_bound_of_strided_kernels_is_near_their_norm(stride):
    K = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 3, 3)))
    blocks = convolution_blocks(
        K, torch.zeros(4).double(), (12, 12), stride=(stride,) * 2, padding=(1, 1, 1, 1)
    )
    net = Network(blocks)
    eye = torch.eye(3 * 144, dtype=torch.float64)
    true = float(torch.linalg.matrix_norm(Evaluator(net)(eye), 2))
    assert true <= prove(net).lip.value <= 1.1 * true


def test_one_output_is_one_affine_map():
    K, b = torch.randn(3, 2, 4, 5).double(), torch.randn(3).double()
    (block,) = convolution_blocks(K, b, (4, 5))
    assert isinstance(block, Affine)
    assert torch.equal(block.W, K.reshape(3, -1))


def test_what_is_too_large_is_refused_before_it_is_made():
    K, b = torch.ones(1, 1, 1, 1).double(), torch.zeros(1).double()
    with pytest.raises(UnsupportedError, match="no convolution on the torus of 70×70 pixels"):
        convolution_blocks(K, b, (70, 70), padding=(1, 1, 1, 1), mode="circular")
    far = 2 * LARGEST_KERNEL
    with pytest.raises(UnsupportedError, match="is larger than"):
        convolution_blocks(K, b, (4, 4), stride=(far, far), padding=(0, 2 * far, 0, 2 * far))


def test_depthwise_kernels_keep_channels_apart():
    k = torch.randn(2, 3).double()
    x = torch.randn(1, 4, 5, 6).double()
    grouped = F.conv2d(x, k.expand(4, 1, 2, 3), groups=4)
    assert torch.allclose(F.conv2d(x, depthwise(k, 4)), grouped)
