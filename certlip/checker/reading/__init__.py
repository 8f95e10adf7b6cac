"""Reading a certificate file: a zip archive, JSON and arrays. Nothing is proven here.

Sizes are compared with limits before anything is decompressed, no more than the declared size is
ever read, and nothing is unpickled. A hostile file may raise nearly any exception.
"""

from certlip.checker.reading.container import unpack as unpack
from certlip.checker.reading.document import CertificateError as CertificateError
from certlip.checker.reading.document import Rejected as Rejected
from certlip.checker.reading.document import field as field
from certlip.checker.reading.document import number as number
from certlip.checker.reading.document import only as only
from certlip.checker.reading.document import rational as rational
from certlip.checker.reading.document import take as take
