"""Certified training in the ℓ∞ norm: boxes go through the model, and the loss is that of the worst
margins."""

from certlip.training.interval.loss import IntervalCrossEntropy as IntervalCrossEntropy
