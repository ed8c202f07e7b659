"""Make ``.venv`` with everything pinned, the links to data and models, and the sample release. Standard library only.

Run it through ``make setup``. Each step is keyed by what it depends on and skipped while that key stands in the stamp, so
that a second run costs a second and a changed requirements file repeats its own step only.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from admlops.errors import AdmlopsError, MachineError  # noqa: E402  neither module needs anything installed
from admlops.project import link_folder  # noqa: E402

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
COMPILERS = ("c++", "g++", "clang++")
NEEDED_GB = {"cpu": 4.0, "gpu": 12.0}
NEEDED_TEMP_GB = 1.0
# One compiler process of mmcv's build takes up to this much.
COMPILE_JOB_GB = 2.0
# `import mmcv.ops` alone would not notice operators built for another PyTorch.
CHECK_MMCV = """
import sys, torch, mmcv
from mmcv.ops import nms
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist()
sys.exit(0 if kept == [0, 2] and mmcv.__version__ == sys.argv[1] else 1)
"""


@dataclass(frozen=True)
class Step:
    """One part of the set-up."""

    name: str  # identifier in the stamp
    says: str  # what it is going to do, for people
    key: str  # digest of all that its result depends on
    run: Callable[[], None]


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def digest(*parts: str) -> str:
    """Hash texts into a short key."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_pins(path: Path) -> str:
    """Read a requirements file without comments, so that a changed comment repeats no step."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line)


def folder_gb(path: Path) -> float:
    """Measure what a folder takes on disk, in GB."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
    return total / 1e9


