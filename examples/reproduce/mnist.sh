#!/bin/sh
# The MNIST rows of docs/results.md: about 20 minutes on one CPU core for each seed, of which the first row
# and the LBEN that begins with it take 5.
# usage: examples/reproduce/mnist.sh DATA_DIR OUT [SEED]
set -eu
data=$1 out=$2 seed=${3:-0}

# an origin (Lip-MonDEQ, Sandwich, SLL) into OUT/RECIPE/origin, then the LBEN that begins with it into
# OUT/RECIPE; the same command goes on where it stopped
for recipe in havens2023-mnist-lben mnist-sandwich-lben mnist-sll-lben; do
    certlip train --recipe "$recipe" --split train-full --data-dir "$data" \
        --seed "$seed" --threads 1 --resume --out "$out/$recipe"
    for model in "$out/$recipe/origin/model.pt" "$out/$recipe/model.pt"; do
        certlip certify "$model" --dataset mnist --data-dir "$data" --threads 1
    done
done
