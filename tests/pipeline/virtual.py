"""A small virtual site for the tests: the real one with fewer pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from reid_pipeline.pipeline.virtual_camera import VirtualCamera
from reid_pipeline.pipeline.virtual_site import VirtualSite, build_site


def shrink(camera: VirtualCamera, factor: float = 0.35) -> VirtualCamera:
    """The same view in a smaller picture, its sides in 16s."""
    width, height = (round(side * factor / 16) * 16 for side in (camera.width, camera.height))
    return replace(camera, width=width, height=height, focal_px=camera.focal_px * width / camera.width)


@lru_cache(maxsize=4)
def small_site(cameras: int = 2, people: int = 12, seconds: float = 6, fps: float = 2, seed: int = 3) -> VirtualSite:
    """A site with pictures of about 320 by 200."""
    site = build_site(cameras, people, seconds, fps, seed)
    return replace(site, cameras=tuple(shrink(camera) for camera in site.cameras))
