"""From a proven network and data to certified radii: enclosure, margins, radii, attacks."""

from certlip.certify.attack import Falsification as Falsification
from certlip.certify.attack import falsify as falsify
from certlip.certify.document import certify_document as certify_document
from certlip.certify.document import sample_rows as sample_rows
from certlip.certify.eps import Eps as Eps
from certlip.certify.eps import parse_eps as parse_eps
from certlip.certify.radii import Certifier as Certifier
from certlip.certify.radii import Radii as Radii
from certlip.certify.radii import certify as certify
from certlip.certify.radii import check_samples as check_samples
from certlip.certify.status import Status as Status
