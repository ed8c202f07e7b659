#!/usr/bin/env bash
# Test with NUM processes, one a GPU, or on the CPU where there is none.
#   bash tools/dist_test.sh CONFIG CHECKPOINT NUM [options of tools/test.py]
set -euo pipefail
config=${1:?CONFIG is missing} checkpoint=${2:?CHECKPOINT is missing} num=${3:?NUM of processes is missing}; shift 3
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
here="$(cd "$(dirname "$0")" && pwd)"
if [ -n "${MASTER_ADDR:-}" ]; then
  rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --master_addr="$MASTER_ADDR" --master_port="${PORT:-29500}")
else
  rendezvous=(--standalone)
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$num" \
  "$here/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
