"""Help in Chinese: texts of commands and options, lines broken by the width of Chinese characters."""

import re
from collections.abc import Sequence

import typer
from typer._click.core import Command
from typer._click.formatting import HelpFormatter
from typer.core import TyperGroup

from app.cli.language import display_width, translate, wrap

_HELP = re.compile(r"(.*?)(  \[[^\]]*\])?", re.DOTALL)
"""Help of an option, and what typer adds to it: `[default: month; required]`."""


def translate_help(command: Command) -> None:
    """Let a command, and all commands of a group, print their help in Chinese."""
    command.context_class = _ChineseContext
    if command.help:
        command.help = translate(" ".join(command.help.split()))
        command.short_help = re.split(r"(?<=。)", command.help)[0]
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            translate_help(inner)


class _ChineseFormatter(HelpFormatter):
    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or f"{translate('Usage')}: ")

    def write_heading(self, heading: str) -> None:
        super().write_heading(translate(heading))

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        self.write("".join(f"{indent}{line}\n" for line in wrap(text, self.width - self.current_indent)))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        first_width = min(max(display_width(first) for first, _ in rows), col_max) + col_spacing
        indent = " " * self.current_indent
        for first, second in rows:
            if display_width(first) + col_spacing > first_width:
                self.write(f"{indent}{first}\n")
                first = ""
            for line in wrap(_option_help(second), max(self.width - first_width - 2, 10)):
                self.write(f"{indent}{first}{' ' * (first_width - display_width(first))}{line}\n")
                first = ""


class _ChineseContext(typer.Context):
    formatter_class = _ChineseFormatter


def _option_help(text: str) -> str:
    found = _HELP.fullmatch(text)
    assert found is not None
    added = re.sub(r"(?<=\[)default(?=:)|required(?=\])", lambda word: translate(word[0]), found[2] or "")
    return translate(" ".join(found[1].split())) + added
