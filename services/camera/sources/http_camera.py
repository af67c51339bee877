"""Read network cameras over HTTP: motion JPEG, and still images that are requested again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from services.camera.errors import CameraError
from services.camera.sources.address import encoding_hint, redacted
from services.camera.sources.captured_image import CapturedImage, EncodedImage, Unreadable, time_of_image
from services.camera.sources.multipart import MultipartImage, MultipartReader
from services.camera.sources.stream import Disconnected, Read
from shared.imaging.codec import FILE_LIMIT, UnreadableImage, as_jpeg_or_png, decode, image_kind, is_png

CONNECT_SECONDS: Final = 5.0
SNIFFED: Final = 512
"""Bytes at the beginning of an answer that show its kind if its headers do not."""
ENDLESS: Final = "sends no image that ends: if it is a stream, remove CAMERA_KIND=image"
MARKS: Final = b"\xef\xbb\xbf \t\r\n"
"""Bytes before a text: its byte order mark, and white space."""
PLAYLIST: Final = b"#EXTM3U"
"""The first bytes of a playlist of HLS (RFC 8216)."""
PLAYLIST_OF_PLAYLISTS: Final = re.compile(
    rb"^#EXT-X-STREAM-INF:.*\n(?:(?:#.*|\r?)\n)*(?P<first>[^#\s].*)", re.MULTILINE
)
"""The first playlist that a playlist of several qualities names."""
MOST_PLAYLIST: Final = 4 * 1024**2
"""Most bytes of a playlist that are read to find out whether it has an end: a day of segments of 2 s."""
WHITE_SPACE: Final = b"\t\n\f\r"
DASH: Final = re.compile(rb"<(?:\w+:)?MPD[\s>]")
PAGE_STARTS: Final = (b"<", b"{", b"[")
"""First bytes of pages and of what web services answer."""

HttpKind = Literal["video", "live", "playlist", "mjpeg", "image"]
"""A file with an end, a stream without an end, a playlist that grows, motion JPEG, or a still image."""


class CameraLogin(httpx.Auth):
    """Logs in by the scheme that the camera requests: Digest or Basic."""

    def __init__(self, user: str, password: str) -> None:
        self._digest = httpx.DigestAuth(user, password)
        self._basic = httpx.BasicAuth(user, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        digest = self._digest.auth_flow(request)
        answer = yield next(digest)
        with suppress(StopIteration):
            answer = yield digest.send(answer)
            return
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            yield next(self._basic.auth_flow(request))


@dataclass(frozen=True)
class HttpAddress:
    """The address of a camera or a video on a web server."""

    address: str
    silence_seconds: float

    @property
    def name(self) -> str:
        """Return the address without what may be a password."""
        return redacted(self.address)

    def client(self) -> httpx.Client:
        """Return a client that logs in with the user and password of the address."""
        parts = urlsplit(self.address)
        has_login = bool(parts.username or parts.password)
        return httpx.Client(
            auth=CameraLogin(unquote(parts.username or ""), unquote(parts.password or "")) if has_login else None,
            timeout=httpx.Timeout(CONNECT_SECONDS, read=self.silence_seconds),
            verify=False,  # noqa: S501  a camera signs its certificate itself; FFmpeg does not check it either
            follow_redirects=True,
            trust_env=False,
        )

    @property
    def url(self) -> str:
        """Return the address without user and password."""
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def open(self, client: httpx.Client) -> httpx.Response:
        """Return the answer of the server, with its body unread.

        Raises:
            CameraError: the server does not answer, or answers with an error.
        """
        try:
            answer = client.send(client.build_request("GET", self.url), stream=True)
        except httpx.UnsupportedProtocol as error:
            raise CameraError(
                f"{self.name} redirects to {redacted(str(error.request.url))}: give that address as the source"
            ) from None
        except httpx.TooManyRedirects:
            raise CameraError(f"{self.name} redirects in a circle: check its path and its password") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise CameraError(
                f"{self.name} does not answer: check that the camera is on, its address and its password"
                f"{encoding_hint(self.address)}"
            ) from None
        if answer.is_success:
            return answer
        answer.close()
        raise CameraError(f"{self.name} {_refusal(answer.status_code)}")

    def kind(self) -> HttpKind:
        """Request the address, and return the kind of the answer; raises the errors of `open`."""
        with self.client() as client:
            answer = self.open(client)
            try:
                return self._kind_of(answer, client)
            except httpx.HTTPError:
                raise CameraError(f"{self.name} answers and sends nothing: check that the camera is on") from None
            finally:
                answer.close()

    def _kind_of(self, answer: httpx.Response, client: httpx.Client) -> HttpKind:
        content_type = answer.headers.get("content-type", "").lower()
        if content_type.startswith("multipart/"):
            return "mjpeg"
        if content_type.startswith("image/"):
            return "image"
        start = b""
        for chunk in answer.iter_bytes():
            start += chunk
            is_playlist = start.lstrip(MARKS).startswith(PLAYLIST)
            if len(start) >= (MOST_PLAYLIST if is_playlist else SNIFFED):
                break
        if image_kind(start) and not is_text(start[:SNIFFED]):
            return "image"
        text = start.lstrip(MARKS)
        if text.startswith(b"--") or re.match(rb"content-(type|length):", text, re.IGNORECASE):
            return "mjpeg"
        if text.startswith(PLAYLIST):
            return "video" if self._has_end(text, answer.url, client) else "playlist"
        if DASH.search(text):
            raise CameraError(
                f"{self.name} answers with a playlist of MPEG-DASH, which can't be read: "
                "give the address of the same camera for HLS, RTSP or motion JPEG"
            )
        if is_text(start[:SNIFFED]) and (content_type.startswith("text/") or text[:1] in PAGE_STARTS):
            raise CameraError(
                f"{self.name} answers with a page ({content_type or 'text'}) instead of images: check its path"
            )
        return "video" if "content-length" in answer.headers else "live"

    def _has_end(self, playlist: bytes, url: httpx.URL, client: httpx.Client) -> bool:
        """Return whether a playlist has an end; of a playlist of playlists, whether the first of them has one.

        Args:
            playlist: the content of the playlist.
            url: its address.
            client: requests the first playlist of several; it logs in to the host of this camera alone.
        """
        named = PLAYLIST_OF_PLAYLISTS.search(playlist)
        if not named:
            return b"#EXT-X-ENDLIST" in playlist
        with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError):
            address = url.join(named["first"].decode(errors="replace").strip())
            login = httpx.USE_CLIENT_DEFAULT if address.host == url.host else None
            with closing(client.send(client.build_request("GET", address), stream=True, auth=login)) as answer:
                content = b""
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) >= MOST_PLAYLIST:
                        break
                return b"#EXT-X-ENDLIST" in content
        return False


def is_text(start: bytes) -> bool:
    """Return whether the first bytes of a file can be text of any encoding but UTF-16: no control characters."""
    return not any(byte < ord(" ") and byte not in WHITE_SPACE for byte in start)


def _refusal(status: int) -> str:
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"refuses the user or the password ({status}): check both"
    if status == httpx.codes.NOT_FOUND:
        return "has nothing at this path (404): check the path of the address"
    return f"does not answer with images, but with the error {status}: check that the camera is on, and its address"


class MjpegStream:
    """Motion JPEG over HTTP: an endless answer of JPEG files."""

    frames_per_second: float | None = None
    size: tuple[int, int] | None = None

    def __init__(self, address: HttpAddress) -> None:
        """Open the camera; raises `CameraError`."""
        self._address = address
        self._client = address.client()
        try:
            self._answer = address.open(self._client)
        except CameraError:
            self._client.close()
            raise

    def images(self) -> Iterator[Read | Unreadable | None]:
        reader = MultipartReader(self._answer.iter_raw(), self._answer.headers.get("content-type", ""), FILE_LIMIT)
        try:
            for part in reader.parts():
                yield partial(_image_of, part, self._address.name)
        except httpx.TimeoutException:
            reason = f"{self._address.name} has sent nothing for {self._address.silence_seconds:g} s"
            raise Disconnected(reason) from None
        except (httpx.HTTPError, httpx.StreamError):
            raise Disconnected(f"{self._address.name} stopped sending") from None
        raise Disconnected(f"{self._address.name} stopped sending")

    def close(self) -> None:
        self._answer.close()
        self._client.close()


class PolledImage:
    """A still image that is requested again and again."""

    size: tuple[int, int] | None = None

    def __init__(self, address: HttpAddress, frames_per_second: float) -> None:
        self.frames_per_second: float | None = frames_per_second
        self._pause = 1 / frames_per_second
        self._address = address
        self._client = address.client()

    def images(self) -> Iterator[Read | Unreadable | None]:
        last_image = due = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._pause, time.monotonic())
            try:
                with closing(self._address.open(self._client)) as answer:
                    content = self._content(answer)
            except httpx.HTTPError:
                problem = f"{self._address.name} stopped answering"
            except CameraError as error:
                problem = str(error)
            else:
                if content is not None:
                    last_image = time.monotonic()
                    yield partial(_image_of, MultipartImage({}, content), self._address.name)
                    continue
                problem = f"{self._address.name} {ENDLESS}"
            if time.monotonic() - last_image > self._address.silence_seconds:
                raise Disconnected(problem)
            yield Unreadable(problem)

    def close(self) -> None:
        self._client.close()

    def _content(self, answer: httpx.Response) -> bytes | None:
        """Return the image of an answer; None if it is longer, or takes longer, than any image."""
        content, began = bytearray(), time.monotonic()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > FILE_LIMIT or time.monotonic() - began > self._address.silence_seconds:
                return None
        return bytes(content)


def _image_of(part: MultipartImage, name: str) -> CapturedImage | Unreadable:
    """Decode an image that a camera sent as a file."""
    seconds = 0.0
    with suppress(ValueError):
        seconds = float(part.headers.get("x-timestamp", "0"))
    captured_at = time_of_image(seconds)
    try:
        content = as_jpeg_or_png(part.content)
        pixels = decode(content)
    except UnreadableImage as error:
        return Unreadable(f"{name} sent a broken image: {error}")
    encoding: Literal["jpeg", "png"] = "png" if is_png(content) else "jpeg"
    return CapturedImage(captured_at, pixels, EncodedImage(content, encoding))
