"""Load from wrk, and its figures."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """Milliseconds, and requests a second."""

    p50: float
    p99: float
    rate: float
    failed: int


def wrk(url: str, *, clients: int, seconds: float, body: str = "", close: bool = False) -> Load:
    """POST the body (GET where there is none) for so long, from one thread."""
    script = f"wrk.method = {'POST' if body else 'GET'!r}\n"
    if body:
        script += f"wrk.body = [[{body}]]\nwrk.headers['Content-Type'] = 'application/json'\n"
    if close:
        script += "wrk.headers['Connection'] = 'close'\n"
    script += """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("FIGURES %d %d %d\\n", latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.timeout))
end
"""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "load.lua"
        file.write_text(script)
        said = subprocess.run(
            ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "-s", str(file), url],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    found = re.search(r"FIGURES (\d+) (\d+) (\d+)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None and rate is not None, said
    p50, p99, failed = (int(part) for part in found.groups())
    return Load(p50 / 1000, p99 / 1000, float(rate[1]), failed)
