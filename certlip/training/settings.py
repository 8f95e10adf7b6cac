"""The settings of a run: everything that decides its weights, besides the data and the first weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from certlip.certification import Eps, parse_eps
from certlip.certification.norms import NORMS
from certlip.data.augment import AUGMENTATIONS, Augmentation
from certlip.errors import InputError
from certlip.training.losses import LOSSES, Loss
from certlip.training.losses.cross_entropy import CrossEntropy
from certlip.training.schedules import SCHEDULES, Schedule
from certlip.training.schedules.triangular import Triangular
from certlip.training.tables import as_table, from_table, require

PRECISIONS = ("full", "bfloat16")
WHOLE = ("epochs", "batch_size", "accumulate", "validate_every", "checkpoint_every")


@dataclass(frozen=True)
class Settings:
    """How a model is trained; as plain values a table of a recipe.

    Args:
        epochs: Passes over the training data, ≥ 1.
        batch_size: Samples per step, of all processes together, ≥ 1.
        accumulate: Parts of a batch that go through the model one after the other, ≥ 1.
        lr: Peak learning rate of Adam, > 0.
        betas: Adam's betas, in [0, 1).
        loss: What a step makes smaller.
        schedule: The learning rate over the training.
        augment: Random changes of the images, one after the other.
        clip: Largest gradient norm; 0 does not clip.
        ema: Decay per step of a moving average of the weights, in [0, 1); 0 keeps none. With it, the
            averages are what is validated, proven and kept.
        precision: Of the products with activations, `full` (that of the weights) or `bfloat16`; what the
            weights are made of, the weights themselves and the loss are in full precision always.
        kernel_l1: Weight of the ℓ1 norm of the kernel entries outside of the original support, in
            fine-tuning; ≥ 0.
        norm: Norm of the certified accuracy in validation, l2 or linf.
        eps: Its radii, as on the command line.
        seed: Seed of the first weights, of the order of the samples and of the augmentation.
        validate_every: Epochs between two validations, ≥ 1; before a checkpoint there always is one.
        checkpoint_every: Epochs between two checkpoints, ≥ 1.
    """

    epochs: int = 150
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-2
    betas: tuple[float, float] = (0.5, 0.9)
    loss: Loss = field(default_factory=CrossEntropy)
    schedule: Schedule = field(default_factory=Triangular)
    augment: tuple[Augmentation, ...] = ()
    clip: float = 0.0
    ema: float = 0.0
    precision: str = "full"
    kernel_l1: float = 0.0
    norm: str = "l2"
    eps: str = "36/255,72/255,108/255,1"
    seed: int = 0
    validate_every: int = 10
    checkpoint_every: int = 10

    def __post_init__(self) -> None:
        for name in WHOLE:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} = {value!r}: expected a whole number ≥ 1")
        require("lr", self.lr, above=0.0)
        for name in ("clip", "kernel_l1"):
            require(name, getattr(self, name))
        for name, values in (("betas", self.betas), ("ema", (self.ema,))):
            if not all(0.0 <= value < 1.0 for value in values):
                raise InputError(f"{name} = {getattr(self, name)!r}: expected numbers in [0, 1)")
        if not isinstance(self.eps, str):
            raise InputError(f"eps = {self.eps!r}: expected a text such as '36/255,1'")
        parse_eps(self.eps)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed = {self.seed!r}: expected a whole number ≥ 0")
        for name, known in (("norm", NORMS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} = {getattr(self, name)!r}: expected {' or '.join(known)}")

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Settings:
        """The settings that a table of a recipe describes.

        Raises:
            InputError: an unknown setting, kind or option, or a value that is refused.
        """
        options = dict(table)
        unknown = sorted(set(options) - {f.name for f in fields(cls)})
        if unknown:
            raise InputError(f"unknown setting {unknown[0]!r}")
        if "betas" in options:
            options["betas"] = tuple(options["betas"])
        for name, registry in (("loss", LOSSES), ("schedule", SCHEDULES)):
            if name in options:
                options[name] = from_table(name, registry, options[name])
        changes = options.get("augment", ())
        options["augment"] = tuple(from_table("augment", AUGMENTATIONS, t) for t in changes)
        return cls(**options)

    def table(self) -> dict[str, Any]:
        """The settings as plain values: `from_table` gives them back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {
            "betas": list(self.betas),
            "loss": as_table(self.loss),
            "schedule": as_table(self.schedule),
            "augment": [as_table(change) for change in self.augment],
        }

    def radii(self) -> list[Eps]:
        """The radii of validation."""
        return parse_eps(self.eps)

    def with_options(self, **options: Any) -> Settings:
        """A copy with every option that is not None set."""
        return replace(self, **{k: v for k, v in options.items() if v is not None})
