"""The command line of certlip: Typer commands of a few lines over public functions."""
