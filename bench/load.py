"""Load from wrk, and its figures."""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """Milliseconds, and requests a second."""

    p50: float
    p99: float
    rate: float
    failed: int


def wrk(url: str, bodies: Sequence[str], *, clients: int, seconds: int, close: bool = False) -> Load:
    """POST the bodies, one after the other and then again, for so long, from one thread.

    Several bodies are changes, of which each answer is looked at: one with an error in it counts as failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "load.lua"
        file.write_text(_script(bodies, close=close, look=len(bodies) > 1))
        said = subprocess.run(
            ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(file), url],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    found = re.search(r"FIGURES (\d+) (\d+) (\d+) (\d+)", said)
    assert found is not None, said
    p50, p99, failed, rate = (int(part) for part in found.groups())
    return Load(p50 / 1000, p99 / 1000, rate / 1000, failed)


def _script(bodies: Sequence[str], *, close: bool, look: bool) -> str:
    headers = {"Content-Type": "application/json", **({"Connection": "close"} if close else {})}
    return "\n".join((
        "wrk.method = 'POST'",
        *(f"wrk.headers['{name}'] = '{value}'" for name, value in headers.items()),
        f"bodies = {{{', '.join(f'[==[{body}]==]' for body in bodies)}}}",
        "wrk.body = bodies[1]",
        SEVERAL if look else "",
        DONE,
    ))  # fmt: skip


SEVERAL = """
local at, wrong = 0, 0
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
response = function(status, headers, body)
  if not body:find('"error":null', 1, true) then
    wrong = wrong + 1
    wrk.thread:set("wrong", wrong)
  end
end
local threads = {}
setup = function(thread) table.insert(threads, thread) end
refused = function()
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + (thread:get("wrong") or 0) end
  return sum
end
"""
DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("FIGURES %d %d %d %d\\n", latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.timeout + (refused and refused() or 0),
    summary.requests / summary.duration * 1e9))
end
"""


def call(service: str, method: str, *params: object) -> str:
    """A call's body."""
    return json.dumps({"service": service, "method": method, "id": 1, "params": params})


def good(load: Load) -> Load:
    """The same, if nothing went wrong: figures of failures would mean nothing."""
    assert not load.failed, f"{load.failed} requests failed"
    return load
