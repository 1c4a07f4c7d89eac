"""nginx with the configuration that Portico comes with, in front of servers on this machine."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.certificate import certificate
from tests.faults.processes import comes_true
from tests.ports import reserved_port

CONFIGURATION: Final = Path(__file__).parents[1] / "entrypoints" / "deployment" / "nginx.conf"
HOW_TO_GET: Final = "no nginx on this machine: `apt-get install nginx-light`"
STARTING_SECONDS: Final = 180
PROGRAM: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

AROUND: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/portico.conf;
}}
"""
"""What Debian's own nginx.conf has, less a master process: whoever runs the tests runs all of it."""


def command(folder: Path, *, listen: str, upstreams: Sequence[str]) -> list[str]:
    """What starts it, when its files have been written into the folder. `upstreams` are as nginx names them."""
    assert PROGRAM is not None
    folder.mkdir()
    text = CONFIGURATION.read_text("utf-8")
    servers = "\n".join(f"    server {upstream};" for upstream in upstreams)
    for written, here in {
        "    server 127.0.0.1:8000 max_fails=0;\n    server 127.0.0.1:8001 max_fails=0;": servers,
        "listen 443 ssl": f"listen {listen}",
        "/etc/nginx/": f"{folder}/",
    }.items():
        assert written in text
        text = text.replace(written, here)
    (folder / "portico.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder), "utf-8")
    for name, content in zip(("portico.crt", "portico.key"), certificate(), strict=True):
        (folder / name).write_bytes(content)
    return [PROGRAM, "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]


@asynccontextmanager
async def nginx(folder: Path, upstreams: Sequence[int]) -> AsyncIterator[int]:
    """nginx on the port that it yields, speaking TLS, in front of the servers on these ports."""
    with reserved_port() as port:
        servers = [f"127.0.0.1:{upstream} max_fails=0" for upstream in upstreams]
        process = await asyncio.create_subprocess_exec(
            *command(folder, listen=f"127.0.0.1:{port} ssl", upstreams=servers),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await comes_true(lambda: _takes_connections(port), STARTING_SECONDS)
            yield port
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to it, whoever it says it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def _takes_connections(port: int) -> bool:
    try:
        _, writer = await connected(port)
    except OSError:
        return False
    writer.close()
    return True
