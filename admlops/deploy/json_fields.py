"""Reads JSON values of known types; what is otherwise is told by its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class ShapeError(Exception):
    """Something of the document is not as it has to be; says what, by its path."""


def read_fields(value: Any, path: str, names: Sequence[str]) -> list[Any]:
    """Read an object of known fields.

    Args:
        value: JSON value.
        path: Where it stands.
        names: Fields that it has, all and no other.

    Returns:
        Values in the order of the names.

    Raises:
        ShapeError: One is missing, or there is another.
    """
    fields = typed(value, path, dict)
    if missing := [name for name in names if name not in fields]:
        raise ShapeError(f"{path} lacks {', '.join(missing)}")
    if unknown := [name for name in fields if name not in names]:
        raise ShapeError(f"{path} has unknown {', '.join(unknown)}")
    return [fields[name] for name in names]


def typed(value: Any, path: str, kind: type[T]) -> T:
    """Read a value of one type.

    Args:
        value: JSON value.
        path: Where it stands.
        kind: Its type; a float may be written without a point.

    Returns:
        The value.

    Raises:
        ShapeError: It has another type.
    """
    # JSON writes 1.0 as it is, but other writers may not; and True is an int in Python only.
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ShapeError(f"{path}: {value!r} instead of {kind.__name__}")
    return value


def read_all(value: Any, path: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
    """Read a list.

    Args:
        value: JSON value.
        path: Where it stands.
        read: Reads one of its values, from the value and its path.

    Returns:
        The values.
    """
    return tuple(read(each, f"{path}[{index}]") for index, each in enumerate(typed(value, path, list)))


def read_pair(value: Any, path: str, kind: type[T]) -> tuple[T, T]:
    """Read two values of one type.

    Args:
        value: JSON value.
        path: Where it stands.
        kind: Their type.

    Returns:
        The two.

    Raises:
        ShapeError: They are not two.
    """
    pair = read_all(value, path, lambda each, where: typed(each, where, kind))
    if len(pair) != 2:
        raise ShapeError(f"{path}: {len(pair)} values instead of 2")
    return pair[0], pair[1]
