"""Models trained by the formulas of their origins, in float32, saved as users have them, and converted.

The formulas are written out here a second time; converted logits are theirs to 10⁻⁶, on digits that
training has not seen.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from certlip.data import load as load_data
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator

C, K, SIDE, HIDDEN, CLASSES = 12, 12, 8, 32, 10
FEATURES = C * (SIDE // 4) ** 2


def random(*shape, scale=1.0):
    return scale * torch.randn(*shape) / math.sqrt(max(math.prod(shape[1:]), 1))


def iclr():
    """Araujo et al. (ICLR 2023), as their Sequential numbers its layers: zero padding, q = exp(q)."""
    return {
        "1.kernel": random(K, C, 3, 3, scale=3),
        "1.bias": torch.zeros(1, K, 1, 1),
        "1.q": torch.randn(K),
        "4.weight": random(HIDDEN, FEATURES, scale=3),
        "4.bias": torch.zeros(1, HIDDEN),
        "4.q": torch.randn(HIDDEN),
        "7.weight": random(CLASSES, FEATURES),
        "7.bias": torch.zeros(CLASSES),
    }


def iclr_logits(p, x):
    x = F.pad(x, (0, 0, 0, 0, 0, C - 3))
    kernel, q = p["1.kernel"], torch.exp(p["1.q"]).reshape(-1, 1, 1, 1)
    t = 1 / (F.conv2d(kernel, kernel, padding=2).abs() * q / q).sum((1, 2, 3))
    s = t[:, None, None] * F.relu(F.conv2d(x, kernel, padding=1) + p["1.bias"])
    x = x - 2 * F.conv_transpose2d(s, kernel, padding=1)
    x = F.avg_pool2d(x, 4, divisor_override=4).flatten(1)
    W, q = p["4.weight"], p["4.q"].exp()
    t = 1 / ((W @ W.T).abs() * q[None] / q[:, None]).sum(1)
    x = x - 2 * (t * F.relu(x @ W.T + p["4.bias"])) @ W
    return x @ F.normalize(p["7.weight"], dim=1).T + p["7.bias"]


def neurips():
    """Havens et al. (NeurIPS 2023): circular padding, q = |q|, logits are the first coordinates."""
    return {
        "convs.0.kernel": random(K, C, 3, 3, scale=3),
        "convs.0.bias": torch.zeros(K),
        "convs.0.q": torch.rand(K) + 0.5,
        "denses.0.weights": random(HIDDEN, FEATURES, scale=3),
        "denses.0.bias": torch.zeros(HIDDEN),
        "denses.0.q": torch.rand(HIDDEN) + 0.5,
        "denses.1.weights": random(HIDDEN, FEATURES, scale=3),
        "denses.1.bias": torch.zeros(HIDDEN),
        "denses.1.q": torch.rand(HIDDEN) + 0.5,
    }


def neurips_logits(p, x):
    x = F.pad(x, (0, 0, 0, 0, 0, C - 3))
    kernel, q = p["convs.0.kernel"], p["convs.0.q"].abs()
    t = 2 * q / (F.conv2d(kernel, kernel, padding=4).abs().sum((2, 3)) @ q)
    around = (1, 1, 1, 1)
    s = F.relu(F.conv2d(F.pad(x, around, "circular"), kernel, p["convs.0.bias"]))
    s = F.pad(t[:, None, None] * s, around, "circular")
    x = x - F.conv2d(s, kernel.transpose(0, 1).flip(2, 3))
    x = F.avg_pool2d(x, 4, divisor_override=4).flatten(1)
    for k in (0, 1):
        W, b, q = (p[f"denses.{k}.{name}"] for name in ("weights", "bias", "q"))
        q = q.abs()
        t = 2 / ((W @ W.T).abs() * q[None] / q[:, None]).sum(1)
        x = x - (t * F.relu(x @ W.T + b)) @ W
    return x[:, :CLASSES]


N, D = 24, 3 * SIDE * SIDE
E, D2 = 4, 4 * (SIDE // 4) ** 2
CONV, DENSE = "mon_conv.linear_module.", "mon_dense.linear_module."


def lben():
    """Revay, Wang & Manchester (2020), γ = 5 and m = 1."""
    return {
        "psi": torch.zeros(N),
        "B.weight": random(N, D),
        "B.bias": torch.zeros(N),
        "V.weight": random(N, N),
        "S.weight": random(N, N),
        "G.weight": random(CLASSES, N),
        "G.bias": torch.zeros(CLASSES),
    }


def lben_logits(p, x):
    U, V, S, G = (p[f"{name}.weight"] for name in "BVSG")
    psi, eye = p["psi"].exp(), torch.eye(N, dtype=U.dtype)
    right = (G.T @ G + (U / psi[:, None]) @ (U / psi[:, None]).T) / 10 + V.T @ V + eye + S.T - S
    W = eye - psi[:, None] * right
    return fixed_point(W, x.flatten(1) @ U.T + p["B.bias"]) @ G.T + p["G.bias"]


def mondeq():
    """Winston & Kolter (2020), m = 0.1: W = (1 − m)I − AᵀA + B − Bᵀ."""
    return {
        "U.weight": random(N, D),
        "U.bias": torch.zeros(N),
        "A.weight": random(N, N),
        "B.weight": random(N, N),
        "Wout.weight": random(CLASSES, N),
        "Wout.bias": torch.zeros(CLASSES),
    }


def mondeq_logits(p, x):
    A, B = p["A.weight"], p["B.weight"]
    W = 0.9 * torch.eye(N, dtype=A.dtype) - A.T @ A + B - B.T
    v = x.flatten(1) @ p["U.weight"].T + p["U.bias"]
    return fixed_point(W, v) @ p["Wout.weight"].T + p["Wout.bias"]


def paper():
    """Havens et al. (NeurIPS 2023), fine-tuned LBENs: one layer on the torus, a dense one behind it."""
    middle = torch.zeros(2 * E, 2 * E, SIDE, SIDE)
    middle[range(2 * E), range(2 * E), (SIDE - 1) // 2, (SIDE - 1) // 2] = 1.0
    return {
        CONV + "kM": random(2 * E, 2 * E, SIDE, SIDE),
        CONV + "kV": middle + random(2 * E, 2 * E, SIDE, SIDE, scale=0.3),
        CONV + "kU": random(2 * E, E, SIDE, SIDE),
        CONV + "kLambda": torch.ones(1, 2 * E, 1, 1),
        CONV + "kG": random(E, 2 * E, SIDE, SIDE),
        CONV + "bias_weights": torch.zeros(1, 2 * E, 1, 1),
        DENSE + "M": random(2 * D2, 2 * D2),
        DENSE + "V": torch.eye(2 * D2) + random(2 * D2, 2 * D2, scale=0.3),
        DENSE + "U": random(2 * D2, D2),
        DENSE + "Lambda": torch.ones(2 * D2),
        DENSE + "G": random(D2, 2 * D2),
        DENSE + "bias_weights": torch.zeros(2 * D2),
    }


def paper_logits(p, x):
    def entries_of(prefix, *names):
        return [p[prefix + name] for name in names]

    def through(W_hat, v):
        """Products per frequency, of images."""
        v_hat = torch.fft.fft2(v).permute(2, 3, 1, 0)
        return torch.fft.ifft2((W_hat @ v_hat).permute(3, 2, 0, 1)).real

    M, V, U, G = (
        torch.fft.fft2(kernel.roll((-((SIDE - 1) // 2),) * 2, (2, 3))).conj().permute(2, 3, 0, 1)
        for kernel in entries_of(CONV, "kM", "kV", "kU", "kG")
    )
    lam = p[CONV + "kLambda"].flatten().abs()
    W = weight_of(M, V @ V.mH, U, lam, G)
    x = F.pad(x, (0, 0, 0, 0, 0, E - 3))
    v = through(U, x) + p[CONV + "bias_weights"]
    z = settled(lambda z: through(W, z), v, E)
    x = F.avg_pool2d(through(G, z), 4, divisor_override=4).flatten(1)
    M, V, U, lam, G, b = entries_of(DENSE, "M", "V", "U", "Lambda", "G", "bias_weights")
    W = weight_of(M, V @ V, U, lam.abs(), G)
    return (settled(lambda z: z @ W.T, x @ U.T + b, D2) @ G.T)[:, :CLASSES]


def weight_of(M, VV, U, lam, G):
    """I − Ψ(GᵀG/2 + ΛUUᵀΛ/2 + VV + 10⁻⁸I + (M − Mᵀ)/2)."""
    U, eye = lam[:, None] * U, torch.eye(len(lam), dtype=lam.dtype)
    R = (G.mH @ G + U @ U.mH + M - M.mH) / 2 + VV + 1e-8 * eye
    return eye - R / lam[:, None]


def settled(product, v, linear):
    """z = σ(Wz + v), where the first units (axis 1) are linear and the others relu."""
    z = torch.zeros_like(v)
    for _ in range(20 if v.dtype == torch.float32 else 400):
        new = product(z) + v
        new = torch.cat([new[:, :linear], new[:, linear:].relu()], dim=1)
        z = z + 0.25 * (new - z)
    return z


def fixed_point(W, v):
    """z = relu(Wz + v) by forward-backward steps: few while training, to rounding in float64."""
    step = 0.15 if W.dtype == torch.float32 else 0.05
    z = torch.zeros_like(v)
    for _ in range(40 if W.dtype == torch.float32 else 4000):
        z = F.relu((1 - step) * z + step * (z @ W.T + v))
    return z


#: Formula, format, values, prefix, and the bound that holds by construction (the rows of ICLR's last layer
#: have norm 1, its matrix has not).
ORIGINS = {
    "sll-2023 of ICLR": (iclr, iclr_logits, "sll-2023", {"mean": 0.0}, "module.model.model.", None),
    "sll-2023 of NeurIPS": (
        *(neurips, neurips_logits, "sll-2023"),
        *({"mean": 0.0, "classes": CLASSES}, "module.model.", 1.0),
    ),
    "lben-2023": (
        *(paper, paper_logits, "lben-2023"),
        *({"mean": 0.0, "classes": CLASSES}, "module.model.", None),
    ),
    "lben-2021": (
        *(lben, lben_logits, "lben-2021"),
        *({"gamma": 5.0, "m": 1.0, "mean": 0.0, "std": 1.0}, "module.mon.linear_module.", 5.0),
    ),
    "mondeq-2020": (
        *(mondeq, mondeq_logits, "mondeq-2020"),
        *({"m": 0.1, "mean": 0.0, "std": 1.0}, "module.mon.linear_module.", None),
    ),
}


def digits(split):
    """In three equal colours."""
    data = load_data("digits", split=split)
    x = torch.from_numpy(data.x).float().reshape(-1, 1, SIDE, SIDE).expand(-1, 3, -1, -1)
    return x.contiguous(), torch.from_numpy(data.label)


@pytest.mark.parametrize("name", ORIGINS)
def test_trained_and_converted(tmp_path, name):
    make, logits, format_name, values, prefix, claim = ORIGINS[name]
    x, label = digits("train")
    p = {key: value.requires_grad_() for key, value in make().items()}
    # a step of every tap of a kernel adds up at frequency 0
    optimizer = torch.optim.Adam(p.values(), lr=1e-3 if name == "lben-2023" else 1e-2)
    for step in range(120 if name == "lben-2023" else 250):
        batch = torch.randint(len(x), (128,), generator=torch.Generator().manual_seed(step))
        loss = F.cross_entropy(8 * logits(p, x[batch]), label[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    outside = ("Wout.", "G.") if format_name == "mondeq-2020" else ()
    entries = {(key if key.startswith(outside) else prefix + key): v for key, v in p.items()}
    path = tmp_path / "last.ckpt"
    torch.save(
        {"epoch": 7, "model_state_dict": entries, "optimizer_state_dict": optimizer.state_dict()},
        path,
    )
    network = convert(path, format_name, values)
    x, label = digits("test")
    with torch.no_grad():
        expected = logits({key: value.double() for key, value in p.items()}, x.double())
        found = Evaluator(network)(x.double().flatten(1))
    difference = float((found - expected).abs().max())
    accuracy = [float((y.argmax(1) == label).double().mean()) for y in (expected, found)]
    print(
        f"{name}: accuracy {accuracy[0]:.4f} and {accuracy[1]:.4f}, logits within {difference:.1e}"
    )
    assert difference <= 1e-6
    assert accuracy[0] == accuracy[1] > 0.85
    if claim is not None:
        assert prove(network).lip.value <= claim * (1 + 1e-9)