def duration(seconds: float) -> str:
    """Write a duration the way people read it."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def find_compiler() -> str | None:
    """Find a C++ compiler that starts; ``$CXX`` first."""
    for name in (os.environ.get("CXX"), *COMPILERS):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def has_nvidia_gpu() -> bool:
    """Say whether a driver with a GPU answers."""
    if shutil.which("nvidia-smi") is None:
        return False
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "GPU" in done.stdout


class Environment:
    """The virtual environment of a checkout and the steps that make it.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.log = self.venv / "setup.log"
        self.stamp_path = self.venv / "setup-stamp.json"
        self.requirements = root / "requirements"
        # These would send packages elsewhere or bring in foreign ones.
        foreign = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
        self.environ = {name: value for name, value in os.environ.items() if name not in foreign}
        self.environ |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONNOUSERSITE": "1"}
        self.gpu = has_nvidia_gpu()

    def call(
        self, command: Sequence[str | Path], *, environ: dict[str, str] | None = None, progress: bool = False
    ) -> list[str]:
        """Run a command into the log and return its last lines; on failure show them."""
        words = [str(word) for word in command]
        tail: deque[str] = deque(maxlen=40)
        next_note = time.monotonic() + 60
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"\n$ {' '.join(words)}\n")
            process = subprocess.Popen(
                words,
                cwd=self.root,
                env=self.environ | (environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            for line in process.stdout or ():
                log.write(line)
                tail.append(line)
                counted = re.match(r"\s*\[(\d+)/(\d+)\]", line) if progress else None
                if counted and time.monotonic() > next_note:
                    next_note += 60
                    say(f"      compiled {counted[1]} of {counted[2]} files")
            code = process.wait()
        if code != 0:
            raise MachineError(
                f"this command failed with exit status {code}: {' '.join(words)}\n{''.join(tail)}",
                where=self.log,
                remedy="mend what the last lines name, and repeat: finished steps are not repeated",
            )
        return [line.rstrip() for line in tail]

    def pip(self, *words: str | Path, environ: dict[str, str] | None = None, progress: bool = False) -> None:
        """Run pip of the environment."""
        self.call([self.python, "-m", "pip", *words], environ=environ, progress=progress)

    def answer(self, code: str, *words: str) -> str | None:
        """Run Python code in the environment and return what it prints, or None where it fails."""
        command = [str(self.python), "-W", "ignore", "-c", code, *words]
        environ = self.environ | {"CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, cwd=self.venv, env=environ, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def make_venv(self) -> None:
        """Make the environment anew, unless one of the same Python is there and was not moved."""
        version = self.answer("import sys, pip; print('%d.%d' % sys.version_info[:2])") if self.python.exists() else None
        moved = self.read_stamp().get("root", str(self.root)) != str(self.root)
        if version != "{}.{}".format(*sys.version_info[:2]) or moved:
            base = getattr(sys, "_base_executable", sys.executable)
            done = subprocess.run([base, "-m", "venv", "--clear", str(self.venv)], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise MachineError(f"{base} -m venv failed:\n{done.stdout}{done.stderr}")
        self.write_stamp({"root": str(self.root), "steps": {}})

    def install_pins(self, name: str, *options: str) -> Callable[[], None]:
        """Return a step that installs one requirements file."""
        # The constraints are what Python 3.11 resolved to.
        constraints: list[str | Path] = ["-c", self.requirements / "constraints.txt"] if sys.version_info[:2] == (3, 11) else []
        extra = [] if "--no-deps" in options else constraints
        return lambda: self.pip("install", *options, "-r", self.requirements / f"{name}.txt", *extra)

    def install_torch(self) -> None:
        """Install PyTorch: the CPU build where there is no GPU to use, since PyPI's brings gigabytes of CUDA on Linux."""
        pins = self.requirements / "torch.txt"
        chosen = os.environ.get("ADMLOPS_TORCH_INDEX")
        if chosen:
            self.pip("install", "--no-deps", "--index-url", chosen, "-r", pins)
        elif sys.platform == "linux" and not self.gpu:
            try:
                self.pip("install", "--no-deps", "--timeout", "15", "--retries", "1", "--index-url", CPU_INDEX, "-r", pins)
            except MachineError:
                say(
                    f"      {CPU_INDEX} does not answer: taking PyPI's build, which may bring about 5 GB of CUDA libraries.\n"
                    "      Another index with CPU builds: make setup ADMLOPS_TORCH_INDEX=URL"
                )
        # What PyTorch drags in (and PyTorch itself, where no index was asked for) comes from the usual index.
        self.install_pins("torch")()

    def install_mmcv(self) -> None:
        """Install mmcv with CPU operators: from this machine's cache of wheels, or built."""
        version = read_pins(self.requirements / "mmcv.txt").partition("==")[2]
        torch_version = self.answer("import torch; print(torch.__version__)")
        if torch_version is None:
            raise MachineError("PyTorch cannot be imported", where=self.venv, remedy="rm -rf .venv && make setup")
        if self.answer(CHECK_MMCV, version) is not None:
            say("      already there, and its operators work")
            return
        cache = Path(self.environ.get("ADMLOPS_CACHE") or Path("~/.cache/admlops")).expanduser() / "wheels"
        cache /= f"torch{torch_version}-cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}"
        for wheel in sorted(cache.glob(f"mmcv-{version}-*.whl")):
            self.pip("install", "--no-deps", "--force-reinstall", wheel)
            if self.answer(CHECK_MMCV, version) is not None:
                say(f"      reused {wheel}")
                return
            wheel.unlink()
        free_gb = available_memory_gb()
        jobs = max(1, min(len(os.sched_getaffinity(0)), int(free_gb / COMPILE_JOB_GB)))
        say(f"      compiling with {jobs} jobs: about {14 / jobs + 1:.0f} minutes; once a machine, kept in {cache}")
        build = {"MMCV_WITH_OPS": "1", "FORCE_CUDA": "0", "CUDA_VISIBLE_DEVICES": "", "MAX_JOBS": str(jobs)}
        # Debug symbols would triple the wheel; pip's own cache would hand out operators built for another PyTorch.
        build["CFLAGS"] = f"{self.environ.get('CFLAGS', '')} -g0".strip()
        build["PATH"] = f"{self.python.parent}{os.pathsep}{self.environ.get('PATH', '')}"
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            pins = self.requirements / "mmcv.txt"
            options = ("--verbose", "--no-deps", "--no-build-isolation", "--no-cache-dir")
            self.pip("wheel", *options, "-w", scratch, "-r", pins, environ=build, progress=True)
            built = next(Path(scratch).glob("mmcv-*.whl"))
            wheel = cache / built.name
            built.replace(wheel)
        self.pip("install", "--no-deps", "--force-reinstall", wheel)
        if self.answer(CHECK_MMCV, version) is None:
            wheel.unlink()
            raise MachineError(f"mmcv was built, but its operators do not work with PyTorch {torch_version}", where=self.log)

    def install_editable(self, folder: Path) -> Callable[[], None]:
        """Return a step that installs a package of the checkout; --no-deps because the pins are its dependencies."""
        return lambda: self.pip("install", "--no-deps", "--no-build-isolation", "-e", folder)

    def steps(self) -> Iterator[Step]:
        """List the steps in their order."""
        pins = {name: read_pins(self.requirements / f"{name}.txt") for name in (
            "build", "torch", "runtime", "openmmlab", "mmcv", "lidar", "deploy", "tests", "constraints",
        )}  # fmt: skip
        python = "{}.{}".format(*sys.version_info[:2])
        torch = digest(python, pins["torch"], os.environ.get("ADMLOPS_TORCH_INDEX", ""))
        kind = "the build with CUDA" if self.gpu else "the CPU build where it can be had"
        packaging = "".join((self.root / name).read_text(encoding="utf-8") for name in ("setup.py", "admlops/__init__.py"))
        plug_in = self.root / "projects" / "god"
        plug_in_key = digest((plug_in / "setup.py").read_text(encoding="utf-8"), str(self.root))
        yield Step("venv", f"virtual environment .venv (Python {python})", digest(python, str(self.root)), self.make_venv)
        yield Step("build", "build tools", digest(pins["build"]), self.install_pins("build"))
        yield Step("torch", f"{pins['torch']}, {kind}", torch, self.install_torch)
        runtime_key = digest(pins["runtime"], pins["constraints"])
        yield Step("runtime", "libraries (numpy, OpenCV, ...)", runtime_key, self.install_pins("runtime"))
        openmmlab = pins["openmmlab"].replace("\n", ", ")
        yield Step("openmmlab", openmmlab, digest(openmmlab), self.install_pins("openmmlab", "--no-deps"))
        yield Step("mmcv", f"{pins['mmcv']} with CPU operators", digest(torch, pins["mmcv"]), self.install_mmcv)
        yield Step("lidar", "mmdet3d and what it imports", digest(pins["lidar"]), self.install_pins("lidar", "--no-deps"))
        deploy_key = digest(pins["deploy"], pins["constraints"])
        yield Step("deploy", "export and its runtimes (ONNX Runtime, OpenVINO)", deploy_key, self.install_pins("deploy"))
        tests_key = digest(pins["tests"], pins["constraints"])
        yield Step("tests", "test tools (pytest, ruff, mypy, ...)", tests_key, self.install_pins("tests"))
        yield Step("admlops", "this package, editable", digest(packaging, str(self.root)), self.install_editable(self.root))
        yield Step("god", "the lidar plug-in of projects/god, editable", plug_in_key, self.install_editable(plug_in))

    def read_stamp(self) -> dict[str, object]:
        """Read what was done; empty where nothing was."""
        try:
            stamp = json.loads(self.stamp_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def write_stamp(self, stamp: dict[str, object]) -> None:
        """Write the stamp in one piece."""
        scratch = self.stamp_path.with_suffix(".tmp")
        scratch.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        scratch.replace(self.stamp_path)

    def pending(self) -> list[Step]:
        """List the steps that are not done, or done with other pins."""
        done = self.read_stamp().get("steps", {}) if self.python.exists() else {}
        steps = list(self.steps())
        left = [step for step in steps if not isinstance(done, dict) or done.get(step.name) != step.key]
        # A new environment is empty whatever the stamp said.
        return steps if left and left[0].name == "venv" else left

    def check_machine(self, pending: Sequence[Step]) -> None:
        """Raise MachineError before the first download where the pending steps lack a compiler or space."""
        names = {step.name for step in pending}
        if "mmcv" in names and find_compiler() is None:
            raise MachineError(
                "no C++ compiler was found, and mmcv has to be compiled; nothing was downloaded or changed",
                expected=f"one of {', '.join(COMPILERS)} on PATH, or CXX=/path/to/compiler",
                got="none that starts",
                remedy="Debian, Ubuntu: sudo apt install g++; Fedora: sudo dnf install gcc-c++; "
                "conda: conda install -c conda-forge cxx-compiler",
            )
        spaces = []
        if "torch" in names:
            spaces.append((self.root, NEEDED_GB["gpu" if self.gpu else "cpu"], "choose another place for the checkout"))
        if "mmcv" in names:
            spaces.append((Path(tempfile.gettempdir()), NEEDED_TEMP_GB, "set TMPDIR to a larger place"))
        for place, needed_gb, remedy in spaces:
            free_gb = shutil.disk_usage(place).free / 1e9
            if free_gb < needed_gb:
                raise MachineError(
                    "too little space; nothing was downloaded or changed",
                    where=place,
                    expected=f"{needed_gb:.0f} GB free",
                    got=f"{free_gb:.1f} GB",
                    remedy=f"free some space, or {remedy}",
                )

    def set_up(self) -> None:
        """Run the steps that are pending and say what they cost."""
        pending = self.pending()
        if not pending:
            say(f"Set-up is up to date: .venv, {self.read_stamp().get('size_gb', 0)} GB.")
            return
        self.check_machine(pending)
        begin, size_gb = time.monotonic(), folder_gb(self.venv)
        for number, step in enumerate(pending, 1):
            say(f"[{number}/{len(pending)}] {step.says}")
            step_begin, before_gb = time.monotonic(), size_gb
            step.run()
            size_gb = folder_gb(self.venv)
            stamp = self.read_stamp()
            done = stamp.get("steps")
            steps = {**done, step.name: step.key} if isinstance(done, dict) else {step.name: step.key}
            self.write_stamp({"root": str(self.root), "size_gb": round(size_gb, 2), "steps": steps})
            say(f"      {duration(time.monotonic() - step_begin)}, {size_gb - before_gb:+.2f} GB")
        say(f"Set up in {duration(time.monotonic() - begin)}; .venv takes {size_gb:.2f} GB. Log: {self.log}")


def available_memory_gb() -> float:
    """Read how much memory can be had without swapping, in GB."""
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024 / 1e9
    return 4.0


def render_sample(environment: Environment) -> None:
    """Render the sample release; the renderer keeps what is there from itself."""
    sample = environment.root / "data" / "sample"
    if not sample.exists():
        say("Rendering the sample release into data/sample (under two minutes)")
    output = environment.call([environment.python, environment.root / "tools" / "render_sample.py", "--out-dir", sample])
    say(next((line for line in output if str(sample) in line), f"{sample}: rendered"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Set the checkout up, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-sample", action="store_true", help="do not render data/sample")
    options = parser.parse_args(arguments)
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Waiting for another set-up of this checkout")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        environment = Environment(ROOT)
        environment.set_up()
        for name, variable in (("data", "DATASET"), ("checkpoints", "MODELZOO")):
            note = link_folder(ROOT / name, variable)
            if note:
                say(note)
        if not options.no_sample:
            render_sample(environment)
    except AdmlopsError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
