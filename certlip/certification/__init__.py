"""From a proven network and data to certified radii: enclosure, margins, radii, attacks."""

from certlip.certification.attacks import Counterexample as Counterexample
from certlip.certification.attacks import Falsification as Falsification
from certlip.certification.attacks import falsify as falsify
from certlip.certification.certifier import Certifier as Certifier
from certlip.certification.certifier import certify as certify
from certlip.certification.certifier import certify_with as certify_with
from certlip.certification.document import LinfPart as LinfPart
from certlip.certification.document import certify_document as certify_document
from certlip.certification.eps import Eps as Eps
from certlip.certification.eps import parse_eps as parse_eps
from certlip.certification.norms import parse_norms as parse_norms
from certlip.certification.radii import Radii as Radii
from certlip.certification.rows import is_row as is_row
from certlip.certification.rows import radii_of_rows as radii_of_rows
from certlip.certification.rows import sample_rows as sample_rows
from certlip.certification.samples import check_samples as check_samples
from certlip.certification.states import StatesFiles as StatesFiles
from certlip.certification.states import state_blocks as state_blocks
from certlip.certification.status import Status as Status
from certlip.certification.tally import Tally as Tally
