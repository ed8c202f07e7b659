import contextlib
import os
import signal
import subprocess
import sys
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


def train(pid_file):
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


def wait_until(is_done, seconds):
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_ends_with_a_training_that_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    # A session of its own, so that nothing is left of it whatever fails; and no stream of ours, which a worker left over would
    # hold open.
    training = subprocess.Popen(
        [sys.executable, __file__, pid_file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60)
        worker = int(pid_file.read_text())
        os.kill(training.pid, signal.SIGKILL)
        training.wait()
        wait_until(lambda: not is_running(worker), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(training.pid, signal.SIGKILL)
        training.wait()


if __name__ == "__main__":
    train(Path(sys.argv[1]))
