"""`python -m certlip_cli`, for launchers that start modules."""

from .main import main

main()
