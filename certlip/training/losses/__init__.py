"""What a training step makes smaller. To add a loss: its file, a line here, a test row."""

from certlip.training.interval.loss import IntervalCrossEntropy
from certlip.training.losses.base import LogitLoss as LogitLoss
from certlip.training.losses.base import Loss as Loss
from certlip.training.losses.cross_entropy import CrossEntropy
from certlip.training.losses.cross_entropy import margin_cross_entropy as margin_cross_entropy
from certlip.training.losses.multi_margin import MultiMargin

LOSSES: dict[str, type[Loss]] = {
    CrossEntropy.name: CrossEntropy,
    MultiMargin.name: MultiMargin,
    IntervalCrossEntropy.name: IntervalCrossEntropy,
}
