#!/bin/sh
# The MNIST rows of docs/results.md: about 6 minutes on one CPU core for each seed.
# usage: examples/reproduce/mnist.sh DATA_DIR OUT [SEED]
set -eu
data=$1 out=$2 seed=${3:-0}

# Lip-MonDEQ into OUT/origin, then the LBEN that begins with it
certlip train --recipe havens2023-mnist-lben --split train-full --data-dir "$data" \
    --seed "$seed" --threads 1 --out "$out"
for model in "$out/origin/model.pt" "$out/model.pt"; do
    certlip certify "$model" --dataset mnist --data-dir "$data" --threads 1
done
