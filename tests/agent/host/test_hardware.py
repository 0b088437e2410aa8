"""Processors of several kinds."""

from pathlib import Path

from oms.agent.host import hardware
from oms.agent.host.hardware import Processor

PC = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) CPU 5110 @ 1.60GHz
cpu MHz\t\t: 1596.040
cache size\t: 4096 KB

processor\t: 1
cpu MHz\t\t: 800.000
"""


def test_a_pc_says_all_of_its_first_processor() -> None:
    assert hardware.processor(PC) == Processor("4096 KB", "Intel(R) Xeon(R) CPU 5110 @ 1.60GHz", "1596.040")


def test_where_it_does_not_the_kernels_other_files_do(tmp_path: Path) -> None:
    for index, size in (("index0", "64K"), ("index3", "8192K")):
        (tmp_path / "cache" / index).mkdir(parents=True)
        (tmp_path / "cache" / index / "size").write_text(f"{size}\n")
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq" / "cpuinfo_max_freq").write_text("1800000\n")
    found = hardware.processor("processor\t: 0\nBogoMIPS\t: 108.00\n", tmp_path)
    assert (found.cache, found.mhz, bool(found.type)) == ("8192 KB", "1800.000", True)
    assert hardware.processor("", tmp_path / "nothing").cache == "0 KB"


def test_swap_spaces_are_told_by_their_paths() -> None:
    table = "Filename\tType\tSize\tUsed\tPriority\n/dev/dm-1 partition 8388600 0 -2\n/my\\040swap file 4 0 -3\n"
    assert hardware.swap_paths(table) == ("/dev/dm-1", "/my swap")
    assert hardware.swap_paths("Filename\n") == ()
