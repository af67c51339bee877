"""What the API says of promotions, whichever of their messages have arrived."""

from datetime import UTC, datetime

from services.dashboard.models.repository import PromotionMessages
from services.dashboard.models.schemas import PromotionState, PromotionView
from shared.messages import PromotionRefused, PromotionRequested

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
REQUESTED = PromotionRequested(
    promotion_id="p-1", recipe="seam", model_version="v2", reason="fewer escapes", by="ada", at=AT
)
REFUSED = PromotionRefused(
    promotion_id="p-1", recipe="seam", model_version="v2", reason="worse on break", by="trainer", at=AT
)


def test_a_refused_promotion_has_the_reason_of_the_request_and_the_reason_of_the_refusal() -> None:
    view = PromotionView.of(PromotionMessages("p-1", requested=REQUESTED, refused=REFUSED, promoted=None))
    assert view.state is PromotionState.REFUSED
    assert (view.reason, view.refusal, view.by) == ("fewer escapes", "worse on break", "ada")


def test_a_refusal_whose_request_is_unknown_has_no_reason_of_the_request() -> None:
    view = PromotionView.of(PromotionMessages("p-1", requested=None, refused=REFUSED, promoted=None))
    assert (view.reason, view.refusal) == ("", "worse on break")
