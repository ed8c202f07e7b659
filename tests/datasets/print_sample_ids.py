"""Print the ids and places of samples as they come through workers; started and killed by test_stream_through_loader."""

import json
import sys
from pathlib import Path

from test_stream_through_loader import SampleIds, one_thread
from torch.utils.data import DataLoader

from admlops.datasets import ReleaseDataset, ReleaseSampler

ROOT, STATE, METHOD = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
BATCH = 3


def main() -> None:
    dataset = ReleaseDataset({"root": str(ROOT)}, ["det_person"])
    sampler = ReleaseSampler(dataset, seed=5, mix="source_balanced")
    if STATE.exists():
        sampler.load_state_dict(json.loads(STATE.read_text()))
    started = {"num_workers": 2 if METHOD == "fork" else 1, "multiprocessing_context": METHOD, "worker_init_fn": one_thread}
    consumed = sampler.samples_consumed
    for batch in DataLoader(SampleIds(dataset), BATCH, sampler=sampler, collate_fn=list, **started):
        consumed += BATCH
        sampler.set_samples_consumed(consumed)
        temporary = STATE.with_suffix(".tmp")
        temporary.write_text(json.dumps(sampler.state_dict()))
        temporary.rename(STATE)
        sys.stdout.write("".join(f"{name} {position}\n" for name, _, position in batch))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
