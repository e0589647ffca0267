"""`reid-pipeline run` where the floor is given: what stands in cameras.yaml decides who is one person."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from tests.pipeline.run_site import RunSite, people_of
from tests.scene import Scene

CORNERS = [[0, 1], [1, 1], [1, 0.3], [0, 0.3]]
HALL, YARD = [[0, 0], [4, 0], [4, 6], [0, 6]], [[20, 0], [24, 0], [24, 6], [20, 6]]


def run(folder: Path, scene: Scene, **metres: list[list[float]]) -> dict[int, set[int]]:
    """The identities of each person, with the given places of the same corners in both pictures."""
    settings = deepcopy(scene.settings)
    for camera, places in metres.items():
        settings["cameras"][camera]["floor"] = {"points": CORNERS, "metres": places}
    site = RunSite(folder, settings)
    assert site.run() == 0
    return people_of(scene.mtmc_truth, site)


def test_who_stands_on_one_spot_is_one_and_who_does_not_is_not(tmp_path: Path, scene: Scene) -> None:
    alone = run(tmp_path / "alone", scene, hall=HALL)
    assert sorted(map(len, alone.values())) == [1, 1, 1]  # one floor says nothing of two cameras
    one_floor = run(tmp_path / "one", scene, hall=HALL, door=HALL)
    assert one_floor[1] & one_floor[2]  # both walk through the upper lane of the two pictures, which are one place here
    apart = run(tmp_path / "apart", scene, hall=HALL, door=YARD)
    assert not apart[1] & apart[2]
