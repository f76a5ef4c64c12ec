"""The changes that can be made to a Python file, one small fault each.

Annotations, decorators, docstrings, ``__repr__``, ``TYPE_CHECKING`` blocks, ``__slots__`` and
type aliases are left alone: they do not change what the program does. So are texts for people:
those of errors and of the process log, and whole sentences, which are the help of metrics and
reasons. Nor are numbers changed that were chosen, not derived: those with a fraction, which are
durations and shares, and sizes written with ``<<``; and texts that only stand for None, as in
``host or ""``.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.FloorDiv,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.FloorDiv,), ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,), ast.BitXor: (ast.BitOr,), ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
FORM = frozenset({"annotation", "returns", "decorator_list", "pattern", "type_params"})
LEFT_ALONE = frozenset({"__slots__", "__all__"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file.

    Attributes:
        path: The file, relative to the root of the tree.
        line: Where the change is.
        text: The text of that line.
        start: Offset in bytes of the replaced part.
        end: Offset in bytes of its end.
        before: The replaced part.
        after: The new text.
        functions: First lines of the functions that a test has to execute: the innermost one
            around the change, or those that use the changed constant; else empty.
        runs_at_import: Whether the change is outside of functions.
    """

    path: str
    line: int
    text: str
    start: int
    end: int
    before: str
    after: str
    functions: frozenset[int]
    runs_at_import: bool

    def __str__(self) -> str:
        before, after = " ".join(self.before.split()), " ".join(self.after.split())
        shown = before if len(before) <= 120 else f"{before[:117]}..."
        return f"{self.path}:{self.line}  {shown} -> {after}"

    def apply(self, source: bytes) -> bytes:
        """The changed file."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def differs(self, source: bytes) -> bool:
        """Whether the changed file compiles, and to other bytecode."""
        try:
            changed = compile(self.apply(source), self.path, "exec", dont_inherit=True)
        except SyntaxError:
            return False
        original = compile(source, self.path, "exec", dont_inherit=True)
        return _essence(changed) != _essence(original)


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    starts, lines = [0], source.splitlines(keepends=True)
    for each in lines:
        starts.append(starts[-1] + len(each))
    found = []
    tree = ast.parse(source)
    for statement in tree.body:
        functions = _users(tree, statement)
        for first, last, after, function in _walk(ast.Module([statement], []), 0):
            start = starts[first.lineno - 1] + first.col_offset
            end = starts[(last.end_lineno or 0) - 1] + (last.end_col_offset or 0)
            before = source[start:end].decode()
            places = frozenset({function}) if function else functions
            line, text = first.lineno, lines[first.lineno - 1].decode().strip()
            made = Mutant(path, line, text, start, end, before, after, places, not function)
            found.append(made)
    return sorted(found, key=lambda mutant: mutant.line)


def _users(tree: ast.Module, statement: ast.stmt) -> frozenset[int]:
    """First lines of the functions that use what a statement of a module assigns."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return frozenset(
                _first_line(node)
                for node in ast.walk(tree)
                if isinstance(node, Function)
                and any(isinstance(x, ast.Name) and x.id == name for x in ast.walk(node))
            )
    return frozenset()


def _first_line(function: Function) -> int:
    """The line of the function, or of its first decorator, as the interpreter counts."""
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


Replaced = ast.expr | ast.stmt
Site = tuple[Replaced, Replaced, str, int]


def _walk(node: ast.AST, function: int) -> Iterator[Site]:
    """First and last node that are replaced, the new text, and the function around them."""
    if isinstance(node, Function):
        function = _first_line(node)
    for child in _children(node):
        if _is_left_alone(child):
            continue
        for first, last, after in _changes(child):
            yield first, last, after, function
        if not isinstance(child, ast.JoinedStr):  # offsets inside are wrong before 3.12
            yield from _walk(child, function)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func=ast.Name(id="cast"), args=[_, value]):
            yield value
        case ast.Call(func=ast.Name(id=name), args=arguments) if name.endswith("Error"):
            yield from (each for each in arguments if not _is_text(each))
        case _:
            for name, value in ast.iter_fields(node):
                if name not in FORM:
                    children = value if isinstance(value, list) else [value]
                    yield from (child for child in children if isinstance(child, ast.AST))


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case (
            ast.Expr(value=ast.Constant())
            | ast.Import()
            | ast.ImportFrom()
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.FunctionDef(name="__repr__")
            | ast.keyword(arg="repr")
            | ast.Call(func=ast.Attribute(value=ast.Name(id="_log")))
            | ast.Call(func=ast.Attribute(attr="complain"))
            | ast.Call(func=ast.Name(id="assert_never"))
            | ast.BinOp(left=ast.Constant(), op=ast.LShift())
            | ast.Constant(value=float())
        ):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in LEFT_ALONE
        case ast.Constant(value=str(text)):
            return " " in text and text.endswith(".")
        case ast.BinOp(op=ast.BitOr()):
            return all(_is_type(each) for each in (node.left, node.right))
    return False


