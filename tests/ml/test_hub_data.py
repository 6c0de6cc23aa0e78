"""Data sets by name, from a hub that stands in for the real one: the library that streams them is the real one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "abisee/cnn_dailymail"
COMMIT = "a" * 40
CARD = """---
configs:
- config_name: 1.0.0
  data_files: [{split: train, path: 1.0.0/train-*}]
- config_name: 3.0.0
  data_files: [{split: train, path: 3.0.0/train-*}]
---
# Articles
"""
READ = """
import json, sys
from models_app.ml import hub_data
try:
    found = hub_data.open_data_set(sys.argv[1], config=sys.argv[2], split=sys.argv[3])
    print(json.dumps([found.name, found.columns, list(found.rows(["article"]))]))
except (hub_data.DataSetRefused, hub_data.HubUnreachable) as error:
    print(json.dumps([type(error).__name__, error.message]))
"""


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"article": ["One", "Two"], "highlights": ["A", "B"], "id": ["x", "y"]}), buffer)
    return buffer.getvalue()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as streaming one data set asks for."""

    files = {
        "README.md": CARD.encode(),
        "1.0.0/train-00000-of-00001.parquet": parquet(),
        "3.0.0/train-00000-of-00001.parquet": parquet(),
    }

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if f"/{NAME}/resolve/" in path:
            self.file(path.split("/resolve/")[1].partition("/")[2])
        elif f"/{NAME}/tree/" in path:
            self.listing(path.split("/tree/")[1].partition("/")[2])
        elif path.startswith(f"/api/datasets/{NAME}"):
            entries = [{"rfilename": name} for name in self.files]
            self.json({"id": NAME, "sha": COMMIT, "siblings": entries, "private": False, "gated": False})
        elif path == "/api/datasets/someone/gated":
            self.answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def listing(self, folder: str) -> None:
        inside = [name for name in self.files if name.startswith(folder)]
        folders = {name.partition("/")[0] for name in inside if not folder and "/" in name}
        files = [
            {"type": "file", "path": name, "size": len(self.files[name]), "oid": "b" * 40}
            for name in inside
            if folder or "/" not in name
        ]
        self.json([*files, *({"type": "directory", "path": name, "oid": "c" * 40} for name in folders)])

    def file(self, name: str) -> None:
        if name not in self.files:
            self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        body, status = self.files[name], 200
        headers = {"ETag": f'"{len(body)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted and self.command == "GET":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(body)}"
            body, status = body[int(first) : end + 1], 206
        self.answer(status, body, headers)

    def json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def read(hub: str, home: Path, name: str, config: str = "", split: str = "train") -> list[Any]:
    """In a process of its own: the library reads its address once, when it is loaded."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", READ, name, config, split],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    answer: list[Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_a_data_set_is_streamed_by_name_and_configuration(hub: str, tmp_path: Path) -> None:
    name, columns, rows = read(hub, tmp_path, NAME, "3.0.0")
    assert name == "abisee/cnn_dailymail 3.0.0 train"
    assert columns == ["article", "highlights", "id"]
    assert rows == [{"article": "One"}, {"article": "Two"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "split", "kind", "words"),
    [
        (
            NAME,
            "",
            "train",
            "DataSetRefused",
            "Please pick one among the available configs: ['1.0.0', '3.0.0']",
        ),
        (NAME, "9", "train", "DataSetRefused", "BuilderConfig '9' not found. Available: ['1.0.0', '3.0.0']"),
        (NAME, "3.0.0", "nope", "DataSetRefused", "Bad split: nope. Available splits: ['train']"),
        ("someone/nothing", "", "train", "DataSetRefused", "shows no data set someone/nothing"),
        ("someone/gated", "", "train", "DataSetRefused", "is gated: accept its terms on"),
    ],
)
def test_what_the_hub_does_not_have_is_said_with_what_it_has(
    hub: str, tmp_path: Path, name: str, config: str, split: str, kind: str, words: str
) -> None:
    answer = read(hub, tmp_path, name, config, split)
    assert answer[0] == kind
    assert words in answer[1]
