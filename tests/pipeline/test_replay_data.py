"""`reid-pipeline replay` on real crops with a real encoder."""

from __future__ import annotations

import json

import pytest

from reid_pipeline.pipeline.cli import run_command_line
from tests.pipeline.builders import real_data

pytestmark = pytest.mark.data


def test_market1501_as_a_site(capsys):
    crops, encoder = real_data("reid", "market1501"), real_data("weights", "osnet_x0_25_msmt17")
    command = ["replay", "--from-reid", str(crops), "--encoder", str(encoder), "--json"]
    results = []
    for _ in range(2):
        assert run_command_line(command) == 0
        results.append(json.loads(capsys.readouterr().out))
    first, again = ({**result, "decisions_s": None} for result in results)
    assert first == again
    assert (first["tracklets"], first["persons"]) == (684, 100)
    assert first["persons"] <= first["identities"] <= first["tracklets"]
    assert 0.2 < first["IDF1"] < 1
    assert 0 <= first["false_merge_rate"] < first["false_merge_upper95"] < 0.5
