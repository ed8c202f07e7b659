"""Real processes that tag at once, and one that is killed."""

import os
import re
import signal
import subprocess
import sys
import time

from shared_repository import clone, git, hook, refs

NAME = "god_base/v1.0.0"
CODE = """
import sys, time, pathlib
from admlops.data_release.repository.tag import tag
from admlops.errors import AdmlopsError
go = pathlib.Path(sys.argv[2])
pathlib.Path(sys.argv[3]).touch()
while not go.exists():
    time.sleep(0.005)
try:
    print("WON", tag(sys.argv[1], "god_base/v1.0.0").tag.sha)
except AdmlopsError as error:
    print("LOST", error)
"""
ENV = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def start(folder, tmp_path, number=0):
    ready = tmp_path / f"ready{number}"
    command = [sys.executable, "-c", CODE, str(folder), str(tmp_path / "go"), str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV, start_new_session=True)
    return process, ready


def wait_for(*paths):
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.01)


def race(folders, tmp_path):
    started = [start(folder, tmp_path, i) for i, folder in enumerate(folders)]
    wait_for(*(ready for _, ready in started))
    (tmp_path / "go").touch()
    return [process.communicate(timeout=120)[0] for process, _ in started]


def test_of_eight_clones_one_wins_and_seven_are_told_who(remote, tmp_path):
    people = [f"Person{i}" for i in range(8)]
    folders = [clone(remote, tmp_path / person, person) for person in people]
    # All of them ask before the first one has finished, so that the push decides.
    hook(remote, "pre-receive", "sleep 0.4")
    answers = race(folders, tmp_path)
    won = [i for i, answer in enumerate(answers) if answer.startswith("WON")]
    assert len(won) == 1, answers
    winner = people[won[0]]
    assert git(remote, "rev-parse", NAME) == answers[won[0]].split()[1]
    for i, answer in enumerate(answers):
        if i != won[0]:
            assert re.search(rf"(?s)LOST \[E207\].*exists at origin already.*made by {winner} <", answer), answer
            assert refs(folders[i]) == {"refs/heads/main"}
    assert refs(folders[won[0]]) == {"refs/heads/main", f"refs/tags/{NAME}"}


def test_of_three_processes_in_one_clone_one_wins(ada, tmp_path):
    answers = race([ada] * 3, tmp_path)
    assert sorted(answer[:4] for answer in answers) == ["LOST", "LOST", "WON "], answers
    assert all("made by Ada" in answer for answer in answers if answer.startswith("LOST"))


def kill_while(ada, tmp_path, sign):
    process, ready = start(ada, tmp_path)
    (tmp_path / "go").touch()
    wait_for(ready, sign)
    os.killpg(process.pid, signal.SIGKILL)  # its own session: itself and the git that it runs
    process.communicate()


def test_killed_before_the_push_the_next_run_begins_anew(ada, remote, tmp_path):
    sign = tmp_path / "pushing"
    hook(ada, "pre-push", f"touch {sign}; sleep 30")
    kill_while(ada, tmp_path, sign)
    assert refs(ada) == {"refs/heads/main", f"refs/admlops/pending/{NAME}"}
    (ada / ".git" / "hooks" / "pre-push").unlink()
    (answer,) = race([ada], tmp_path)
    assert answer.split() == ["WON", git(remote, "rev-parse", NAME)]
    assert refs(ada) == {"refs/heads/main", f"refs/tags/{NAME}"}


def test_killed_after_the_push_the_next_run_finishes_it(ada, remote, tmp_path):
    sign = tmp_path / "pushed"
    hook(remote, "post-receive", f"touch {sign}; sleep 30")
    kill_while(ada, tmp_path, sign)
    there = git(remote, "rev-parse", NAME)
    assert refs(ada) == {"refs/heads/main", f"refs/admlops/pending/{NAME}"}
    (answer,) = race([ada], tmp_path)
    assert answer.split() == ["WON", there]
    assert refs(ada) == {"refs/heads/main", f"refs/tags/{NAME}"}
