"""y = (x − mean)/std on boxes."""

from __future__ import annotations

from certlip.blocks import Normalize
from certlip.certification.interval.base import Step
from certlip.linalg.rigorous.ball import Ball


class Scale(Step):
    linear = True

    def __init__(self, block: Normalize) -> None:
        self.mean, self.std = block.mean.numpy(), block.std.numpy()

    def __call__(self, box: Ball) -> Ball:
        return (box - self.mean) / self.std


def normalize(block: Normalize) -> list[Step]:
    return [Scale(block)]
