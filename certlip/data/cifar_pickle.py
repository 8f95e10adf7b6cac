"""The pickled batches of CIFAR, read without the module pickle.

A pickle is a program for a small stack machine. This machine knows the instructions that Python 2 wrote
into these files (protocol 2) and three names, whose calls it records instead of making them: there
is nothing in it that could run code.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from certlip.errors import InputError

RECONSTRUCT, NDARRAY, DTYPE = NAMES = (
    "numpy.core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
)
MAX_NAME = 200


@dataclass(frozen=True)
class _Name:
    text: str


@dataclass
class _Call:
    """A call that was not made, and the state that its result would have been given."""

    name: str
    args: tuple[Any, ...]
    state: tuple[Any, ...] = ()


def read_pickle(data: bytes, where: str) -> dict[bytes, Any]:
    """Return the dictionary of a batch: keys and strings are bytes, arrays uint8.

    Raises:
        InputError: cut short, damaged, or with anything that the original files do not have.
    """
    machine = _Machine(data, where)
    try:
        value = machine.run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: damaged pickle at byte {machine.at:,}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: holds a {type(value).__name__}; expected a dictionary")
    return {k: _array(v, where) if isinstance(v, _Call) else v for k, v in value.items()}


class _Machine:
    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where = memoryview(data), where
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := bytes(self.take(1))) != b".":
            if code not in STEPS:
                self.refuse(f"instruction {code!r}")
            STEPS[code](self)
        return self.stack.pop()

    def refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"{self.where}: {what} at byte {self.at:,}; expected the pickle of an original batch, "
            "and nothing in it is executed"
        )

    def take(self, count: int) -> memoryview:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise InputError(f"{self.where}: cut short after {len(self.data):,} bytes")
        self.at += count
        return part

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def items(self) -> list[Any]:
        """Pop what was pushed since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def last(self, count: int) -> None:
        """Pop `count` values and push them as a tuple."""
        values = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            self.refuse("an entry of what is no list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(target, dict) or not isinstance(key, bytes) or key in target:
                self.refuse("an entry of what is no dictionary, or one that is there already")
            target[key] = value

    def string(self, form: str) -> None:
        size = self.number(form)
        if size < 0:
            self.refuse("a string of negative length")
        self.push(bytes(self.take(size)))

    def line(self) -> str:
        """Take the text before the next line feed."""
        size = bytes(self.data[self.at : self.at + MAX_NAME]).index(b"\n")
        return bytes(self.take(size + 1))[:-1].decode("latin-1")

    def name(self) -> None:
        text = f"{self.line()}.{self.line()}"
        if text not in NAMES:
            self.refuse(f"the name {text!r}")
        self.push(_Name(text))

    def call(self) -> None:
        args, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(args, tuple) or name.text == NDARRAY:
            self.refuse("a call")
        self.push(_Call(name.text, args))

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Call) or not isinstance(state, tuple):
            self.refuse("the state of an object")
        self.stack[-1].state = state

    def protocol(self) -> None:
        if (version := self.number("<B")) != 2:
            self.refuse(f"protocol {version}")


STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"(": _Machine.mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"U": lambda m: m.string("<B"),
    b"T": lambda m: m.string("<i"),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.items())),
    b"\x85": lambda m: m.last(1),
    b"\x86": lambda m: m.last(2),
    b"\x87": lambda m: m.last(3),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.items()),
    b"s": lambda m: m.update([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.update(m.items()),
    b"q": lambda m: m.memo.__setitem__(m.number("<B"), m.stack[-1]),
    b"r": lambda m: m.memo.__setitem__(m.number("<I"), m.stack[-1]),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": _Machine.name,
    b"R": _Machine.call,
    b"b": _Machine.build,
}


def _array(call: _Call, where: str) -> np.ndarray:
    """Return the array that a call and its state describe, after a look at both."""
    match (call.name, call.args, call.state):
        case (
            name,
            (_Name(text=kind), (0,), b"b"),
            (1, tuple(shape), _Call(name=dtype, args=(b"u1", 0, 1)), bool(fortran), bytes(data)),
        ) if name == RECONSTRUCT and kind == NDARRAY and dtype == DTYPE:
            whole = all(type(size) is int and size >= 0 for size in shape)
            if whole and math.prod(shape) == len(data):
                return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
    raise InputError(f"{where}: an array that is not one of bytes; expected uint8 and its size")
