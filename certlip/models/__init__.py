"""Whole architectures, built from layers and equilibria: families by size, networks by name."""

from certlip.models.base import Model as Model
from certlip.models.boxed import BOXED as BOXED
from certlip.models.build import build as build
from certlip.models.build import check_family as check_family
from certlip.models.families import MODELS as MODELS
from certlip.models.implicit import GMonDEQClassifier as GMonDEQClassifier
from certlip.models.implicit import LBENClassifier as LBENClassifier
from certlip.models.implicit import MonDEQClassifier as MonDEQClassifier
from certlip.models.implicit_image import GMonDEQConvClassifier as GMonDEQConvClassifier
from certlip.models.implicit_image import LBENConvClassifier as LBENConvClassifier
from certlip.models.implicit_image import MonDEQConvClassifier as MonDEQConvClassifier
from certlip.models.named import NAMED as NAMED
from certlip.models.residual import CPLClassifier as CPLClassifier
from certlip.models.residual import SLLClassifier as SLLClassifier
from certlip.models.residual_image import CPLConvClassifier as CPLConvClassifier
from certlip.models.residual_image import SLLConvClassifier as SLLConvClassifier
from certlip.models.sequential import AOLClassifier as AOLClassifier
from certlip.models.sequential import SandwichClassifier as SandwichClassifier
from certlip.models.sequential_image import AOLConvClassifier as AOLConvClassifier
from certlip.models.sequential_image import SandwichConvClassifier as SandwichConvClassifier
