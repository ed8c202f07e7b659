"""The set-up: which Python is taken, what stops it before the first download, what a second run repeats."""

import importlib.util
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from admlops.errors import ConfigError, MachineError
from admlops.project import link_folder

ROOT = Path(__file__).resolve().parents[1]
PIN_FILES = ("build", "torch", "runtime", "openmmlab", "mmcv", "lidar", "deploy", "tests", "constraints")


def load_set_up():
    spec = importlib.util.spec_from_file_location("setup_environment", ROOT / "tools" / "setup_environment.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


set_up = load_set_up()


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


# -- which Python ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shell_set_up(tmp_path):
    """Run tools/setup.sh with nothing on PATH but the Pythons given as {name: what its probe answers}."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup.sh", tmp_path / "tools")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "sh", "sort"):
        (tools / name).symlink_to(shutil.which(name))

    def run(pythons: dict[str, str], **environ: str) -> subprocess.CompletedProcess:
        for name, answer in pythons.items():
            write_program(tools / name, f'case "$1" in -c) echo "{answer}";; *) echo "chosen $0 $*";; esac\n')
        return subprocess.run(
            [tools / "bash", tmp_path / "tools" / "setup.sh", "--no-sample"],
            env={"PATH": str(tools), "PYENV_ROOT": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_python_311_is_taken_wherever_it_hides(shell_set_up):
    done = shell_set_up({"python3.11": "3.10 complete", "python3.12": "3.12 complete", "python3": "3.11 complete"})
    assert done.returncode == 0
    assert re.fullmatch(r"chosen .*/python3 tools/setup_environment.py --no-sample\n", done.stdout)
    assert done.stderr == ""


@pytest.mark.parametrize("version", ["3.10", "3.12"])
def test_neighbouring_versions_get_a_warning(shell_set_up, version):
    done = shell_set_up({f"python{version}": f"{version} complete", "python3": "3.8 complete"})
    assert done.returncode == 0
    assert f"chosen {done.stdout.split()[1]}" in done.stdout
    assert f"Warning: Python {version}" in done.stderr
    assert "tested with Python 3.11" in done.stderr


@pytest.mark.parametrize("answer", ["3.9 complete", "3.13 complete", "2.7 no-venv", "3.11 no-headers", "3.11 no-venv"])
def test_other_pythons_stop_with_the_remedy(shell_set_up, answer):
    done = shell_set_up({"python3": answer})
    assert done.returncode == 1
    assert "chosen" not in done.stdout
    assert f"Python {answer}" in done.stderr
    assert "apt install python3.11 python3.11-venv python3.11-dev" in done.stderr


def test_no_python_at_all_stops(shell_set_up):
    done = shell_set_up({})
    assert done.returncode == 1
    assert "none on PATH" in done.stderr


def test_an_environment_keeps_its_python(shell_set_up, tmp_path):
    (tmp_path / ".venv").mkdir()
    write_program(tmp_path / ".venv" / "bin" / "python", 'case "$1" in -c) echo "3.12 complete";; *) echo "chosen $0";; esac\n')
    assert shell_set_up({"python3.11": "3.11 complete"}).stdout.endswith("/.venv/bin/python\n")
    named = shell_set_up({}, PYTHON=str(tmp_path / "bin" / "python3.11"))
    assert named.stdout.startswith(f"chosen {tmp_path}/bin/python3.11")


def test_a_named_python_is_taken_or_refused_but_not_replaced(shell_set_up, tmp_path):
    pythons = {"python3.11": "3.11 complete", "mine": "3.12 complete", "old": "3.9 complete"}
    assert "/mine" in shell_set_up(pythons, PYTHON=str(tmp_path / "bin" / "mine")).stdout
    refused = shell_set_up({}, PYTHON=str(tmp_path / "bin" / "old"))
    assert refused.returncode == 1
    assert "Python 3.9 complete" in refused.stderr


# -- what the machine lacks -----------------------------------------------------------------------------------------------


def copy_checkout(target: Path) -> Path:
    modules = [f"admlops/{name}.py" for name in ("__init__", "errors", "project", "threads")]
    for name in ("tools/setup_environment.py", "setup.py", "projects/god/setup.py", *modules):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    shutil.copytree(ROOT / "requirements", target / "requirements")
    return target


def test_without_a_compiler_nothing_is_made(tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin" / "c++", "exit 1\n")  # there, but does not start
    done = subprocess.run(
        # -I -S: the set-up runs before anything is installed.
        [sys.executable, "-I", "-S", checkout / "tools" / "setup_environment.py"],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no C++ compiler" in done.stderr
    assert "apt install g++" in done.stderr
    assert not (checkout / ".venv").exists()
    assert not (checkout / "data").exists()


def test_too_little_space_stops(tmp_path, monkeypatch):
    environment = set_up.Environment(copy_checkout(tmp_path))
    monkeypatch.setattr(set_up, "find_compiler", lambda: "c++")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 10**10 - 10**9, 10**9))
    with pytest.raises(MachineError, match="too little space") as caught:
        environment.check_machine(environment.pending())
    assert "1.0 GB" in str(caught.value)


# -- what is repeated -----------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Set a checkout up with steps that only note that they ran; returns a function that lists them."""
    root = copy_checkout(tmp_path / "checkout")
    monkeypatch.setattr(set_up, "find_compiler", lambda: "c++")
    monkeypatch.setattr(set_up, "has_nvidia_gpu", lambda: False)
    monkeypatch.delenv("ADMLOPS_TORCH_INDEX", raising=False)
    ran: list[str] = []

    def run(broken: str = "") -> list[str]:
        ran.clear()
        environment = set_up.Environment(root)

        def note(step):
            def call():
                if step.name == "venv":
                    write_program(environment.python, "exit 0\n")
                    environment.write_stamp({})
                if step.name == broken:
                    raise MachineError("broken")
                ran.append(step.name)

            return set_up.Step(step.name, step.says, step.key, call)

        original = set_up.Environment.steps
        monkeypatch.setattr(environment, "steps", lambda: map(note, original(environment)))
        environment.set_up()
        return list(ran)

    run.root, run.ran = root, ran
    return run


ALL_STEPS = ["venv", "build", "torch", "runtime", "openmmlab", "mmcv", "lidar", "deploy", "tests", "admlops", "god"]


def test_second_run_repeats_nothing(checkout, capsys):
    assert checkout() == ALL_STEPS
    assert "Set up in" in capsys.readouterr().out
    assert checkout() == []
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("tests", ["tests"]),
        ("torch", ["torch", "mmcv"]),
        ("build", ["build"]),
        ("lidar", ["lidar"]),
        ("constraints", ["runtime", "deploy", "tests"]),
    ],
)
def test_a_changed_pin_repeats_what_depends_on_it(checkout, name, steps):
    checkout()
    path = checkout.root / "requirements" / f"{name}.txt"
    path.write_text("# only a comment\n" + path.read_text())
    assert checkout() == []
    path.write_text(path.read_text() + "another==1\n")
    assert checkout() == steps


