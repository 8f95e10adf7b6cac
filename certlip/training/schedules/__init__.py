"""Learning-rate schedules. To add one: its file, a line here, a test row."""

from certlip.training.schedules.base import Schedule as Schedule
from certlip.training.schedules.constant import Constant
from certlip.training.schedules.cosine import Cosine
from certlip.training.schedules.knee import Knee
from certlip.training.schedules.triangular import Triangular

SCHEDULES: dict[str, type[Schedule]] = {
    Triangular.name: Triangular,
    Knee.name: Knee,
    Cosine.name: Cosine,
    Constant.name: Constant,
}
