"""Encloses the logits of the real-arithmetic network: guess fast, then verify.

Whatever a block's output ŷ_k was computed by, ‖ŷ_k − f_k(ŷ_{k−1})‖ ≤ δ_k is proven in float64, and
‖ŷ_K − f(x)‖ ≤ Σ_k (∏_{j>k} L_j) δ_k. One function or class per kind of block; the registries are
`LOCAL` and `PREPARED` in `kinds`.
"""

from certlip.certification.enclosure.enclosed import Enclosure as Enclosure
from certlip.certification.enclosure.network import Encloser as Encloser
