import numpy as np
import pytest

from reid_pipeline.storage import reembedding
from reid_pipeline.storage.records import Changes, ModelRecord
from reid_pipeline.storage.reembedding import Backlog, drop_superseded


@pytest.fixture
def embedded(site):
    """Six crops embedded by m1; by m2 and m3 the newest four."""
    site.source()
    site.write(Changes((site.begin(1),), views=tuple(site.view(1, frame) for frame in range(1, 7))))
    for model in ("m2", "m3"):
        site.repository.register_model(ModelRecord(model, model, "reid", "MIT"))
        backlog = Backlog(site.database, model)
        ids = [crop.id for crop in backlog.next(4)]
        backlog.add(ids, np.zeros((4, 2), np.float32))
    return site


def left(site):
    found = site.rows(
        "SELECT hash, crop_id FROM embeddings JOIN models ON models.id = embeddings.model_id ORDER BY hash, crop_id"
    )
    return {model: [crop for each, crop in found if each == model] for model, _ in found}


@pytest.mark.parametrize("at_once", [1, 2, 4, 10])
def test_what_another_model_has_embedded_too_goes(embedded, monkeypatch, at_once):
    monkeypatch.setattr(reembedding, "_ROWS_AT_ONCE", at_once)
    assert drop_superseded(embedded.database, "m1", "m2") == 2
    assert left(embedded) == {"m1": [1, 2], "m2": [3, 4, 5, 6], "m3": [3, 4, 5, 6]}


def test_a_vector_whose_crop_is_gone_stays(embedded):
    with embedded.database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("DELETE FROM crops WHERE id = 6")
    assert drop_superseded(embedded.database, "m3", "m2") == 1
    assert left(embedded)["m3"] == [None]


def test_nothing_goes_for_a_model_that_is_not_known(embedded):
    before = left(embedded)
    assert drop_superseded(embedded.database, "m1", "unknown") == 6
    assert drop_superseded(embedded.database, "unknown", "m1") == 0
    assert left(embedded) == before
