"""Programs run by argument list, within limits, and leave nothing behind."""

import asyncio
import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import uvloop

from oms.agent.host.process import MIB, Limits, OutputTooLong, ProgramMissing, ProgramTimeout, run


async def test_what_a_program_said_and_how_it_ended() -> None:
    done = await run(
        [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], timeout=120
    )
    assert (done.exit, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert done.words == "err"


async def test_arguments_arrive_as_they_are() -> None:
    hostile = "$(touch /tmp/x); `id` \n 'a' \"b\" *"
    done = await run([sys.executable, "-c", "import sys; sys.stdout.write(sys.argv[1])", hostile], timeout=120)
    assert done.stdout.decode() == hostile


async def test_there_is_no_input_and_nothing_of_our_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_SECRET", "told")
    done = await run(
        [sys.executable, "-c", "import os, sys; print(sys.stdin.read(), dict(os.environ), os.getcwd())"],
        timeout=120,
    )
    assert b"OMS_SECRET" not in done.stdout
    assert b"C.UTF-8" in done.stdout
    assert done.stdout.endswith(b" /\n")


async def test_variables_are_added_and_taken_away() -> None:
    done = await run(["/usr/bin/env"], timeout=120, environment={"MORE": "1", "PATH": None})
    assert sorted(done.stdout.split()) == [b"LC_ALL=C.UTF-8", b"MORE=1"]


async def test_a_program_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program cannot be run"):
        await run(["no-such-program"], timeout=5)


async def test_a_late_program_is_killed_with_its_children_and_its_words_so_far_are_kept(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; echo so far; sleep 60"  # a shell is there in no time
    with pytest.raises(ProgramTimeout) as late:
        await run(["/bin/sh", "-c", script], timeout=3)
    assert late.value.so_far == b"so far\n"
    await gone(int(pid_file.read_text()))


async def test_children_that_outlive_their_parent_are_ended(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid)\n"
    )
    done = await run([sys.executable, "-c", script], timeout=120)
    await gone(int(done.stdout))


async def test_endless_output_is_cut_off() -> None:
    begun = time.monotonic()
    with pytest.raises(OutputTooLong, match="more than 100000 bytes"):
        await run(["yes"], timeout=120, limit=100_000)
    assert time.monotonic() - begun < 10


async def test_a_cancelled_run_kills_its_program(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(run([sys.executable, "-c", script], timeout=60))
    while not (pid_file.exists() and pid_file.read_text()):  # noqa: ASYNC110 - the program is another process
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(pid_file.read_text()))


async def test_output_is_handed_on_as_it_comes(tmp_path: Path) -> None:
    came: list[bytes] = []

    def heard(text: bytes) -> None:
        came.append(text)
        (tmp_path / "heard").touch()

    script = f"echo 1; while [ ! -e {tmp_path}/heard ]; do sleep 0.01; done; echo 2"
    done = await run(["/bin/sh", "-c", script], timeout=60, on_output=heard)
    assert (done.stdout, came) == (b"", [b"1\n", b"2\n"])


async def test_a_program_under_limits_gets_no_more_memory_or_time() -> None:
    small = Limits(cpu_seconds=1, memory_bytes=200 * MIB)
    done = await run([sys.executable, "-c", "bytearray(400 * 2**20)"], timeout=120, limits=small)
    assert (done.exit, "MemoryError" in done.words) == (1, True)
    done = await run([sys.executable, "-c", "while True: pass"], timeout=120, limits=small)
    assert done.exit in (-signal.SIGXCPU, -signal.SIGKILL)


async def test_a_missing_program_is_missing_under_limits_too() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        await run(["no-such-program"], timeout=5, limits=Limits())


async def gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":  # dead; whoever adopted it collects it in his own time
            return
        await asyncio.sleep(0.02)
    os.kill(pid, 9)
    raise AssertionError(f"process {pid} was left behind")


async def test_an_older_kernel_has_a_thread_wait_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", unknown)
    assert (await run(["/bin/sh", "-c", "echo said; exit 3"], timeout=120)).exit == 3


def test_the_loop_of_the_agent_runs_programs_as_asyncio_does() -> None:
    async def both() -> None:
        done = await run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], timeout=120)
        assert (done.exit, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
        with pytest.raises(ProgramTimeout):
            await run(["/bin/sleep", "60"], timeout=0.1)

    uvloop.run(both())
