"""What OMS is measured against: Starlette on uvicorn with TLS, answering JSON of a size, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import listens, until

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
        until(lambda: listens(port))
        yield Floor(f"https://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
