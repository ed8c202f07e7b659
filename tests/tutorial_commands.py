"""Run Python commands, and ``admlops``, one after the other.

Each runs in a fork of one process that has imported PyTorch and the mm* packages.

Reads one JSON object a line, ``{"arguments": [...], "folder": ..., "environment": {...}}``, and answers each with
``{"status": ..., "output": ...}``.
"""

import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

from mmengine.config import config

from admlops.cli.main import main as be_admlops
from admlops.data_release import code_state
from admlops.data_release.repository import verify
from admlops.engine import lineage

IMPORTED_ONCE = (
    "admlops.analysis",
    "admlops.engine.browse",
    "admlops.engine.compose_checkpoint",
    "admlops.engine.deploy",
    "admlops.engine.infer",
    "admlops.engine.parity_report",
    "admlops.engine.test",
    "admlops.engine.train",
    "admlops.models.model_report",
    "matplotlib.pyplot",
    "mmdet.models.dense_heads",
    "torch._dynamo",
    "torch.utils.tensorboard",
)


def main():
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    # mmengine lays its config out anew for every checkpoint.
    texts, format_code = {}, config.FormatCode
    config.FormatCode = lambda text, **how: texts.get(text) or texts.setdefault(text, format_code(text, **how))
    # One tutorial, one state of the code, whatever is edited in the checkout meanwhile.
    state = code_state.read_code_state()
    lineage.read_code_state = verify.read_code_state = lambda *_: state
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                _be_python(request, output.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            answers.write(json.dumps({"status": status, "output": output.read().decode()}) + "\n")
            answers.flush()


def _be_python(request, output):
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    arguments = request["arguments"]
    if arguments[0] == "admlops":
        sys.argv = arguments
    elif arguments[0] == "-m":
        sys.argv, sys.path[0] = arguments[1:], request["folder"]
    else:
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).resolve().parent)
    sys.path[1:1] = [
        str(Path(folder).resolve()) for folder in request["environment"].get("PYTHONPATH", "").split(":") if folder
    ]
    status = 0
    try:
        if arguments[0] == "admlops":
            be_admlops()
        elif arguments[0] == "-m":
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        status = 1 if isinstance(error.code, str) else int(error.code or 0)
    except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
