"""A server on this machine whose answers a test decides."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Seen:
    """A request that has arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Page:
    """An answer. A status of 0 hangs up instead."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """What is answered, by method and path, and what was asked."""

    url: str = ""
    pages: dict[str, Callable[[Seen], Page]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def asked(self, key: str) -> list[Seen]:
        return [seen for seen in self.seen if f"{seen.method} {seen.path}" == key]

    def answer(self, seen: Seen) -> Page:
        self.seen.append(seen)
        page = self.pages.get(f"{seen.method} {seen.path}")
        return page(seen) if page else Page(404, {})


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            page = site.answer(Seen(self.command, address.path, address.query, headers, body))
            if page.status == 0:
                self.close_connection = True
                return
            content = json.dumps(page.content).encode()
            self.send_response(page.status)
            for name, value in {"Content-Type": "application/json", **page.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()
