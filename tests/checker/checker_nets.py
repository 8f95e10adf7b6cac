"""Random networks, their proofs and their certificates, written with NumPy alone.

A draft is a plain dictionary that tests mutate before `write` seals it: the producer of certlip is
not involved, only the contract docs/certificate.md.
"""

import copy
import hashlib
import io
import json
import zipfile

import numpy as np

SQRT2 = 1.4142135623730951


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# --- the network, evaluated as a guess ---------------------------------------------------------


def activate(sigma, v):
    out, start = v.copy(), 0
    for name, count, parameters in sigma:
        part = out[..., start : start + count]
        if name == "relu":
            part[...] = np.maximum(part, 0)
        elif name == "leaky_relu":
            part[...] = np.where(part >= 0, part, parameters["slope"] * part)
        elif name == "tanh":
            part[...] = np.tanh(part)
        elif name == "elu":
            part[...] = np.where(part >= 0, part, parameters["alpha"] * np.expm1(part))
        start += count
    return out


def forward(blocks, x):
    """Logits and the states of the equilibrium blocks."""
    states = {}
    for k, (kind, meta, a) in enumerate(blocks):
        if kind == "normalize":
            x = (x - a["mean"]) / a["std"]
        elif kind == "affine":
            x = x @ a["W"].T + a["b"]
        elif kind == "activation":
            x = activate(meta["sigma"], x)
        elif kind == "residual":
            x = x - 2 * (a["D"] * activate(meta["sigma"], x @ a["W"] + a["b"])) @ a["W"].T
        else:
            states[str(k)] = z = solve(meta["sigma"], a, x)
            x = z @ a["G"].T + a["b_y"]
    return x, states


def solve(sigma, a, x, steps=20_000):
    """Damped fixed point, to about 1e-13."""
    constant = x @ a["U"].T + a["b_z"]
    alpha = min(1.0, 1.0 / np.linalg.norm(np.eye(len(a["W"])) - a["W"], 2) ** 2)
    z = np.zeros_like(constant)
    for _ in range(steps):
        new = (1 - alpha) * z + alpha * activate(sigma, z @ a["W"].T + constant)
        if np.abs(new - z).max(initial=0.0) < 1e-14:
            break
        z = new
    return activate(sigma, new @ a["W"].T + constant)


# --- blocks with a proof by construction: (block, proof) ----------------------------------------


def normalize(rng, d):
    std = rng.uniform(0.5, 2.0, d)
    lip = np.nextafter(1 / std.min(), 9)
    arrays = {"mean": rng.normal(size=d), "std": std}
    return ("normalize", {}, arrays), {"rule": "diagonal", "lipschitz_upper": repr(float(lip))}


def affine(rng, q, d):
    W = rng.normal(size=(q, d)) / np.sqrt(d)
    lip = float(np.linalg.norm(W, 2) * (1 + 1e-9))
    arrays = {"W": W, "b": rng.normal(size=q)}
    return ("affine", {}, arrays), {"rule": "spectral", "lipschitz_upper": repr(lip)}


def activation(sigma):
    return ("activation", {"sigma": sigma}, {}), {"rule": "slope", "lipschitz_upper": "1.0"}


def residual(rng, d, k, sigma=None):
    """SLL: D = 1/T nudged down, T_i = Σ_j |WᵀW|_ij."""
    W = rng.normal(size=(d, k))
    D = (1 - 1e-9) / np.abs(W.T @ W).sum(axis=1)
    block = ("residual", {"sigma": sigma or [["relu", k, {}]]}, {"W": W, "D": D})
    block[2]["b"] = rng.normal(size=k)
    return block, {"rule": "residual", "lipschitz_upper": "1.0", "delta": "0"}


def equilibrium(rng, n, d, q, lip=2.0, sigma=None):
    """(10) holds with 2VᵀV + 0.02 I on its left by construction, and so does (3) with Γ = Λ."""
    lam = rng.uniform(0.5, 2.0, n)
    U, G = rng.normal(size=(n, d)) / np.sqrt(n), rng.normal(size=(q, n)) / np.sqrt(n)
    V, S = rng.normal(size=(2, n, n)) / np.sqrt(n)
    lam_U = lam[:, None] * U
    R = (G.T @ G + lam_U @ lam_U.T) / (2 * lip) + V.T @ V + 0.01 * np.eye(n) + S - S.T
    W = np.eye(n) - R / lam[:, None]
    return _equilibrium(rng, W, U, G, lam, lip, sigma)