def test_what_was_finished_before_a_failure_is_kept(checkout):
    with pytest.raises(MachineError):
        checkout(broken="mmcv")
    assert checkout() == ["mmcv", "lidar", "deploy", "tests", "admlops", "god"]


def test_a_moved_checkout_is_set_up_anew(checkout):
    checkout()
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    assert [step.name for step in set_up.Environment(moved).pending()] == ALL_STEPS


# -- PyTorch and mmcv -----------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment whose pip only notes its words; ``refuse`` holds a word that makes it fail."""
    monkeypatch.setattr(set_up, "has_nvidia_gpu", lambda: False)
    monkeypatch.delenv("ADMLOPS_TORCH_INDEX", raising=False)
    made = set_up.Environment(copy_checkout(tmp_path / "checkout"))
    made.environ["ADMLOPS_CACHE"] = str(tmp_path / "cache")
    made.calls, made.refuse = [], None

    def pip(*words, environ=None, progress=False):
        made.calls.append([str(word) for word in words])
        if made.refuse in made.calls[-1]:
            raise MachineError("refused")
        if words[0] == "wheel":
            made.build_environ = environ
            folder = Path(words[words.index("-w") + 1])
            (folder / "mmcv-2.1.0-cp311-cp311-linux_x86_64.whl").write_text("built")

    monkeypatch.setattr(made, "pip", pip)
    return made


def test_torch_without_gpu_comes_from_the_cpu_index_first(environment):
    environment.install_torch()
    assert set_up.CPU_INDEX in environment.calls[0]
    assert "--no-deps" in environment.calls[0]
    assert "--index-url" not in environment.calls[1]


def test_torch_falls_back_to_pypi_with_a_notice(environment, capsys):
    environment.refuse = set_up.CPU_INDEX
    environment.install_torch()
    assert "GB of CUDA" in capsys.readouterr().out
    assert len(environment.calls) == 2


