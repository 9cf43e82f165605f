"""Texts of the errors that the code raises, found in its syntax: with `<1>`, `<2>` in place of what they are filled with."""

import ast
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import dev
from app import errors

Function = ast.FunctionDef | ast.AsyncFunctionDef
MAKERS = {"unknown"}
"""Functions that other modules call to make an error of a text."""


def family(values: Mapping[str, object]) -> set[str]:
    """Names among these that are classes of errors, or make one of a text."""
    classes = {
        name for name, value in values.items() if isinstance(value, type) and issubclass(value, errors.GatewayError)
    }
    return classes | MAKERS


@dataclass
class Module:
    """Module of the application. `constants` are the texts at its top, imported ones included; `family` the classes of errors."""

    path: Path
    tree: ast.Module = field(init=False)
    constants: Mapping[str, str] = field(init=False)
    family: set[str] = field(init=False)
    functions: list[Function] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.path.read_text(encoding="utf-8"))
        name = ".".join(self.path.relative_to(dev.ROOT).with_suffix("").parts)
        values = vars(importlib.import_module(name))
        self.constants = {name: value for name, value in values.items() if isinstance(value, str)}
        self.family = family(values)
        self.functions = [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def texts(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of each error that is made here. Texts that are handed in from elsewhere are left out."""
        for scope in [self.tree, *self.functions]:
            for call in _calls(scope):
                if _name(call.func) in self.family and call.args:
                    for text in self._resolved(call.args[0], scope):
                        yield call.lineno, text
                yield from self._handed_on(call)

    def _handed_on(self, call: ast.Call) -> Iterator[tuple[int, str]]:
        """Yield the texts that a call hands to a function of this module that makes an error of its parameter."""
        for function in (each for each in self.functions if each.name == _name(call.func)):
            names = [each.arg for each in function.args.args if each.arg not in ("self", "cls")]
            made = [each for each in _calls(function) if _name(each.func) in self.family and each.args]
            wanted = {name for each in made for name in _names(each.args[0])}
            wanted |= {name for each in wanted for value in _assigned(each, function) for name in _names(value)}
            for name, argument in zip(names, call.args, strict=False):
                if name in wanted and isinstance(argument, ast.Constant | ast.JoinedStr | ast.IfExp):
                    for text in self._resolved(argument, self.tree):
                        yield call.lineno, text

    def _resolved(self, node: ast.expr, scope: ast.AST) -> list[str]:
        """List what a text can be."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return _joined([self._part(number, part, scope) for number, part in enumerate(parts)])
            case ast.IfExp(body=first, orelse=second):
                return [*self._resolved(first, scope), *self._resolved(second, scope)]
            case ast.BoolOp(values=values):
                return [text for value in values for text in self._resolved(value, scope)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([self._resolved(left, scope) or ["<1>"], self._resolved(right, scope) or ["<2>"]])
            case ast.Call(func=ast.Attribute(value=text, attr="strip")):
                return [found.strip() for found in self._resolved(text, scope)]
            case ast.Call(func=ast.Name(id=name)):
                return [text for value in self._returned(name) for text in self._resolved(*value)]
            case ast.Name(id=name):
                found = [text for value in _assigned(name, scope) for text in self._resolved(value, scope)]
                return found or ([self.constants[name]] if name in self.constants else [])
        return []

    def _returned(self, name: str) -> list[tuple[ast.expr, Function]]:
        """List what a function at the top of this module returns, with that function."""
        functions = [node for node in self.tree.body if isinstance(node, Function) and node.name == name]
        return [
            (node.value, function)
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr | ast.Constant)
        ]

    def _part(self, number: int, part: ast.expr, scope: ast.AST) -> list[str]:
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        assert isinstance(part, ast.FormattedValue)
        value = part.value
        branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        return [text for each in branches for text in self._sentences(each, scope) or [f"<{number}>"]]

    def _sentences(self, node: ast.expr, scope: ast.AST) -> list[str]:
        """List the words that a name or a constant stands for."""
        known = self._resolved(node, scope) if isinstance(node, ast.Name | ast.Constant) else []
        return [text for text in known if " " in text or text == ""]


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a scope, without those of functions inside it."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, Function):
            if isinstance(node, ast.Call):
                yield node
            yield from _calls(node)


def _assigned(name: str, scope: ast.AST) -> list[ast.expr]:
    if isinstance(scope, ast.Module):
        return []
    found = []
    for node in ast.walk(scope):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.NamedExpr) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found.append(node.value)  # type: ignore[attr-defined]
    return found


def _names(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _joined(parts: Sequence[list[str]]) -> list[str]:
    return ["".join(chosen) for chosen in product(*parts)]


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))
