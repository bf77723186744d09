"""Limits between parameters: `"lr_min < lr"`, or a function of the configuration. Expressions run no other code.

An expression has names of parameters, numbers, texts in quotes, True, False, None, comparisons, and, or, not, +, -, *,
/, //, %, **, lists, positions such as layers[0], and the functions of `FUNCTIONS`. It says nothing about a
configuration in which one of its parameters is inactive.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

from raybayes.errors import SpaceError
from raybayes.wording import unknown

Predicate = Callable[[Mapping[str, Any]], bool]
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "all": all, "any": any, "len": len, "log": math.log, "max": max, "min": min, "round": round,
    "sqrt": math.sqrt, "sum": sum,
}  # fmt: skip
_FUNCTION = "def "  # how the description of a predicate starts, which no expression does
_LARGEST_POWER = 64  # 9 ** 9 ** 9 would take for ever
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.Compare, ast.cmpop, ast.Name, ast.Attribute, ast.Load,
    ast.Constant, ast.Tuple, ast.List, ast.Subscript, ast.Call, ast.IfExp,
)  # fmt: skip
_EXAMPLES = "'lr_min < lr', 'width * depth <= 512' or 'optimizer == \"adam\" or lr < 0.1'"


@dataclass(frozen=True)
class Requirement:
    """A limit that every configuration keeps.

    Args:
        text: the expression; of a predicate "def NAME DIGEST", where the digest changes with its source.
        predicate: gets the active parameters and what is fixed, and returns whether the configuration is allowed.
        given: values that are fixed.
    """

    text: str
    predicate: Predicate | None = field(default=None, compare=False)
    given: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, wanted: str | Predicate | Requirement) -> Requirement:
        """From what a user writes. SpaceError if it is neither an expression nor a function."""
        if isinstance(wanted, Requirement):
            return wanted
        if isinstance(wanted, str):
            made = cls(wanted.strip())
            if not made.text.startswith(_FUNCTION):
                _compiled(made.text)
            return made
        if not callable(wanted):
            raise SpaceError(f"require: found {wanted!r}; write {_EXAMPLES}, or give a function of the configuration.")
        return cls(f"{_FUNCTION}{getattr(wanted, '__name__', type(wanted).__name__)} {_digest(wanted)}", wanted)

    @property
    def shown(self) -> str:
        """How messages name it."""
        return self.text.split()[1] if self.text.startswith(_FUNCTION) else self.text

    @property
    def lost(self) -> bool:
        """Whether it is a predicate that was read back from a file, which holds no functions."""
        return self.predicate is None and self.text.startswith(_FUNCTION)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the expression, without those that are fixed; none are known of a predicate."""
        if self.text.startswith(_FUNCTION):
            return ()
        return tuple(name for name in _compiled(self.text)[1] if name not in self.given)

    def require_names(self, known: Collection[str]) -> None:
        """SpaceError unless each name is a parameter."""
        for name in self.names:
            if name not in known:
                quoted = f" A text stands in quotes: {name!r}." if name.isidentifier() else ""
                raise SpaceError(f"require {self.shown!r}: {unknown('parameter', name, known)}{quoted}")

    def under(self, fixed: Mapping[str, Any]) -> Requirement:
        """The same limit when some values are fixed."""
        return replace(self, given={**self.given, **fixed})

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether a configuration keeps the limit. One for which it cannot be computed does not."""
        try:
            return self.evaluate(values)
        except SpaceError:
            return False

    def evaluate(self, values: Mapping[str, Any]) -> bool:
        """The same. SpaceError if it cannot be computed, other than for a division by zero."""
        known = {**self.given, **values}
        if self.lost or any(name not in known for name in self.names):
            return True
        try:
            answer = self.predicate(known) if self.predicate is not None else _evaluated(self.text, known)
        except ZeroDivisionError:
            return False
        except Exception as error:
            raise SpaceError(
                f"require {self.shown!r} cannot be computed for {self.values_of(values)}: "
                f"{type(error).__name__}: {error}; correct it, or change the values of these parameters."
            ) from None
        if not isinstance(answer, bool) and type(answer).__name__ != "bool":  # numpy has a bool of its own
            raise SpaceError(f"require {self.shown!r} gave {answer!r}; write a comparison, or return True or False.")
        return bool(answer)

    def values_of(self, values: Mapping[str, Any]) -> str:
        """The values that it looks at, in words."""
        known = {**self.given, **values}
        names = _compiled(self.text)[1] if not self.text.startswith(_FUNCTION) else known
        return ", ".join(f"{name} = {_short(known[name])}" for name in names if name in known)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _digest(predicate: Predicate) -> str:
    """8 hex digits that change with the source of a function, or with its bytecode where it has no source."""
    try:
        content = inspect.getsource(predicate).encode()
    except (OSError, TypeError):
        content = getattr(getattr(predicate, "__code__", None), "co_code", b"")
    return hashlib.sha256(content).hexdigest()[:8]


def _evaluated(text: str, values: Mapping[str, Any]) -> Any:
    code, names = _compiled(text)
    places = {f"_{place}": values[name] for place, name in enumerate(names)}
    return eval(code, {"__builtins__": {}}, {**FUNCTIONS, "_power": _power, **places})


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _LARGEST_POWER:
        raise ValueError(f"the power {exponent} is above {_LARGEST_POWER}")
    return base**exponent


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> tuple[CodeType, tuple[str, ...]]:
    """The code of an expression, and the parameters that it names, in order. SpaceError if it is not one."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpaceError(f"require {text!r}: this is no comparison; write {_EXAMPLES}.") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise SpaceError(f"require {text!r}: {ast.unparse(node)} is not allowed here; write {_EXAMPLES}.")
    if not isinstance(tree.body, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name | ast.Attribute | ast.Call):
        raise SpaceError(f"require {text!r}: this is no comparison; write {_EXAMPLES}.")
    names: list[str] = []
    renamed = ast.fix_missing_locations(_Renamed(text, names).visit(tree))
    if not names:
        raise SpaceError(f"require {text!r}: it names no parameter; write {_EXAMPLES}.")
    return compile(renamed, "<require>", "eval"), tuple(names)


class _Renamed(ast.NodeTransformer):
    """Puts `_0`, `_1`, ... in place of the names of parameters, which may have dots, and guards powers."""

    def __init__(self, text: str, names: list[str]) -> None:
        self._text, self._names = text, names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._place(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._place(ast.unparse(node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
            raise SpaceError(
                f"require {self._text!r}: {unknown('function', ast.unparse(node.func), FUNCTIONS)} "
                "For anything else give a function of the configuration, in Python."
            )
        return ast.Call(node.func, [self.visit(each) for each in node.args], [])

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("_power", ast.Load()), [left, right], [])
        return ast.BinOp(left, node.op, right)

    def _place(self, name: str) -> ast.Name:
        if not all(part.isidentifier() for part in name.split(".")):
            raise SpaceError(f"require {self._text!r}: {name} is no parameter; write {_EXAMPLES}.")
        if name not in self._names:
            self._names.append(name)
        return ast.Name(f"_{self._names.index(name)}", ast.Load())
