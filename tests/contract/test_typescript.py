"""The API as TypeScript. That it is TypeScript, and enough for the GUI, its build says."""

import re

from oms.contract import typescript
from oms.contract.registry import OPERATIONS

TEXT = typescript.text()


def test_every_method_stands_there_with_what_must_be_known_before_it_is_called() -> None:
    for kind in OPERATIONS:
        assert len(re.findall(rf'^  "{kind.facts.wire}": {{', TEXT, re.MULTILINE)) == 2, kind.facts.wire
    assert '"kvmservices.start_vm": { by: "host", may: "operator", changes: true,' in TEXT
    assert '"authservices.authenticate": { by: "open", may: "nobody", changes: false,' in TEXT


def test_parameters_are_by_name_without_those_that_every_call_has() -> None:
    said = TEXT[TEXT.index('"kvmservices.list_vms"') :]
    said = said[: said.index("\n  };")]
    assert "server_hostname: string;" in said
    assert "stats_argument?: string[];" in said
    assert "answer: Machine[];" in said
    assert not re.search(r"^ *SESSID", TEXT, re.MULTILINE)
    assert "params: Record<never, never>;" in TEXT


def test_every_type_that_is_spoken_of_is_declared() -> None:
    declared = set(re.findall(r"^export (?:interface|type) (\w+)", TEXT, re.MULTILINE))
    used = set(re.findall(r": \(?([A-Z]\w+)\b", re.sub(r"/\*\*.*?\*/", "", TEXT, flags=re.DOTALL)))
    assert used - declared <= {"Record"}
    assert len(declared) > 70
