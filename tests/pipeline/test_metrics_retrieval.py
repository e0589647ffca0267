import numpy as np
import pytest

from reid_pipeline.pipeline import metrics_retrieval
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.metrics_retrieval import LabelledEmbeddings, evaluate_retrieval


def labelled(similarities, identities, cameras):
    """Crops whose inner product with the query (1, 0) is as given."""
    embeddings = np.array([[value, 0.0] for value in similarities], np.float32).reshape(-1, 2)
    return LabelledEmbeddings(embeddings, np.array(identities, np.int64), np.array(cameras, np.int64))


def query(identity=1, camera=1):
    return labelled([1.0], [identity], [camera])


def random_crops(rng, count):
    embeddings = rng.normal(size=(count, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    # Coarse, so that there are ties; exact in float32, so that they are the same however they are computed.
    embeddings = np.round(embeddings * 2).astype(np.float32)
    return LabelledEmbeddings(embeddings, rng.integers(-1, 12, count), rng.integers(1, 4, count))


def slow_scores(queries, gallery):
    rows = []
    for features, person, camera in zip(queries.embeddings, queries.identities, queries.cameras, strict=True):
        ranked = sorted(range(len(gallery)), key=lambda i: (-float(gallery.embeddings[i] @ features), i))
        matches = [
            gallery.identities[i] == person and person != 0
            for i in ranked
            if gallery.identities[i] != -1 and not (gallery.identities[i] == person and gallery.cameras[i] == camera)
        ]
        places = [place for place, match in enumerate(matches, start=1) if match]
        if places:
            precisions = [hits / place for hits, place in enumerate(places, start=1)]
            hits = [float(places[0] <= k) for k in (1, 5, 10)]
            rows.append([np.mean(precisions), *hits, len(places) / places[-1]])
    return 100 * np.mean(rows, axis=0)


def test_scores_by_hand():
    # In order: wrong, right, wrong, right. Precision 1/2 and 2/4; the last match is in place 4.
    gallery = labelled([0.6, 0.9, 0.8, 0.7], [1, 2, 1, 3], [2, 2, 3, 2])
    scores = evaluate_retrieval(query(), gallery).as_dict()
    assert scores == pytest.approx({"mAP": 50.0, "rank1": 0.0, "rank5": 100.0, "rank10": 100.0, "mINP": 50.0})


def test_first_match_in_the_sixth_place_counts_from_rank_10_on():
    gallery = labelled([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [2, 2, 2, 2, 2, 1], [2] * 6)
    scores = evaluate_retrieval(query(), gallery)
    assert (scores.rank1, scores.rank5, scores.rank10) == (0, 0, 100)
    assert scores.mean_ap == pytest.approx(100 / 6)


def test_the_same_person_in_the_same_camera_takes_no_place():
    gallery = labelled([0.9, 0.5], [1, 1], [1, 2])
    assert evaluate_retrieval(query(), gallery).mean_ap == 100


def test_junk_takes_no_place_but_a_distractor_does():
    assert evaluate_retrieval(query(), labelled([0.9, 0.5], [-1, 1], [2, 2])).mean_ap == 100
    assert evaluate_retrieval(query(), labelled([0.9, 0.5], [0, 1], [2, 2])).mean_ap == 50


def test_queries_without_a_match_are_skipped():
    queries = labelled([1.0, 1.0, 1.0, 1.0], [1, 9, 0, -1], [1, 1, 1, 1])
    gallery = labelled([0.9, 0.8, 0.7], [1, 0, -1], [2, 2, 2])
    assert evaluate_retrieval(queries, gallery).mean_ap == 100


def test_of_equals_the_earlier_comes_first():
    assert evaluate_retrieval(query(), labelled([0.5, 0.5], [1, 2], [2, 2])).rank1 == 100
    assert evaluate_retrieval(query(), labelled([0.5, 0.5], [2, 1], [2, 2])).rank1 == 0


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_obvious_loop_in_chunks_too(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    queries, gallery = random_crops(rng, 60), random_crops(rng, 90)
    expected = slow_scores(queries, gallery)
    assert list(evaluate_retrieval(queries, gallery).as_dict().values()) == pytest.approx(expected)
    monkeypatch.setattr(metrics_retrieval, "_PAIRS_AT_ONCE", 7 * 90)
    assert list(evaluate_retrieval(queries, gallery).as_dict().values()) == pytest.approx(expected)


@pytest.mark.parametrize("gallery", [labelled([0.9], [2], [2]), labelled([0.9], [1], [1]), labelled([], [], [])])
def test_nothing_to_find_is_said(gallery):
    with pytest.raises(InputError, match="none of 1 queries has its identity under another camera"):
        evaluate_retrieval(query(), gallery)


def test_wrong_shapes_are_refused():
    ones = np.ones(2, np.int64)
    with pytest.raises(ValueError, match=r"\(N, D\) float32, got \(2, 3\) float64"):
        LabelledEmbeddings(np.zeros((2, 3)), ones, ones)
    with pytest.raises(ValueError, match=r"expected \(1,\), got \(2,\) and \(2,\)"):
        LabelledEmbeddings(np.zeros((1, 3), np.float32), ones, ones)
    with pytest.raises(ValueError, match="expected one length, got 2 and 3"):
        evaluate_retrieval(query(), LabelledEmbeddings(np.zeros((2, 3), np.float32), ones, ones))
