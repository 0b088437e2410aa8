"""The project's own source as syntax trees, and what the rules of the house ask of one."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
OMS = ROOT / "src" / "oms"
CATCH_ALL = {"Exception", "BaseException"}


class Module(msgspec.Struct, frozen=True):
    """One module: its path below `src/oms`, its text."""

    path: str
    text: str

    def __str__(self) -> str:
        return self.path

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@functools.cache
def _parsed(text: str) -> ast.Module:
    """Each module once, though several rules look at it."""
    return ast.parse(text)


def modules() -> list[Module]:
    paths = sorted(path for path in OMS.rglob("*.py") if "__pycache__" not in path.parts)
    return [Module(str(path.relative_to(OMS)), path.read_text(encoding="utf-8")) for path in paths]


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function, docstring not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) is not None else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def swallowed(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Handlers that catch every exception and do not raise it again."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node) and not _raises_again(node):
            yield node


def _catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in CATCH_ALL for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Its last statement is a bare `raise`: whatever else it does, the exception goes on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def leaves_a_trace(handler: ast.ExceptHandler) -> bool:
    """Whether it logs the traceback, or hands the exception itself on."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Call):
            words = [ast.unparse(part) for part in (*node.args, *(keyword.value for keyword in node.keywords))]
            if ast.unparse(node.func).endswith(".exception") or (handler.name and handler.name in words):
                return True
    return False


def classes_with_a_code(tree: ast.Module, errors: set[str]) -> Iterator[str]:
    """Names of classes that derive from one of the errors and give themselves a code."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef)
            and {ast.unparse(base).rpartition(".")[2] for base in node.bases} & errors
        ):
            given = {target.id for part in node.body for target in _targets(part) if isinstance(target, ast.Name)}
            if "code" in given:
                yield node.name


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []
