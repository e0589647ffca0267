"""Pictures and clips by signed addresses. Each is checked anew, as what somebody may see can change."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from io import SEEK_END
from typing import Final

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from reid_pipeline.dashboard.served_site import ServedSite, Visitor
from reid_pipeline.dashboard.sign_in import USER
from reid_pipeline.dashboard.signed_links import Kind, Link
from reid_pipeline.pipeline.live_socket import LiveHead, PictureRequest, read_live_state, socket_address
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.errors import ClipError, CropError, NotAllowed
from reid_pipeline.storage.learning_view import LearningView
from reid_pipeline.storage.permissions import Permission

_KEPT: Final = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}
_FRESH: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_ONLY_ITSELF: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_PICTURES_A_SECOND: Final = 5.0
_WIDEST_PX: Final = 960
_LOOK_AGAIN_S: Final = 10.0  # for who has lost their rights, or a run that has begun
_BOUNDARY: Final = "picture"
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Pictures:
    """The routes of everything that shows people."""

    def __init__(self, served: ServedSite) -> None:
        self._served = served

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/crop/{token}", self._crop),
            Route("/clip/{token}", self._clip),
            Route("/report/{token}", self._report),
            Route("/live/state/{token}", self._live_state),
            Route("/live/stream/{token}", self._live_stream),
            WebSocketRoute("/live/wall/{token}", self._live_wall),
        ]

    async def _crop(self, request: Request) -> Response:
        link, visitor = await self._find(request, "crop")
        if link is None or visitor is None:
            return _refused()
        try:
            jpeg = await run_in_threadpool(visitor.site.repository.read_crop, link.value)
        except CropError:  # its time was up, or a better view has replaced it
            return Response(status_code=404, headers=_FRESH)
        return Response(jpeg, media_type="image/jpeg", headers=_KEPT)

    async def _report(self, request: Request) -> Response:
        """The page on an adaptation; it shows people of all cameras, and runs nothing."""
        link, visitor = await self._find(request, "report")
        if link is None or visitor is None or visitor.access.cameras is not None:
            return _refused()
        view = LearningView(visitor.site.database, visitor.access)
        page = await run_in_threadpool(view.read_report, link.value)
        if page is None:
            return Response(status_code=404, headers=_FRESH)
        return Response(page, media_type="text/html", headers={**_KEPT, "Content-Security-Policy": _ONLY_ITSELF})

    async def _clip(self, request: Request) -> Response:
        """A clip, or the part of it that a player asks for."""
        link, visitor = await self._find(request, "clip")
        if link is None or visitor is None:
            return _refused()
        clips = Clips(visitor.site.database, visitor.access)
        try:
            return await run_in_threadpool(_part_of, clips, link.value, request.headers.get("range"))
        except ClipError:  # its time was up
            return Response(status_code=404, headers=_FRESH)

    async def _live_state(self, request: Request) -> Response:
        """What the run does, for the cameras of the link."""
        link, _ = await self._find(request, "live")
        if link is None:
            return _refused()
        state = await run_in_threadpool(read_live_state, self._served.data_dir)
        cameras = [asdict(each) for each in state.cameras if each.camera in link.cameras] if state else []
        return JSONResponse({"running": state is not None, "cameras": cameras}, headers=_FRESH)

    async def _live_stream(self, request: Request) -> Response:
        """One camera as MJPEG, boxes drawn in, for whatever shows nothing else."""
        link, _ = await self._find(request, "live")
        if link is None or len(link.cameras) != 1:
            return _refused()
        pictures = self._watch(PictureRequest(link.cameras[0], _PICTURES_A_SECOND, _WIDEST_PX))
        return StreamingResponse(
            _multipart(pictures), media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}", headers=_FRESH
        )

    async def _live_wall(self, socket: WebSocket) -> None:
        """Pictures of several cameras over one connection, as browsers open few: two bytes say how long the head is."""
        link, _ = await self._find(socket, "live")
        if link is None:
            await socket.close(4403)
            return
        await socket.accept()
        sending = anyio.Lock()
        async with anyio.create_task_group() as group:
            for camera in link.cameras:
                group.start_soon(self._send_camera, socket, sending, camera)
            group.start_soon(self._end_when_refused, link, group.cancel_scope)
            await _hung_up(socket)
            group.cancel_scope.cancel()
        with suppress(RuntimeError, WebSocketDisconnect):  # hung up already
            await socket.close(4403)

    async def _send_camera(self, socket: WebSocket, sending: anyio.Lock, camera: str) -> None:
        request = PictureRequest(camera, _PICTURES_A_SECOND, _WIDEST_PX, boxes=False)
        with suppress(RuntimeError, WebSocketDisconnect):  # hung up, as `_hung_up` sees too
            async for head, jpeg in self._watch(request, forever=True):
                line = json.dumps(asdict(head)).encode()
                async with sending:  # one picture at a time, so that a slow line delays all alike
                    await socket.send_bytes(len(line).to_bytes(2, "big") + line + jpeg)

    async def _end_when_refused(self, link: Link, scope: anyio.CancelScope) -> None:
        while await run_in_threadpool(self._visitor_of, link) is not None:
            await anyio.sleep(_LOOK_AGAIN_S)
        scope.cancel()

    async def _watch(self, request: PictureRequest, *, forever: bool = False) -> AsyncIterator[tuple[LiveHead, bytes]]:
        """The pictures of a camera while a run goes on; or until somebody hangs up, over several runs."""
        while True:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):  # no run, or it has ended
                async with self._connect() as (reader, writer):
                    writer.write(request.to_line())
                    while line := await reader.readline():
                        head = LiveHead.from_line(line)
                        yield head, await reader.readexactly(head.length)
            if not forever:
                return
            await anyio.sleep(1.0)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        with socket_address(self._served.data_dir) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _find(self, asked: HTTPConnection, kind: Kind) -> tuple[Link, Visitor] | tuple[None, None]:
        """What an address leads to, for whom; nothing where it is not theirs, or not theirs to see now."""
        link = self._served.links.read(asked.path_params["token"], kind)
        if link is None or asked.scope.get("state", {}).get(USER) != link.user:
            return None, None
        visitor = await run_in_threadpool(self._visitor_of, link)
        return (None, None) if visitor is None else (link, visitor)

    def _visitor_of(self, link: Link) -> Visitor | None:
        access = self._served.sessions.access_of(link.user)
        shown = {*link.cameras, *link.value.split("/")[1:2]}  # the second part of a path is the camera's name
        if access is None or not all(access.sees(camera) for camera in shown):
            return None
        try:
            access.require(Permission.SEE)
        except NotAllowed:
            return None
        return self._served.visit(access)


def _part_of(clips: Clips, path: str, asked: str | None) -> Response:
    """The bytes of a clip that a ``Range`` header asks for; all where there is none that makes sense."""
    with clips.files.open(path) as file:
        size = file.seek(0, SEEK_END)
        found = _RANGE.fullmatch(asked or "")
        if found is None or not any(found.groups()):
            first, last = 0, size - 1
        elif not found[1]:
            first, last = max(size - int(found[2]), 0), size - 1
        else:
            first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
        headers = {**_KEPT, "Accept-Ranges": "bytes"}
        if first > last:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        file.seek(first)
        content = file.read(last - first + 1)
    if found is None:
        return Response(content, media_type="video/mp4", headers=headers)
    return Response(content, 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}, "video/mp4")


async def _hung_up(socket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_bytes()


async def _multipart(pictures: AsyncIterator[tuple[LiveHead, bytes]]) -> AsyncIterator[bytes]:
    async for _, jpeg in pictures:
        yield (
            f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            + jpeg
            + b"\r\n"
        )


def _refused() -> Response:
    """The same answer for what is not there and what may not be seen."""
    return Response(status_code=403, headers=_FRESH)
