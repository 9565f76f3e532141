from __future__ import annotations

import base64
import json
import subprocess
from importlib.resources import files
from typing import Any

import numpy as np

from himalia_widgets.widget.pack import BufferPacker
from tests.unit.widgets.javascript import find_node

READ = """
import {{ unpack, append }} from {module};
const {{ specs, buffers }} = JSON.parse({message});
const views = buffers.map((text) => {{
  const bytes = Uint8Array.from([0, ...Buffer.from(text, "base64")]);
  return new DataView(bytes.buffer, 1);
}});
const columns = unpack(specs, views);
const twice = append(columns, columns, 3);
const plain = (all) => Object.fromEntries(Object.entries(all).map(([name, values]) => [name, Array.from(values)]));
console.log(JSON.stringify([plain(columns), plain(twice)]));
"""


def read_in_javascript(columns: dict[str, Any]) -> Any:
    """Pack columns, and return what the page's code makes of them: once, and twice with three rows kept."""
    packer = BufferPacker()
    specs = packer.pack(columns)
    message = json.dumps({"specs": specs, "buffers": [base64.b64encode(buffer).decode() for buffer in packer.buffers]})
    module = json.dumps((files("himalia_widgets.widget") / "js" / "columns.js").as_uri())  # type: ignore[attr-defined]
    script = READ.format(module=module, message=json.dumps(message))
    ran = subprocess.run(
        [find_node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=30
    )
    return json.loads(ran.stdout)


def test_a_page_reads_what_was_packed() -> None:
    columns: dict[str, Any] = {
        "time": np.array([1.7e12, 1.7e12 + 0.25, 1.7e12 + 60_000.0]),
        "size": np.array([0.0, 1e12, 3e15]),
        "small": np.array([0, 255], np.int64),
        "large": np.array([-1, 70_000], np.int32),
        "flag": np.array([True, False]),
        "name": ["inc", "inc", "inc", "<b>"],
        "key": ["a", "b"],
        "empty": [],
    }
    read, _ = read_in_javascript(columns)
    assert np.allclose(read.pop("time"), columns["time"], atol=0.01, rtol=0)
    assert read == {
        "size": [0.0, 1e12, 3e15], "small": [0, 255], "large": [-1, 70_000], "flag": [1, 0],
        "name": ["inc", "inc", "inc", "<b>"], "key": ["a", "b"], "empty": [],
    }  # fmt: skip


def test_newer_rows_come_after_older_ones_and_only_so_many_are_kept() -> None:
    _, twice = read_in_javascript({"x": np.array([1.0, 2.0]), "name": ["a", "b"]})
    assert twice == {"x": [2.0, 1.0, 2.0], "name": ["b", "a", "b"]}


def test_numbers_take_as_few_bytes_as_they_need() -> None:
    packer = BufferPacker()
    times = 1.7e9 + np.linspace(0, 60, 100)
    packer.pack({"time": times, "color": np.arange(100), "name": ["f", "g"] * 50})
    assert [buffer.nbytes for buffer in packer.buffers] == [400, 100, 100]
    assert packer.nbytes == 600


def test_texts_that_differ_are_sent_as_they_are_and_unfit_ones_do_no_harm() -> None:
    packer = BufferPacker()
    [spec] = packer.pack({"key": ["a", "b", 3]})
    assert spec == {"name": "key", "kind": "text", "values": ["a", "b", "3"]}
    assert packer.buffers == []
    [spec] = packer.pack({"x": np.array([np.nan, 1.0, np.inf])})
    assert spec["kind"] == "f8"
