"""What OMS is measured against: Starlette on uvicorn with TLS, answering JSON of a size, and nothing else."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL = {"error": None, "id": 1, "result": {"type": "auth", "result": "x" * 232}}


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
def running(port: int, certificate: Path, key: Path, answer: Path) -> Iterator[str]:
    """The server as a process; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.floor", str(port), str(certificate), str(key), str(answer)]
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
