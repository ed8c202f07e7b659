import multiprocessing
import os
import signal
import time
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from admlops.datasets import init_worker


class LargeSamples(Dataset):
    """More than a pipe holds: a worker that sends one waits until it is read."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        return os.getpid(), bytes(1 << 20)


def load(pid_file):
    loader = DataLoader(
        LargeSamples(), num_workers=1, worker_init_fn=init_worker, collate_fn=list, multiprocessing_context="fork"
    )
    batches = iter(loader)
    ((pid, _),) = next(batches)
    pid_file.write_text(str(pid))
    time.sleep(600)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_ends_with_a_training_that_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    training = multiprocessing.get_context("fork").Process(target=load, args=(pid_file,))
    training.start()
    deadline = time.monotonic() + 30
    while not pid_file.exists() or not pid_file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker = int(pid_file.read_text())
    os.kill(training.pid, signal.SIGKILL)
    training.join()
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.1)
