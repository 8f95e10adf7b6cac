"""A structured interior-point solver for multipliers: a Newton step is a handful of matrix products."""
