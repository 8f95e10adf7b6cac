"""The commands as functions: the same proofs, and results that are the same documents.

network = certlip.freeze(model, (1, 28, 28))
result = certlip.certify(network, x, label, eps="36/255,1")
result.certified_accuracy["36/255"]
"""
