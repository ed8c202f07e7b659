"""Hash of a dumped config that says the same on every machine: of what a run does, not of where things lie."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from typing import Any

PLACES = frozenset({"default_ctx", "env_cfg", "launcher", "load_from", "model_wrapper_cfg", "resume", "work_dir"})
"""Keys at the top that say where and on what a run happens; parents, world size and packages are recorded by themselves."""

_DATA_PLACES = frozenset({"repo", "root"})


def config_sha256(text: str) -> str:
    """Hash a dumped config.

    The text is parsed, never run. Formatting, order of keys, lists against tuples, and where things lie (``PLACES``, and
    ``root`` and ``repo`` of a ``data_release``, whose content is recorded by its hashes) do not count.

    Args:
        text: What ``Config.dump`` writes: assignments of literals and ``dict(...)``.

    Returns:
        64 hex digits.

    Raises:
        ValueError: Not such a text.
    """
    values = {}
    for statement in ast.parse(text).body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            raise ValueError(f"line {statement.lineno} is no assignment: not a dumped config")
        name = statement.targets[0].id
        if name not in PLACES:
            values[name] = _value(statement.value)
    canonical = json.dumps(_without_places(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (str, bool, int, float))):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_key(key): _value(item) for key, item in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and len(node.args) <= 1:
        merged = dict(_value(node.args[0])) if node.args else {}
        return merged | {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    # -1, inf, sets: their normal spelling is as good as a value.
    return ast.unparse(node)


def _key(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _without_places(node: Any, key: str = "") -> Any:
    if isinstance(node, Mapping):
        kept = {name: item for name, item in node.items() if not (key == "data_release" and name in _DATA_PLACES)}
        return {name: _without_places(item, name) for name, item in kept.items()}
    if isinstance(node, list):
        return [_without_places(item) for item in node]
    return node
