#!/usr/bin/env bash
# Trains a language model of pocket size from nothing: bash scripts/train_pocket_model.sh OUT [REAL_SLIDE …]
# Synthetic slides, their results and lessons, then the three stages; some hours on two cores. What is there is kept.
set -euo pipefail
out=$(realpath -m "$1"); shift
python -m napari_hwsi.training.lessons "$out" --workers 2 ${1:+--real "$@"}
run() { # stage, files of training, file of validation, more settings
  local stage=$1 files=$2 valid=$3; shift 3
  napari-hwsi train "$stage" "pocket-$stage" --device cpu --set "out=$out/runs/$stage" \
    --set "data.files=[$files]" --set "data.validation=[$valid]" --set "data.stores=[$out/results]" "$@"
}
run stage1 "$out/train-reports.csv, $out/large-reports.csv" "$out/valid-reports.csv"
run stage2 "$out/train-captions.csv, $out/large-captions.csv" "$out/valid-captions.csv" \
  --set "start=$out/runs/stage1/model"
run stage3 "$out/train.csv, $out/large.csv" "$out/valid.csv" --set "start=$out/runs/stage2/model"
