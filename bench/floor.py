"""What OMS is measured against: Starlette on uvicorn with TLS, answering JSON of a size, and nothing else."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SMALL = {"error": None, "id": 1, "result": {"type": "auth", "result": "x" * 232}}


@dataclass(frozen=True)
class Floor:
    """The server beside OMS: its address, and its process."""

    url: str
    pid: int


def serve(port: int, certificate: str, key: str, answer_file: str) -> None:
    """Run the server; blocks."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    large = json.loads(Path(answer_file).read_text())

    async def small(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse(SMALL)

    async def big(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse(large)

    app = Starlette(routes=[Route("/small", small, methods=["POST"]), Route("/large", big, methods=["POST"])])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,
        log_level="warning",
        loop="uvloop",
        http="httptools",
    )


@contextmanager
def running(port: int, certificate: Path, key: Path, answer: Path) -> Iterator[Floor]:
    """The server as a process, with OMS's own certificate."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.floor", str(port), str(certificate), str(key), str(answer)]
    )
    try:
        _wait_for(port)
        yield Floor(f"https://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
