"""The examples in the documentation: its fenced blocks, and what stands in them for a shell.

The word behind the fence says what a block is: `sh` commands, `console` commands behind a `$` with what they
print, `text` neither; the rest are languages. `sh run` is run against a real OMS, page by page.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")", "{", "}", "then", "do", "done", "else", "fi", "|&"}
_BEFORE = (("runuser", "-u", "oms", "--"), ("sudo",), ("exec",))
OMS = {"oms", ".venv/bin/oms", "/opt/oms/bin/oms"}


class Block(NamedTuple):
    """One of them."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def kind(self) -> str:
        return self.info.split()[0] if self.info else ""

    @property
    def run(self) -> bool:
        return "run" in self.info.split()[1:]

    @property
    def commands(self) -> str:
        """What is typed."""
        if self.kind != "console":
            return self.text
        return "".join(line[2:] for line in self.text.splitlines(keepends=True) if line.startswith("$ "))

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[2].strip(), found[3])


ALL = [block for page in PAGES for block in of(page)]
SHELL = [block for block in ALL if block.kind in ("sh", "console")]


def commands(script: str) -> Iterator[list[str]]:
    """The commands of a script, each as its words; here documents are left out."""
    script = re.sub(r"<<-?'?(\w+)'?([^\n]*)\n.*?^\1$", r"\2", script, flags=re.MULTILINE | re.DOTALL)
    script = script.replace("\\\n", " ")
    for line in _logical_lines(script):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in lexer:
            if word in _SEPARATORS or set(word) <= set("();|&"):
                yield from _one(words)
                words = []
            else:
                words.append(word)
        yield from _one(words)


def _logical_lines(script: str) -> Iterator[str]:
    """Lines, with those together over which a quotation goes."""
    waiting = ""
    for line in script.splitlines():
        waiting += line
        try:
            shlex.split(waiting, comments=True)
        except ValueError:
            waiting += "\n"
            continue
        yield waiting
        waiting = ""
    if waiting.strip():
        raise ValueError(f"a quotation does not end: {waiting}")


def _one(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"^\w+=", words[0]):
        words = words[1:]
    for before in _BEFORE:
        if tuple(words[: len(before)]) == before:
            words = words[len(before) :]
    for place, word in enumerate(words):
        if word.startswith((">", "<")) or word == "2>&1":
            words = words[:place]
            break
    if words:
        yield words
