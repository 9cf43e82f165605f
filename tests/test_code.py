"""Size, names and docstrings of the code: what a linter does not check."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dev

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
# A docstring begins with a noun or a verb of the field.
WORDS = """
    i me my we us our ours you your yours he him his she her hers it its they them their theirs
    this that these those who whom whose which what whoever whatever whichever none nobody nothing nowhere
    anybody anyone anything everybody everyone everything somebody someone something others
    how why when where whether wherever whenever there here
    about above across after against along among around as at before behind below beneath beside besides between beyond by
    despite down during except for from in inside into like near of off on onto out outside over past per since through
    to toward towards under until unto up upon via with within without although because if once though unless while
"""
NO_FIRST_WORDS = frozenset(WORDS.split())

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def trees(folder: str) -> dict[str, ast.Module]:
    """Syntax tree of each Python file below a folder, by path from the top of the checkout. Made by the first test that looks:
    every process collects this file."""
    files = sorted((dev.ROOT / folder).rglob("*.py"))
    return {file.relative_to(dev.ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def definitions(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Yield the public functions and classes of a module, and the public methods of those classes."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node)


def package(path: str) -> str:
    """Name of the package below `app`, or of the module, that a file belongs to: `app/store/keys.py` is in `store`."""
    return Path(path).parts[1].removesuffix(".py")


def imported_by_other_packages() -> set[tuple[str, str]]:
    """Collect (package, name) of whatever a file imports from another package of `app`."""
    found = set()
    for path, tree in trees("app").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app.") and node.level == 0:
                source = str(node.module).split(".")[1]
                found |= {(source, alias.name) for alias in node.names if source != package(path)}
    return found


def assert_none(found: list[str]) -> None:
    assert not found, f"{len(found)}:\n" + "\n".join(found)


def test_no_file_is_longer_than_300_lines() -> None:
    paths = [*trees("app"), *trees("tests")]
    lines = {path: len((dev.ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths}

    assert_none([f"{path}: {count} lines" for path, count in lines.items() if count > FILE_LINES_MAX])


def test_no_function_is_longer_than_50_lines() -> None:
    assert_none(
        [
            f"{path}:{node.lineno} {node.name}: {lines} lines"
            for path, tree in (trees("app") | trees("tests")).items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := int(node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        ]
    )


def test_no_two_classes_of_the_application_have_the_same_name() -> None:
    where = defaultdict(list)
    for path, tree in trees("app").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(f"{path}:{node.lineno}")

    assert_none([f"{name}: {', '.join(places)}" for name, places in where.items() if len(places) > 1])


def test_a_docstring_begins_with_a_noun_or_a_verb() -> None:
    found = []
    for path, tree in trees("app").items():
        for node in (tree, *definitions(tree)):
            words = (ast.get_docstring(node) or "").split()
            if words and words[0].strip("`'\",.:;()").lower() in NO_FIRST_WORDS:
                found.append(f"{path}:{getattr(node, 'lineno', 1)} {' '.join(words[:8])}")

    assert_none(found)


def test_whatever_another_package_imports_has_a_docstring() -> None:
    imported = {
        (source, name) for source, name in imported_by_other_packages() if source != "errors"
    }  # See docs/errors.md.

    assert_none(
        [
            f"{path}:{node.lineno} {node.name}"
            for path, tree in trees("app").items()
            for node in tree.body
            if isinstance(node, Definition) and (package(path), node.name) in imported and not ast.get_docstring(node)
        ]
    )
