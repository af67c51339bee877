"""The labelled frames of a source: their labels, their groups, and the names of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from services.dashboard.labelling.annotations.annotation import Annotation, InspectedFrame
from services.dashboard.labelling.annotations.log import AnnotationLog
from services.dashboard.labelling.exports.groups import groups_of
from services.dashboard.labelling.sources import FrameSource, frame_order
from services.dashboard.web.problems import Problem
from shared.language import gettext


@dataclass(frozen=True)
class LabelledFrame:
    """One frame with the labels that count."""

    source: FrameSource
    key: str
    inspected: InspectedFrame | None
    """None for a frame of a video."""
    annotation: Annotation
    labels: tuple[bool, ...]
    """Whether the frame has each label, in the order of the recipe's labels."""
    group: str | None
    """A video, a folder of an album, a part, a batch, or a run of frames; None if the frame is between two runs."""

    @property
    def name(self) -> str:
        """The name of the frame's image in tables and archives, which says where the image is from."""
        if self.inspected is not None:
            return f"{self.key}{PurePosixPath(self.inspected.image_key).suffix}"
        return self.source.image_name(self.key)


@dataclass(frozen=True)
class LabelledSource:
    """The labelled frames of one source."""

    source: FrameSource
    frames: Sequence[LabelledFrame]
    contradictions: int
    """Frames that are left out because two people contradict each other."""
    incomplete: int
    """Labelled frames that are left out because they lack a label of the recipe."""

    @property
    def grouped(self) -> list[LabelledFrame]:
        """The frames that are in a group: only these are in archives and datasets."""
        return [frame for frame in self.frames if frame.group is not None]


def labelled_source(source: FrameSource, log: AnnotationLog) -> LabelledSource:
    """Return the labelled frames of a source, in the order of their numbers or frame ids."""
    names = source.recipe.label_names
    inspected = log.inspected()
    effective = {key: frame.effective for key, frame in log.frames.items()}
    complete = {
        key: annotation
        for key, annotation in effective.items()
        if annotation and set(names) <= annotation.labels.keys() and (source.video is not None or key in inspected)
    }
    groups = groups_of(inspected[key] for key in complete if key in inspected)
    frames = [
        LabelledFrame(
            source,
            key,
            inspected.get(key),
            complete[key],
            tuple(complete[key].labels[name] for name in names),
            groups[key] if key in inspected else source.group(key),
        )
        for key in sorted(complete, key=frame_order)
    ]
    return LabelledSource(
        source,
        frames,
        contradictions=sum(frame.is_contradiction for frame in log.frames.values()),
        incomplete=sum(annotation is not None for annotation in effective.values()) - len(frames),
    )


def check_compatible(labelled: Sequence[LabelledSource]) -> None:
    """Check that the frames of several sources can be in one dataset.

    Raises:
        Problem: 422: their recipes have different labels, or two frames have the same name.
    """
    first = labelled[0].source.recipe
    for each in labelled:
        recipe = each.source.recipe
        if (recipe.task, recipe.label_names) != (first.task, first.label_names):
            raise Problem(
                422,
                gettext(
                    "sources: recipes %(name)r and %(name2)r have different labels: choose one",
                    name=recipe.name,
                    name2=first.name,
                ),
            )
    # two dashboards may give two videos the same name at the same moment
    names = Counter(frame.name for each in labelled for frame in each.frames)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise Problem(
            422, gettext("sources: two of them have an image %(twice)s: make a dataset of each", twice=twice[0])
        )