def triangular(rng, n, d, q, sigma=None):
    """A strictly lower triangular W, blocks of three rows; Λ = I and an L that is large enough."""
    W = np.kron(np.tril(np.ones((n, n)), -1), np.ones((3, 3)))[:n, :n] * rng.normal(size=(n, n))
    W *= 0.9 / np.linalg.norm(W, 2)
    U, G = rng.normal(size=(n, d)) / np.sqrt(n), rng.normal(size=(q, n)) / np.sqrt(n)
    lam = np.full(n, float(np.linalg.norm(G, 2) / np.linalg.norm(U, 2)))
    slack = np.linalg.eigvalsh(2 * np.eye(n) - W - W.T)[0]
    lip = float(2.01 * np.linalg.norm(G, 2) * np.linalg.norm(U, 2) / slack)
    return _equilibrium(rng, W, U, G, lam, lip, sigma)


def _equilibrium(rng, W, U, G, lam, lip, sigma):
    n, q, gam = len(W), len(G), lam.copy()
    H = 2 * np.diag(gam) - gam[:, None] * W - (gam[:, None] * W).T
    root = np.sqrt(gam)
    mu = 0.99 * np.linalg.eigvalsh(H / np.outer(root, root))[0] / 2
    arrays = {"W": W, "U": U, "G": G, "b_z": rng.normal(size=n), "b_y": rng.normal(size=q)}
    proof = {"rule": "equilibrium", "lipschitz_upper": repr(float(lip)), "condition": "10"}
    proof |= {"lam": lam, "gam": gam, "mu_lower": repr(float(mu))}
    return ("equilibrium", {"sigma": sigma or [["relu", n, {}]]}, arrays), proof


def equilibrium_terms(block, x, z):
    """The bound of a proven equilibrium of ReLUs but for substitution, in plain doubles."""
    (W, U, G), u = (block.maps[name] for name in "WUG"), 2.0**-53
    a = W(z) + U(x)
    b, root = a + block.vectors["b_z"], np.sqrt(block.gam)
    e = z - np.maximum(b, 0)
    y = G(z) + block.vectors["b_y"]

    def norm(v):
        return np.linalg.norm(v, axis=1)

    def gam(v):
        return norm(np.repeat(root, W.pixels) * v)

    W_error, U_error = W.error(root, 1 / root), U.error(root)
    r = gam(u * (np.abs(a) + np.abs(b) + np.abs(e))) + W_error * gam(z) + U_error * norm(x)
    omega = max(A.scaled(root, 1 / root).norm_upper() for A in W.spectra(99))
    slope = max(A.scaled(right=1 / root).norm_upper() for A in G.spectra(99))
    least = min(np.linalg.svd(A.scaled(root).S, compute_uv=False).min() for A in U.spectra(99))
    reach = slope / block.mu
    if U.K.shape[0] <= U.K.shape[1]:
        reach = min(reach, block.lip / least)
    far = slope * r + reach * (gam(W(e)) + W_error * gam(e) + omega * r)
    return norm(G(e)) + G.error() * (norm(e) + norm(z)) + u * norm(y) + far


# --- drafts and files -----------------------------------------------------------------------------


def radii(blocks, y, predicted, lips):
    """min_j (y_a − y_j)/L̄_aj with the pair bounds of the contract."""
    bounds = np.full((y.shape[1], y.shape[1]), SQRT2 * np.prod(lips))
    if blocks[-1][0] == "affine":
        W = blocks[-1][2]["W"]
        pairs = np.prod(lips[:-1]) * np.linalg.norm(W[:, None] - W, axis=2)
        bounds = np.minimum(bounds, pairs)
    np.fill_diagonal(bounds, 1.0)
    margins = y[np.arange(len(y)), predicted][:, None] - y
    margins[np.arange(len(y)), predicted] = np.inf
    with np.errstate(divide="ignore"):
        return (margins / bounds[predicted]).min(axis=1)


def draft(rng, pairs, n=30, divisor=None, eps=("36/255", "0.01"), slack=1e-9):
    """A draft with true claims: radii from the margins of the guess, shrunk by `slack`."""
    blocks, proofs = [pair[0] for pair in pairs], [copy.deepcopy(pair[1]) for pair in pairs]
    kind, _, arrays = blocks[0]
    axes = {"normalize": ("mean", 0), "affine": ("W", 1), "residual": ("W", 0)}
    name, axis = axes.get(kind, ("U", 1))
    d = arrays[name].shape[axis]
    stored = rng.normal(size=(n, d)) if divisor is None else rng.integers(0, 256, (n, d), np.uint8)
    x = stored if divisor is None else stored / divisor
    y, states = forward(blocks, x)
    lips = [float(proof["lipschitz_upper"]) for proof in proofs]
    predicted = y.argmax(axis=1) if n else np.zeros(0, np.int64)
    label = np.where(np.arange(n) % 7 == 3, (predicted + 1) % y.shape[1], predicted)
    radius = radii(blocks, y, predicted, lips) * (1 - slack)
    status = np.where(label != predicted, 1, np.where(radius > 1e-4, 0, 2))
    result = {
        "blocks": [list(block) for block in blocks],
        "proofs": proofs,
        "lipschitz_upper": repr(float(np.prod(lips) * (1 + 1e-12))),
        "samples": {
            "x": stored,
            "label": label.astype(np.int64),
            "predicted": predicted.astype(np.int64),
            "status": status.astype(np.int64),
            "radius_lower": np.where(status == 0, radius, 0.0),
            "z": states,
        },
        "divisor": divisor,
        "eps": {e: repr(float(np.nextafter(_value(e), 9))) for e in eps},
        "document": {},  # overrides of top-level entries
        "json": lambda text: text,  # the last word on the text of the document
        "members": lambda members: members,  # … and on the members of the archive
    }
    return claim(result)


