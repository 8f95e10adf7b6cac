"""From a proven network and data to certified radii: enclosure, margins, radii, attacks."""

from certlip.certify.attacks import Counterexample as Counterexample
from certlip.certify.attacks import Falsification as Falsification
from certlip.certify.attacks import falsify as falsify
from certlip.certify.document import LinfPart as LinfPart
from certlip.certify.document import certify_document as certify_document
from certlip.certify.eps import Eps as Eps
from certlip.certify.eps import parse_eps as parse_eps
from certlip.certify.norms import parse_norms as parse_norms
from certlip.certify.radii import Certifier as Certifier
from certlip.certify.radii import Radii as Radii
from certlip.certify.radii import certify as certify
from certlip.certify.radii import certify_with as certify_with
from certlip.certify.rows import is_row as is_row
from certlip.certify.rows import radii_of_rows as radii_of_rows
from certlip.certify.rows import sample_rows as sample_rows
from certlip.certify.samples import check_samples as check_samples
from certlip.certify.states import StatesFiles as StatesFiles
from certlip.certify.states import state_blocks as state_blocks
from certlip.certify.status import Status as Status
from certlip.certify.tally import Tally as Tally
