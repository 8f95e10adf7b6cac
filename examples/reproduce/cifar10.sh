#!/bin/sh
# The CIFAR-10 rows of the paper's Table 1: 1,000 epochs, then 40 of fine-tuning. For a GPU, or several:
#   RUN="torchrun --nproc-per-node gpu -m certlip_cli" examples/reproduce/cifar10.sh DATA_DIR OUT
# usage: examples/reproduce/cifar10.sh DATA_DIR OUT [SEED]
set -eu
data=$1 out=$2 seed=${3:-0} run=${RUN:-certlip}

# the SLL network into OUT/origin, then the LBENs that begin with it; the same command goes on where it stopped
$run train --recipe havens2023-cifar10-lben --split train-full --data-dir "$data" \
    --seed "$seed" --resume --out "$out"
for model in "$out/origin/model.pt" "$out/model.pt"; do
    certlip certify "$model" --dataset cifar10 --data-dir "$data"
done
