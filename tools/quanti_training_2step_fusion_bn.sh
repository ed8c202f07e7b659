#!/usr/bin/env bash
# Train in float, with the trunk's BN absorbed, with the branches' BN absorbed, convert to integers, and compare all of them in one
# table. What is done is skipped, what was broken off goes on.
#   bash tools/quanti_training_2step_fusion_bn.sh --config CONFIG [--work-dir D] [--gpus N] [--pipeline-test] [options of tools/train.py]
set -euo pipefail
usage="usage: $0 --config CONFIG [--work-dir D] [--gpus N] [--pipeline-test] [options of tools/train.py]"
config="" gpus=1 options=() common=()
while [ $# -gt 0 ]; do
  case "$1" in
    --config) config="${2:?$usage}"; shift 2 ;;
    --gpus) gpus="${2:?$usage}"; shift 2 ;;
    # What the comparison at the end takes as well.
    --work-dir) common+=("$1" "${2:?$usage}"); shift 2 ;;
    --pipeline-test) common+=("$1"); shift ;;
    --cfg-options)
      common+=("$1"); shift
      while [ $# -gt 0 ] && [[ "$1" != --* ]]; do common+=("$1"); shift; done ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) options+=("$1"); shift ;;
  esac
done
[ -n "$config" ] || { echo "$usage" >&2; exit 2; }
here="$(cd "$(dirname "$0")" && pwd)"
for step in 0 1 2 3; do
  # The conversion has nothing to share.
  if [ "$gpus" -gt 1 ] && [ "$step" -lt 3 ]; then
    bash "$here/dist_train.sh" "$config" "$gpus" --step "$step" --if-needed "${common[@]}" "${options[@]}"
  else
    "${PYTHON:-python}" "$here/train.py" "$config" --step "$step" --if-needed "${common[@]}" "${options[@]}"
  fi
done
"${PYTHON:-python}" "$here/parity.py" "$config" "${common[@]}"
