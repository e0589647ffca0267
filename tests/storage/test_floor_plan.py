from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.errors import InputError, NotAllowed
from reid_pipeline.storage.floor_plan import FloorPlans, Place, encode_plan, size_of_plan
from reid_pipeline.storage.permissions import Access, Role

ADMIN = Access("ada", Role.ADMIN)


def drawing(suffix=".png", shape=(30, 40, 3), value=90):
    return cv2.imencode(suffix, np.full(shape, value, np.uint8))[1].tobytes()


def decode(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_plan_is_kept_replaced_and_removed(site):
    site.source()
    plans = FloorPlans(site.database, ADMIN)
    assert plans.picture() is None
    for value in (90, 200):
        plans.replace(drawing(value=value))
        assert abs(int(decode(plans.picture()).mean()) - value) <= 2
    plans.place("hall", Place(0.25, 1.0))
    plans.remove()
    assert plans.picture() is None
    assert plans.places() == {"hall": Place(0.25, 1.0)}
    log = [(each.actor, each.action, dict(each.subject)) for each in AuditLog(site.database).read()]
    placed = {"what": "place", "camera": "hall", "x": 0.25, "y": 1.0}
    done = ({"what": "replace"}, {"what": "replace"}, placed, {"what": "remove"})
    assert log == [("ada", "plan", each) for each in done]


def test_cameras_are_placed_and_moved(site):
    for camera in ("hall", "door"):
        site.source(camera)
    plans = FloorPlans(site.database, ADMIN)
    plans.place("hall", Place(0.1, 0.2))
    plans.place("hall", Place(0.3, 0.4))
    plans.place("door", Place(0.5, 0.5))
    assert plans.places() == {"door": Place(0.5, 0.5), "hall": Place(0.3, 0.4)}
    viewer = FloorPlans(site.database, Access("bo", Role.VIEWER, frozenset({"hall"})))
    assert viewer.places() == {"hall": Place(0.3, 0.4)}
    with pytest.raises(InputError, match="camera yard: is not known"):
        plans.place("yard", Place(0, 0))


@pytest.mark.parametrize("place", [(-0.1, 0), (0, 1.1), (float("nan"), 0)])
def test_a_place_off_the_plan_is_refused(place):
    with pytest.raises(InputError, match="expected both from 0 to 1"):
        Place(*place)


@pytest.mark.parametrize(
    "access",
    [Access("bo", role) for role in Role if role is not Role.ADMIN] + [Access("bo", Role.ADMIN, frozenset({"hall"}))],
)
def test_who_may_not_manage_the_site_changes_no_plan(site, access):
    site.source()
    site.source("door")
    plans = FloorPlans(site.database, access)
    for change in (lambda: plans.replace(drawing()), plans.remove, lambda: plans.place("door", Place(0, 0))):
        with pytest.raises(NotAllowed):
            change()
    assert plans.picture() is None
    assert plans.places() == {}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_size_is_read_without_decoding(suffix):
    assert size_of_plan(drawing(suffix, (31, 47, 3))) == (47, 31)


def test_a_plan_is_scaled_down_and_made_opaque():
    assert decode(encode_plan(drawing(shape=(900, 3600, 3)))).shape == (450, 1800, 3)
    clear = encode_plan(drawing(shape=(30, 40, 4), value=0))
    assert decode(clear).min() >= 250
    grey = encode_plan(drawing(shape=(30, 40)))
    assert decode(grey).shape == (30, 40, 3)


def test_nothing_but_the_picture_is_kept():
    assert b"secret" not in encode_plan(drawing(".jpg") + b"secret")


HUGE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 100_000, 100_000)


@pytest.mark.parametrize(
    ("upload", "message"),
    [
        (b"", "is no PNG or JPEG"),
        (b"GIF89a", "is no PNG or JPEG"),
        (b"\xff\xd8\xff\xe0\x00", "is no PNG or JPEG"),
        (b"\xff\xd8" + bytes(40), "is no PNG or JPEG"),
        (drawing()[:40], "expected a whole PNG or JPEG"),
        (HUGE, "100000 x 100000 pixels: expected at most 50 million"),
        (drawing() + bytes(10_000_000), "expected at most 10 MB"),
    ],
)
def test_what_is_no_plan_is_refused(upload, message):
    with pytest.raises(InputError, match=message):
        encode_plan(upload)
