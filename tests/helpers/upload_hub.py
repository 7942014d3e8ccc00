"""The Hugging Face hub's endpoints that an upload uses, served on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What the hub holds: files and visibility by the model's name; what it was asked."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refuse: str = ""
    """A part of a path that the hub answers with 403."""

    def create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer the wish for a new model."""
        name = f"{asked['organization'] or 'me'}/{asked['name']}"
        known = name in self.files
        self.files.setdefault(name, {".gitattributes": b""})
        self.private.setdefault(name, asked.get("visibility") == "private")
        return (409 if known else 200), {"url": f"{self.address}/{name}"}

    def preupload(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Say which files are large."""
        return {
            "files": [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in asked["files"]
            ]
        }

    def batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Say where large files go; those that are there need no place."""
        objects = []
        for one in asked["objects"]:
            action = {"upload": {"href": f"{self.address}/put/{one['oid']}"}}
            there = one["oid"] in self.objects
            objects.append({**one, **({} if there else {"actions": action})})
        return {"transfer": "basic", "objects": objects}

    def commit(self, name: str, lines: bytes) -> dict[str, Any]:
        """Take the files of one commit."""
        for line in lines.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
            elif said["key"] == "lfsFile":
                self.files[name][value["path"]] = self.objects[value["oid"]]
        return {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1" * 40}

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one request."""
        if self.refuse and self.refuse in path:
            return 403, {"error": "no write permission"}
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if found := re.fullmatch(r"/put/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == found[1]
            self.objects[found[1]] = body
            return 200, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, self.batch(json.loads(body))
        if found := re.fullmatch(r"/api/models/(\w+/[\w-]+)(/\w+)?.*", path):
            name, what = found[1], found[2]
            if name not in self.files:
                return 404, {}
            if what == "/preupload":
                return 200, self.preupload(json.loads(body))
            if what == "/commit":
                return 200, self.commit(name, body)
            siblings = [{"rfilename": file} for file in self.files[name]]
            return 200, {"id": name, "private": self.private[name], "siblings": siblings}
        return 404, {}


@contextmanager
def serve() -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            hub.tokens.add(self.headers.get("Authorization", ""))
            body = self.body()
            code, found = hub.answer(self.path.partition("?")[0], body)
            said = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        do_POST = do_PUT = do_HEAD = do_GET

        def body(self) -> bytes:
            """Return what was sent, in chunks or whole."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
