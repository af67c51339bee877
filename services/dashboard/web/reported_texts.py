"""The sentences of messages: services write them in English, with values in their places; pages translate them."""

from __future__ import annotations

from typing import Final

from shared.validation import marked

OF_VERDICTS: Final = (
    marked("no fault"),
    marked("not %(label)s"),
    marked("unsure of %(labels)s"),
    marked("%(label)s is present and is expected otherwise"),
    marked("%(label)s is absent and is expected otherwise"),
    marked("not inspected: of %(frames)s frames none came"),
    marked("not inspected: of %(frames)s frames %(missing)s missing or late"),
    marked("not inspected: of %(frames)s frames %(unreadable)s unreadable"),
    marked("not inspected: of %(frames)s frames %(missing)s missing or late and %(unreadable)s unreadable"),
)
OF_LINES: Final = (
    marked("no fault in the last frames"),
    marked("no camera is running"),
    marked("camera %(camera)s has sent no report for %(seconds)s s"),
    marked("camera %(camera)s is %(state)s: %(reason)s"),
    marked("camera %(camera)s is %(state)s"),
    marked("%(seconds)s s from capture to verdict"),
    marked("%(frames)s frames wait"),
    marked("%(frames)s frames wait, and none was inspected in the last %(seconds)s s"),
    marked("no frame came in the last %(seconds)s s"),
    marked("the camera stopped, and %(frames)s frames were never inspected"),
)
OF_CAMERAS: Final = (
    marked("running"),
    marked("reconnecting"),
    marked("finished"),
    marked("failed"),
    marked("frozen"),
    marked("dark"),
    marked("overexposed"),
    marked("covered"),
    marked("blurred"),
    marked("it has sent the same image again and again: restart the camera"),
    marked("99 of 100 pixels are darker than %(bright)s of 255: check the light"),
    marked("%(share)s of the pixels are overexposed: check the exposure and the light"),
    marked("its pixels differ by %(contrast)s of 255 only: check what is in front of the lens"),
    marked("it has %(share)s of the sharpness of its reference: check focus and lens"),
)
OF_GATEWAYS: Final = (
    marked("no camera has reported"),
    marked("no inference worker has reported"),
    marked("silent for %(seconds)s s"),
    marked("camera %(camera)s: %(reason)s"),
    marked("inference: %(reason)s"),
    marked("the line has only just become healthy"),
    marked("decided too late"),
)
OF_EXPLAINERS: Final = (
    marked("model %(version)s, which judged it, is gone"),
    marked("model %(version)s, which judged it, can't be used: %(error)s"),
    marked("none of its findings is a label of the recipe"),
)
OF_TRAINERS: Final = (
    marked("reading the images"),
    marked("measuring the images, and choosing thresholds"),
    marked("making and proving the variants for inference: %(variants)s"),
    marked("choosing and measuring heatmaps"),
    marked("writing the evaluation"),
    marked("continuing after epoch %(epoch)s"),
    marked("fitting the last layer"),
    marked("fitting the last layer, in %(folds)s folds"),
    marked("computing the features of %(images)s images"),
    marked("fitting the last layer to parts of the images, to see what more images would bring"),
    marked("the first model of this recipe"),
    marked("the recipe"),
    marked("marked defects"),
    marked("pasted defects"),
    marked("default"),
)
OF_THE_GATE: Final = (
    marked("no worse than %(version)s on %(images)s test images of %(dataset)s"),
    marked("worse than %(version)s in production, on %(images)s test images of %(dataset)s: %(reason)s"),
    marked(
        "not proven to be as good as %(version)s in production, on %(images)s test images of %(dataset)s: %(reason)s"
    ),
    marked("not comparable with %(version)s in production: %(reason)s"),
    marked("to promote it all the same, force it with a reason"),
    marked("to force a promotion, give the reason"),
    marked("recall of %(label)s is %(now)s, was %(before)s, with %(more)s more of %(positives)s missed"),
    marked("cost per image is %(now)s, was %(before)s: more by %(extra)s"),
    marked("escape rate is %(now)s, was %(before)s, with %(more)s more of %(positives)s escaped"),
    marked("it learned from %(images)s of these test images itself: train it anew, on a dataset that is split"),
    marked("it does not say which images it learned from (train.csv): train it anew"),
    marked("its recipe judges by another rule: %(differences)s"),
    marked(
        "it learned from other images of %(known)s of the %(groups)s groups that these are of, neighbours in a video "
        "for instance: add images of other parts, batches or videos"
    ),
    marked(
        "too few test images of %(labels)s, where %(with_it)s with and %(without_it)s without prove something: train "
        "it with a larger test share (option shares; the warnings of its evaluation say which), or label more"
    ),
)
