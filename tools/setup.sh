#!/usr/bin/env bash
# Finds a Python that fits, then lets setup_environment.py make .venv with it. PYTHON=/path/to/python overrides the search.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONHOME PYTHONPATH

# "3.11 complete": complete = can make virtual environments and holds the headers that compiling an extension needs.
probe='
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import ensurepip, os.path, sysconfig, venv
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    print(version + (" complete" if os.path.exists(header) else " no-headers"))
except ImportError:
    print(version + " no-venv")
'
probe() { "$1" -c "$probe" </dev/null 2>/dev/null || true; }

candidates() {
  if [[ -n "${PYTHON:-}" ]]; then
    echo "$PYTHON"
    return
  fi
  # All on PATH, not only the first: a pyenv shim may stand in front of a Python that works.
  type -ap python3.11 || true
  compgen -G "${PYENV_ROOT:-${HOME:-/}/.pyenv}/versions/3.11.*/bin/python3.11" || true
  type -ap python3 python python3.12 python3.10 || true
}

# Goes on with a Python if it is the wanted one: accept PYTHON VERSION [options of setup_environment.py]
accept() {
  local python="$1" wanted="$2"
  shift 2
  [[ "$(probe "$python")" == "$wanted complete" ]] || return 0
  if [[ "$wanted" != 3.11 ]]; then
    echo "Warning: Python $wanted ($python). This project is tested with Python 3.11; 3.10 and 3.12 usually work." >&2
  fi
  exec "$python" tools/setup_environment.py "$@"
}

# An environment that is there keeps its Python until PYTHON names another.
if [[ -z "${PYTHON:-}" && -x .venv/bin/python ]]; then
  for wanted in 3.11 3.12 3.10; do accept .venv/bin/python "$wanted" "$@"; done
fi
for wanted in 3.11 3.12 3.10; do
  while IFS= read -r python; do accept "$python" "$wanted" "$@"; done < <(candidates)
done

found=()
while IFS= read -r python; do
  result="$(probe "$python")"
  [[ -z "$result" ]] || found+=("$python: Python $result")
done < <(candidates | sort -u)
{
  echo "No usable Python was found; nothing was downloaded or changed."
  echo "  expected: Python 3.11 (3.10 and 3.12 are accepted with a warning), with venv and its C headers"
  if ((${#found[@]})); then
    printf '  got:      %s\n' "${found[@]}"
  else
    if [[ -n "${PYTHON:-}" ]]; then echo "  got:      $PYTHON, which does not start"; else echo "  got:      none on PATH"; fi
  fi
  echo "  try:      Debian, Ubuntu:  sudo apt install python3.11 python3.11-venv python3.11-dev"
  echo "            pyenv:           pyenv install 3.11"
  echo "            conda:           conda create -n admlops python=3.11"
  echo "            then repeat, or name it: make setup PYTHON=/path/to/python3.11"
} >&2
exit 1
