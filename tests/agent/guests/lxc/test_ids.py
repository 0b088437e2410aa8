"""Whose ids are free for containers."""

import pytest

from oms.agent.guests.lxc import ids
from oms.settings import SettingsError


def test_the_first_range_that_is_nobodys_is_taken() -> None:
    assert ids.free_range([]) == 100000
    assert ids.free_range([(100000, 65536)]) == 165536
    assert ids.free_range([(231072, 65536), (100000, 65536), (165600, 100)]) == 296608
    assert ids.free_range([(1000, 99000)]) == 100000


def test_the_file_is_read_and_nonsense_in_it_passed_over() -> None:
    assert ids.parsed("root:100000:65536\n\n# x\nme:1:y\nroot:5:6\n") == {"root": [(100000, 65536), (5, 6)]}


async def test_a_setting_that_is_none_says_what_is_legal() -> None:
    for wrong in ("1", "0:65536", "100000", "100000:10", "a:b", "4294900000:65536"):
        with pytest.raises(SettingsError, match="FIRST:COUNT"):
            await ids.ids_for_containers(wrong)
    assert await ids.ids_for_containers("none") == ()
