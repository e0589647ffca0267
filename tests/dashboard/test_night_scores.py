import pytest

from reid_pipeline.dashboard.night_scores import Score, difference, scores
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRun, LearningStart, LearningStatus

FIGURES = {
    "before": {"retrieval": 0.694, "round_trip": None, "camera_bias": 1.6},
    "after": {"retrieval": 0.734, "round_trip": 0.2, "camera_bias": 1.7},
}


def run(number, figures, promoted=False):
    start = LearningStart(LearningKind.NIGHTLY, None, 0, {}, "1")
    return LearningRun(number, start, LearningEnd(LearningStatus.DONE, "m", promoted, "why", figures), number * 10, 99)


def test_only_what_was_measured_before_and_after_is_a_score_oldest_first():
    found = scores([run(2, FIGURES, promoted=True), run(1, FIGURES)])
    assert found == (
        Score(1, 10, "retrieval", 0.694, 0.734, promoted=False),
        Score(2, 20, "retrieval", 0.694, 0.734, promoted=True),
    )


@pytest.mark.parametrize("figures", [{}, {"before": None, "after": 1}, {"before": {"retrieval": "x"}, "after": {}}])
def test_reports_without_figures_have_no_scores(figures):
    assert scores([run(1, figures)]) == ()
    assert difference(run(1, figures), "retrieval") == ""


def test_a_difference_in_words():
    assert difference(run(1, FIGURES), "retrieval") == "0.694 → 0.734"
    assert difference(run(1, FIGURES), "round_trip") == ""
