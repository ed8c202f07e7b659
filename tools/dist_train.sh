#!/usr/bin/env bash
# Train with NUM processes, one a GPU, or on the CPU where there is none.
#   bash tools/dist_train.sh CONFIG NUM [options of tools/train.py]
set -euo pipefail
config=${1:?CONFIG is missing} num=${2:?NUM of processes is missing}; shift 2
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
here="$(cd "$(dirname "$0")" && pwd)"
if [ -n "${MASTER_ADDR:-}" ]; then
  rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --master_addr="$MASTER_ADDR" --master_port="${PORT:-29500}")
else
  rendezvous=(--standalone)
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$num" \
  "$here/train.py" "$config" --launcher pytorch "$@"
