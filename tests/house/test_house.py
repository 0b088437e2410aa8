"""The rules of the house. Each test is one sentence; the lists of exceptions may only shrink."""

import ast
import re

import pytest

from oms import __version__
from oms.contract.errors import OmsError
from tests.house import source
from tests.house.source import ROOT

MODULES = source.modules()

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS = {"server/store/migrations/versions/v0001_first_tables.py:upgrade": 95}

FORBIDDEN_NAMES = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

SWALLOWERS = {
    "agent/guests/threads.py": "the exception is the asker's, not the thread's",
    "agent/lanes.py": "a handler's bug ends its job, not the agent",
    "bus/call.py": "the edge of the agent",
    "bus/local.py": "what breaks in a handler stays with its message, as on the real bus",
    "bus/nats/agent.py": "what breaks in a handler stays with its message",
    "bus/nats/callout.py": "who could not be decided on is refused",
    "bus/nats/client.py": "what breaks in a handler stays with its message",
    "bus/nats/control.py": "what could not be asked is asked again",
    "bus/nats/link.py": "the link is made again",
    "bus/nats/server.py": "what breaks in a handler stays with its event",
    "server/ca/signer.py": "the edge of the signer",
    "server/edge/http.py": "the edge of the server",
    "server/store/writer.py": "what breaks in a write is its asker's, and the others' writes go on",
}
"""Where every exception is caught and not raised again, and why. One message or job of many, or an edge."""

CODES_OUTSIDE_THE_CONTRACT = {"server/edge/dialects.py", "server/edge/qooxdoo.py"}
"""These speak of the protocols' own errors, which belong to no method."""


def test_no_module_is_longer_than_400_lines() -> None:
    longer = {m.path: m.lines for m in MODULES if m.lines > LONG_MODULES.get(m.path, LONGEST_MODULE)}
    assert not longer, "find the two things that each is about"


def test_no_function_is_longer_than_60_lines() -> None:
    longer = {
        f"{module.path}:{name}": length
        for module in MODULES
        for name, length in source.functions(module.tree)
        if length > LONG_FUNCTIONS.get(f"{module.path}:{name}", LONGEST_FUNCTION)
    }
    assert not longer, "25 read well"


def test_exceptions_from_the_lengths_are_still_needed() -> None:
    lengths = {f"{m.path}:{name}": length for m in MODULES for name, length in source.functions(m.tree)}
    assert {name: lengths.get(name, 0) for name in LONG_FUNCTIONS} == LONG_FUNCTIONS
    assert {m.path: m.lines for m in MODULES if m.path in LONG_MODULES} == LONG_MODULES


@pytest.mark.parametrize("folder", ["src/oms", "tests", "bench"])
def test_a_file_is_named_after_what_it_is_about(folder: str) -> None:
    paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")]
    assert paths
    for path in paths:
        vague = {part.removesuffix(".py").removeprefix("test_") for part in path.parts} & FORBIDDEN_NAMES
        assert not vague, f"{path}: {', '.join(vague)} says nothing about what is inside"


def test_every_exception_is_caught_at_few_places_and_leaves_a_trace() -> None:
    for module in MODULES:
        for handler in source.swallowed(module.tree):
            where = f"{module.path}:{handler.lineno}"
            assert module.path in SWALLOWERS, (
                f"{where} catches every exception: name those that are meant, or raise again"
            )
            assert source.leaves_a_trace(handler), f"{where} hides a bug: log.exception"


def test_every_place_that_catches_all_is_still_one() -> None:
    now = {module.path for module in MODULES if any(source.swallowed(module.tree))}
    assert set(SWALLOWERS) <= now, "take it off the list"


def test_errors_get_their_names_and_codes_in_the_contract() -> None:
    for module in MODULES:
        if not module.path.startswith("contract/") and module.path not in CODES_OUTSIDE_THE_CONTRACT:
            given = list(source.classes_with_a_code(module.tree, {"OmsError", *OmsError.kinds}))
            assert not given, f"{module.path}: {', '.join(given)} would be published by nobody"


def test_a_module_says_what_it_is_for() -> None:
    silent = [module.path for module in MODULES if len((ast.get_docstring(module.tree) or "").split()) < 3]
    assert not silent, "each needs a docstring"


@pytest.mark.parametrize("floor", ["server", "agent"])
def test_a_floor_has_a_map_of_its_rooms(floor: str) -> None:
    text = (source.OMS / floor / "__init__.py").read_text(encoding="utf-8")
    rooms = {
        path.stem for path in (source.OMS / floor).iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert {room for room in rooms if not re.search(rf"\b{room}\b", text)} == {"__init__"}, "say where each is"


def test_the_project_speaks_of_itself_alone() -> None:
    """Nothing in it leads to the place where it was written, or waits to be done."""
    assert [m.path for m in MODULES if re.search(r"/w[o]rk/|\b(TODO|FIXME|XXX|HACK)\b", m.text)] == []


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "LICENSE", "docs/reference/api.md", "docs/api/openrpc.json"]
)
def test_what_a_visitor_looks_for_is_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 200


def test_the_changelog_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)}\b", text, re.MULTILINE), f"nothing about {__version__}"


PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def test_links_between_the_documents_lead_somewhere() -> None:
    assert PAGES
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} leads to {target}, which is not there"


# --- the rules bite -----------------------------------------------------------------------------------------


def handlers(code: str) -> list[ast.ExceptHandler]:
    return list(source.swallowed(ast.parse(code)))


@pytest.mark.parametrize(
    "kind", ["", " Exception", " BaseException", " (ValueError, Exception)", " Exception as bug"]
)
def test_a_catch_all_is_seen(kind: str) -> None:
    (handler,) = handlers(f"try:\n  f()\nexcept{kind}:\n  pass\n")
    assert not source.leaves_a_trace(handler)


def test_one_that_raises_again_or_names_its_kinds_is_none() -> None:
    assert not handlers("try:\n  f()\nexcept Exception:\n  g()\n  raise\n")
    assert not handlers("try:\n  f()\nexcept (ValueError, OSError):\n  pass\n")
    assert handlers("try:\n  f()\nexcept Exception as e:\n  raise ValueError from e\n")


@pytest.mark.parametrize("trace", ["log.exception('x')", "fail(bug)", "log.error('x', exc_info=bug)"])
def test_a_trace_is_seen(trace: str) -> None:
    (handler,) = handlers(f"try:\n  f()\nexcept Exception as bug:\n  {trace}\n")
    assert source.leaves_a_trace(handler)


def test_lengths_are_counted_without_docstrings() -> None:
    code = 'async def f():\n  """One.\n\n  Two.\n  """\n  a = 1\n\n  return a\n\nclass C:\n  def g(self): ...\n'
    assert list(source.functions(ast.parse(code))) == [("f", 4), ("g", 1)]


def test_a_code_outside_the_contract_is_seen() -> None:
    code = "class A(FuncManError):\n  code = 1\nclass B(errors.FuncManError):\n  code: int = 2\n"
    code += "class C(FuncManError):\n  reason = 'x'\nclass D(ValueError):\n  code = 3\n"
    assert list(source.classes_with_a_code(ast.parse(code), {"FuncManError"})) == ["A", "B"]
