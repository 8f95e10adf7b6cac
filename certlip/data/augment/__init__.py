"""Random changes of training images, whole batches at a time. To add one: a file, a line here, a test.

torch.manual_seed(0)
x = Flip().apply(x, torch.rand(len(x), Flip.numbers))       # x (n, c, h, w) in [0, 1]
"""

from certlip.data.augment.base import Augmentation as Augmentation
from certlip.data.augment.crop import Crop
from certlip.data.augment.flip import Flip
from certlip.data.augment.jitter import Jitter

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    Crop.name: Crop,
    Flip.name: Flip,
    Jitter.name: Jitter,
}
