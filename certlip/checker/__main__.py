"""`python -m certlip.checker FILE`: exit code 0 accepted, 1 rejected, 2 unreadable."""

import sys

from certlip.checker import CertificateError, check_certificate


def main(arguments: list[str]) -> int:
    """Check one file and print the verdict."""
    try:
        verdict = check_certificate(*arguments)
    except (CertificateError, TypeError) as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 2
    print(*(f"{name}: {detail}" for name, detail in verdict.checks), sep="\n")
    print(f"{'accepted' if verdict.accepted else 'REJECTED'}: {verdict.reason}")
    return 0 if verdict.accepted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