def _value(text):
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)


def claim(d):
    """Recount the claims."""
    s = d["samples"]
    counted = {
        e: int(((s["status"] == 0) & (s["radius_lower"] >= float(value))).sum())
        for e, value in d["eps"].items()
    }
    natural = int((s["predicted"] == s["label"]).sum())
    d["claims"] = {"natural_correct": natural, "certified_correct": counted}
    return d


def model_hash(blocks):
    digest = hashlib.sha256()
    for kind, meta, arrays in blocks:
        head = {"kind": kind, "meta": meta, "shapes": {k: list(a.shape) for k, a in arrays.items()}}
        digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def data_hash(d):
    s = d["samples"]
    x = s["x"] if d["divisor"] is None else s["x"] / d["divisor"]
    return hashlib.sha256(x.tobytes() + s["label"].tobytes()).hexdigest()


def document(d):
    """The JSON document of a draft with all hashes right, and its arrays."""
    arrays = {}

    def put(name, array):
        arrays[name] = np.asarray(array)
        return name

    blocks = [
        {
            "kind": kind,
            "meta": meta,
            "arrays": {key: put(f"block{k}.{key}", array) for key, array in own.items()},
        }
        for k, (kind, meta, own) in enumerate(d["blocks"])
    ]
    proofs = [
        {k: put(f"proof{i}.{k}", v) if isinstance(v, np.ndarray) else v for k, v in proof.items()}
        for i, proof in enumerate(d["proofs"])
    ]
    samples = {k: put(f"samples.{k}", v) for k, v in d["samples"].items() if k != "z"}
    samples["z"] = {k: put(f"samples.z{k}", z) for k, z in d["samples"]["z"].items()}
    data = {"name": "random", "split": "test", "sha256": data_hash(d), "n": len(d["samples"]["x"])}
    if d["divisor"] is not None:
        data["divisor"] = d["divisor"]
    listing = {
        k: {"dtype": a.dtype.str, "shape": list(a.shape), "sha256": sha(a)}
        for k, a in arrays.items()
    }
    return {
        "schema": "certlip/certificate/2",
        "certlip": "0.1.0",
        "statement": {"norm": "l2", "semantics": "real", "input_unit": "raw"},
        "model": {"sha256": model_hash(d["blocks"]), "blocks": blocks},
        "proofs": proofs,
        "lipschitz_upper": d["lipschitz_upper"],
        "data": data,
        "samples": samples,
        "eps": d["eps"],
        "claims": d["claims"],
        "arrays": listing,
    } | d["document"], arrays


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def write(d, path, keep=None):
    """Write a draft. With `keep`, a draft from before a mutation, all its hashes are kept."""
    doc, arrays = document(d)
    if keep is not None:
        old, _ = document(keep)
        doc["model"]["sha256"], doc["data"]["sha256"] = (
            old["model"]["sha256"],
            old["data"]["sha256"],
        )
        for name in set(doc["arrays"]) & set(old["arrays"]):
            doc["arrays"][name]["sha256"] = old["arrays"][name]["sha256"]
    members = [("certificate.json", d["json"](json.dumps(doc)).encode())]
    members += [(f"{name}.npy", npy(array)) for name, array in arrays.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in d["members"](members):
            archive.writestr(name, data)
    return path


def small(seed=0):
    """Affine, residual, activation and a readout with their proofs, and 30 samples."""
    rng = np.random.default_rng(seed)
    sigma = [["relu", 3, {}], ["tanh", 2, {}], ["leaky_relu", 1, {"slope": 0.3}]]
    mixed = [*sigma, ["elu", 2, {"alpha": 0.7}], ["identity", 1, {}]]
    pairs = [
        *(normalize(rng, 5), affine(rng, 6, 5), residual(rng, 6, 9, mixed)),
        *(activation(sigma), affine(rng, 3, 6)),
    ]
    return draft(rng, pairs)


def deep(seed=0):
    """Normalize and an equilibrium on bytes, 30 samples."""
    rng = np.random.default_rng(seed)
    sigma = [["relu", 8, {}], ["identity", 4, {}]]
    return draft(rng, [normalize(rng, 6), equilibrium(rng, 12, 6, 4, sigma=sigma)], divisor=255)
