"""How much room a producer leaves for a checker that rounds in another order."""

#: Every allowance for rounding is taken this many times in the proofs and enclosures that end up in a
#: certificate, so that an independent implementation of the same bounds accepts what was claimed.
SLACK = 2.0
