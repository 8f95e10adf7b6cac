"""`python -m certlip.checker FILE`: exit code 0 accepted, 1 rejected, 2 unreadable."""

import argparse
import sys

from certlip.checker.check import check_certificate
from certlip.checker.verdict import CertificateError


def main(arguments: list[str] | None = None) -> int:
    """Check one file and print the verdict."""
    parser = argparse.ArgumentParser(prog="python -m certlip.checker", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--model-sha256", help="reject any other network")
    parser.add_argument("--data-sha256", help="reject any other inputs and labels")
    options = parser.parse_args(arguments)
    try:
        verdict = check_certificate(
            options.file, model_sha256=options.model_sha256, data_sha256=options.data_sha256
        )
    except CertificateError as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 2
    for name, detail in verdict.checks:
        print(f"{name}: {detail}")
    print(f"{'accepted' if verdict.accepted else 'REJECTED'}: {verdict.reason}")
    return 0 if verdict.accepted else 1


if __name__ == "__main__":
    sys.exit(main())
