"""Send images to a server over several connections, and print the answers; it needs the standard library alone.

usage: http_client PORT PATH BODY IMAGES COUNT CONNECTIONS, where BODY is raw, json or list
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def body_of(image: bytes, kind: str) -> tuple[str, bytes]:
    """Return the type and the body of a request: the image itself, or JSON with it or a list of it in base64."""
    if kind == "raw":
        return "application/octet-stream", image
    text = base64.b64encode(image).decode()
    return "application/json", json.dumps({"image": [text] if kind == "list" else text}).encode()


def logits_of(answer: bytes) -> list[float]:
    """Return the logits in an answer: a list of numbers, the list in a list, or an object whose value it is."""
    content: Any = json.loads(answer)
    if isinstance(content, dict):
        (content,) = content.values()
    return content[0] if isinstance(content[0], list) else content


async def send(
    port: int, path: str, waiting: Iterator[tuple[int, tuple[str, bytes]]]
) -> list[tuple[int, float, bytes]]:
    """Send requests one after the other over one connection, until none is waiting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for number, (kind, content) in waiting:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()
        told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in told.splitlines() if line.startswith("content-length:"))
        answer = await reader.readexactly(int(length.partition(":")[2]))
        if " 200 " not in told.splitlines()[0]:
            raise SystemExit(f"the server answers: {told.splitlines()[0]} {answer[:500]!r}")
        answers.append((number, time.time(), answer))
    writer.close()
    return answers


async def main(port: int, path: str, bodies: list[tuple[str, bytes]], count: int, connections: int) -> None:
    """Print the answers in the order of the images: when each arrived, and its logits."""
    waiting = iter([(number, bodies[number % len(bodies)]) for number in range(count)])
    before = time.process_time()
    per_connection = await asyncio.gather(*(send(port, path, waiting) for _ in range(connections)))
    seconds = time.process_time() - before
    answers = sorted(answer for answers in per_connection for answer in answers)
    told = [(at, logits_of(content)) for _, at, content in answers]
    print(json.dumps({"answers": told, "processor_seconds": seconds}))


if __name__ == "__main__":
    server, address, body, images, frames, most = sys.argv[1:]
    contents = [body_of(file.read_bytes(), body) for file in sorted(Path(images).iterdir())]
    asyncio.run(main(int(server), address, contents, int(frames), int(most)))