def test_torch_with_gpu_is_the_usual_build(environment):
    environment.gpu = True
    environment.install_torch()
    assert len(environment.calls) == 1
    assert "--index-url" not in environment.calls[0]


def test_torch_from_a_chosen_index(environment, monkeypatch):
    monkeypatch.setenv("ADMLOPS_TORCH_INDEX", "https://mirror/cu130")
    environment.install_torch()
    assert environment.calls[0][:4] == ["install", "--no-deps", "--index-url", "https://mirror/cu130"]


def test_mmcv_is_built_once_for_each_torch(environment, monkeypatch):
    works, torch_version = [False], ["2.13.0+cpu"]

    def answer(code, *words):
        if code != set_up.CHECK_MMCV:
            return torch_version[0]
        works[0] = not works[0]  # not installed at the first question, working at the second
        return "" if not works[0] else None

    monkeypatch.setattr(environment, "answer", answer)

    def verbs():
        environment.calls.clear()
        environment.install_mmcv()
        return [call[0] for call in environment.calls]

    assert verbs() == ["wheel", "install"]
    assert environment.build_environ["CUDA_VISIBLE_DEVICES"] == ""
    assert environment.build_environ["FORCE_CUDA"] == "0"
    assert verbs() == ["install"]
    torch_version[0] = "2.14.0+cpu"
    assert verbs() == ["wheel", "install"]


# -- data and checkpoints -------------------------------------------------------------------------------------------------


def test_folder_is_plain_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("DATASET", raising=False)
    assert "plain folder" in link_folder(tmp_path / "data", "DATASET")
    assert (tmp_path / "data").is_dir()
    assert link_folder(tmp_path / "data", "DATASET") is None


def test_folder_is_linked_to_the_variable(tmp_path, monkeypatch):
    data, first, second = (tmp_path / name for name in ("data", "first", "second"))
    first.mkdir()
    second.mkdir()
    data.mkdir()  # empty: may be replaced
    monkeypatch.setenv("DATASET", str(first))
    assert "->" in link_folder(data, "DATASET")
    assert data.resolve() == first
    assert link_folder(data, "DATASET") is None
    monkeypatch.setenv("DATASET", str(second))
    link_folder(data, "DATASET")
    assert data.resolve() == second
    monkeypatch.delenv("DATASET")
    assert link_folder(data, "DATASET") is None  # a link that works stays
    second.rmdir()
    with pytest.raises(ConfigError, match="leads nowhere"):
        link_folder(data, "DATASET")


def test_a_folder_with_content_is_never_replaced(tmp_path, monkeypatch):
    data, target = tmp_path / "data", tmp_path / "target"
    target.mkdir()
    data.mkdir()
    (data / "precious").write_text("x")
    monkeypatch.setenv("DATASET", str(target))
    note = link_folder(data, "DATASET")
    assert f"mv {data}/* {target}/ && rmdir {data}" in note
    assert (data / "precious").read_text() == "x"
    assert not data.is_symlink()


def test_a_variable_that_names_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO", str(tmp_path / "typo"))
    with pytest.raises(ConfigError, match="MODELZOO"):
        link_folder(tmp_path / "checkpoints", "MODELZOO")


# -- pins -----------------------------------------------------------------------------------------------------------------


def read_pins(name: str) -> list[Requirement]:
    lines = set_up.read_pins(ROOT / "requirements" / f"{name}.txt").splitlines()
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"python_version": "3.11"})]


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_each_package_is_pinned_once():
    names = [canonicalize_name(pin.name) for file in PIN_FILES for pin in read_pins(file)]
    assert sorted(set(names)) == sorted(names)
    assert all(str(pin.specifier).startswith("==") for file in PIN_FILES for pin in read_pins(file))


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not in the environment that the set-up makes")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the pins are those of Python 3.11")
def test_the_environment_holds_the_pins():
    wrong = {
        pin.name: installed_version(pin.name)
        for file in PIN_FILES
        for pin in read_pins(file)
        if not pin.specifier.contains(installed_version(pin.name) or "0.dev0")
    }
    assert wrong == {}


# Heads of mmdet3d's modules import packages that its metadata hides among sixty others.
@pytest.mark.parametrize("name", ["models", "datasets", "structures", "evaluation", "visualization"])
def test_mmdet3d_imports_without_what_the_set_up_leaves_out(name):
    hidden = ("open3d", "plyfile", "skimage", "fire", "descartes", "plotly", "black")
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden})); import mmdet3d.{name}, cv2; print(cv2.__version__)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "4.11.0"