def _is_type(node: ast.AST) -> bool:
    """Whether an operand of ``|`` is a class, as in ``Redirect | None``."""
    match node:
        case ast.BinOp(left=left, right=right):
            return _is_type(left) and _is_type(right)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return isinstance(getattr(builtins, name, None), type) or (
                name[:1].isupper() and not name.isupper()
            )
        case ast.Subscript() | ast.Constant(value=None):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[tuple[Replaced, Replaced, str]]:
    match node:
        case ast.expr():
            for changed in _changed(node):
                text = ast.unparse(changed)
                yield node, node, text if isinstance(changed, ast.Constant) else f"({text})"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield value, value, "None"
        case ast.ExceptHandler():
            yield node.body[0], node.body[-1], "raise"
        case ast.Try(finalbody=[first, *rest]):
            yield first, rest[-1] if rest else first, "pass"
        case ast.stmt() if _is_removable(node):
            yield node, node, "pass"
    yield from _conditions(node)
    if isinstance(node, ast.AugAssign):
        for operator in OPERATORS.get(type(node.op), ()):
            opposite = ast.AugAssign(node.target, operator(), node.value)  # type: ignore[arg-type]
            yield node, node, ast.unparse(opposite)


def _is_removable(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return False
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Break():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()], value=value):
            return not (isinstance(value, ast.Constant) and value.value is None)
    return isinstance(node, ast.Continue)


def _conditions(node: ast.AST) -> Iterator[tuple[Replaced, Replaced, str]]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            yield test, test, "True"
            yield test, test, "False"
        case ast.While(test=test):
            yield test, test, "False"
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield test, test, "True"


def _changed(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=value):
            yield from map(ast.Constant, _other_values(value))
        case ast.JoinedStr():
            yield ast.Constant("")
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield ast.Call(ast.Name(CALLS[name]), node.args, node.keywords)
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper, step=step)):
            if lower:
                yield ast.Subscript(node.value, ast.Slice(None, upper, step))
            if upper:
                yield ast.Subscript(node.value, ast.Slice(lower, None, step))
        case ast.Compare() | ast.BoolOp() | ast.BinOp():
            yield from _other_operators(node)


def _other_operators(node: ast.Compare | ast.BoolOp | ast.BinOp) -> Iterator[ast.expr]:
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for other in OPERATORS[type(operator)]:
                    ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                    yield ast.Compare(node.left, ops, node.comparators)  # type: ignore[arg-type]
        case ast.BoolOp():
            for other in OPERATORS[type(node.op)]:
                yield ast.BoolOp(other(), node.values)  # type: ignore[arg-type]
            for index in range(len(node.values)):  # and without each of its operands
                values = node.values[:index] + node.values[index + 1 :]
                if not _stands_for_none(node):
                    yield values[0] if len(values) == 1 else ast.BoolOp(node.op, values)
        case ast.BinOp() if not _is_text(node.left):
            for other in OPERATORS.get(type(node.op), ()):
                yield ast.BinOp(node.left, other(), node.right)  # type: ignore[arg-type]


def _other_values(value: object) -> tuple[bool | int | str | bytes, ...]:
    match value:
        case bool():
            return (not value,)
        case int():
            return value + 1, value - 1
        case str() if value:
            return ("",)
        case bytes() if value:
            return (b"",)
    return ()


def _stands_for_none(node: ast.BoolOp) -> bool:
    """Whether the last operand only gives None the type of a text: ``host or ""``."""
    match node.values[-1]:
        case ast.Constant(value="" | b""):
            return isinstance(node.op, ast.Or)
    return False


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return isinstance(node, ast.JoinedStr)


def _essence(code: CodeType) -> tuple[object, ...]:
    """What a code object does, without where its lines stand."""
    constants = tuple(
        _essence(each) if isinstance(each, CodeType) else (type(each), repr(each))
        for each in code.co_consts
    )
    return code.co_code, code.co_names, code.co_varnames, constants
