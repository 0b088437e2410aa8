"""Who may call what is written down twice: in the declarations, and by hand in `roles`."""

from oms.contract.operation import Permission
from oms.contract.registry import BY_WIRE
from tests.contract.roles import CHANGES, CHANGES_ONES_OWN, MAY_CALL


def test_each_method_has_its_row_and_each_row_its_method() -> None:
    assert set(MAY_CALL) == set(BY_WIRE), "write down in tests/contract/roles.py who may call it"


def test_what_is_declared_is_what_was_written_down() -> None:
    assert {name: kind.facts.permission for name, kind in BY_WIRE.items()} == MAY_CALL
    assert {name for name, kind in BY_WIRE.items() if kind.facts.changes} == CHANGES | CHANGES_ONES_OWN


def test_nobody_changes_anything_who_may_only_read() -> None:
    assert {MAY_CALL[name] for name in CHANGES} <= {Permission.OPERATOR, Permission.ADMIN}
