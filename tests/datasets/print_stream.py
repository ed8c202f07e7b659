"""Print the samples that a training would see, batch by batch; started and killed by test_resume_after_kill."""

import json
import sys
import zlib
from pathlib import Path

from mmengine.runner import Runner

from admlops.datasets import ReleaseDataset, ReleaseSampler, init_worker
from admlops.datasets.transforms import LoadImage, LoadLabels, PackMultiTask, Photometric, RandomCrop, RandomFlip

ROOT, STATE = Path(sys.argv[1]), Path(sys.argv[2])


def main() -> None:
    steps = [LoadImage(), LoadLabels(), RandomCrop((32, 48)), RandomFlip(), Photometric(), PackMultiTask()]
    dataset = ReleaseDataset({"root": str(ROOT)}, ["det_person"], steps)
    loader = Runner.build_dataloader(
        {
            "dataset": dataset,
            "sampler": {"type": ReleaseSampler, "shuffle_window": 5},
            "batch_size": 2,
            "num_workers": 2,
            "worker_init_fn": {"type": init_worker},
        },
        seed=11,
    )
    if STATE.exists():
        loader.sampler.load_state_dict(json.loads(STATE.read_text()))
    consumed = loader.sampler.samples_consumed
    for batch in loader:
        consumed += 2
        loader.sampler.set_samples_consumed(consumed)
        # The state first: what is printed is what a completed step has recorded.
        temporary = STATE.with_suffix(".tmp")
        temporary.write_text(json.dumps(loader.sampler.state_dict()))
        temporary.rename(STATE)
        for inputs, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            print(sample.sample_id, zlib.crc32(inputs.numpy().tobytes()), flush=False)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
