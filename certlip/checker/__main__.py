"""`python -m certlip.checker FILE`: exit code 0 accepted, 1 rejected, 2 unreadable."""

import argparse
import sys

from certlip.checker import CertificateError, check_certificate


def main(arguments: list[str] | None = None) -> int:
    """Check one file and print the verdict."""
    parser = argparse.ArgumentParser(prog="python -m certlip.checker", description=__doc__)
    parser.add_argument("file")
    try:
        verdict = check_certificate(parser.parse_args(arguments).file)
    except CertificateError as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 2
    for name, detail in verdict.checks:
        print(f"{name}: {detail}")
    print(f"{'accepted' if verdict.accepted else 'REJECTED'}: {verdict.reason}")
    return 0 if verdict.accepted else 1


if __name__ == "__main__":
    sys.exit(main())
