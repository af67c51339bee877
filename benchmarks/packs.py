"""Measure networks on real packs of images: split by group, trained and evaluated by the trainer's own commands.

    python -m benchmarks.packs first [--pack bsdata_pitting]…
    python -m benchmarks.packs reference [--no-templates] [--no-flips]
    python -m benchmarks.packs run [--pack bsdata_pitting]… [--architecture compact]… [--folds 5]
    python -m benchmarks.packs score [--pack bsdata_pitting]… [--architecture compact]… [--curves 8]
    python -m benchmarks.packs cost [--rounds 7]
    python -m benchmarks.packs table

`first` measures the model that a folder gets with no option at all, but at the image of the drafted recipe: recipe,
last layer, thresholds and operating point are chosen by the other four folds, and its verdicts are compared with
calling every part ok, or every part NG. Features are computed once; everything that learns is done in each fold.
`reference` does the same for circuit boards, with or
without the defect-free template of each image, on the images that are no template. `run` goes through the folds of each
pack and each network, and keeps what it found, so that it can be stopped and started again; `score` holds the heatmaps
of these to the masks of the fold that they did not see; `cost` measures, in turn, what judging an image costs each of
them; `table` prints what there is, and solar cells in the terms of published figures too. `seam-resnet` is trained as
the first seam inspection was: 100 x 100 pixels, batches of 20, 10 epochs, brightness, contrast and moved strips, Adam
from 0.001 (which falls, as in every training here). The others get the recipes in `benchmarks/recipes/`.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.inference import Measured
from services.trainer.architectures.cost import cost_of
from services.trainer.architectures.registry import architecture_of
from services.trainer.cli.train_and_evaluate import read_images
from services.trainer.datasets.pixels import Rows, decode_images
from services.trainer.datasets.references import read_references, split_references
from services.trainer.datasets.split import folds as group_folds
from services.trainer.evaluation.costs import is_ng
from services.trainer.evaluation.evaluate import macro_average_precision
from services.trainer.evaluation.threshold_choice import choose_thresholds
from services.trainer.training.heads import choose_head, heads_of
from services.trainer.training.last_layer import learned_features
from shared.contracts.bundle import VARIANT_FILES, Variant, read_bundle_folder
from shared.contracts.operating_points import OperatingPoint
from shared.contracts.training import ARCHITECTURES
from shared.datasets.labelled_images import Example
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.explain.metrics import HeatmapScores, LabelHeatmaps
from shared.imaging.codec import decode
from shared.imaging.preprocessing import resize
from shared.recipe import Augmentation, ImageSpec, Recipe, ReferenceSpec, Task, read_recipe
from shared.verdict import scores_of

app = typer.Typer(help=__doc__, no_args_is_help=True)
Data = Annotated[Path, typer.Option(help="Folder of the image packs.")]
Out = Annotated[Path, typer.Option(help="Folder for folds, models and reports.")]
Packs = Annotated[list[str] | None, typer.Option(help="Image packs; by default all.")]
Architectures = Annotated[list[str] | None, typer.Option(help="Architectures; by default all.")]
DATA = Path(os.environ.get("SEAMLINE_DATA", "../shared/data"))
OUT = Path("var/packs")
RECIPES = Path(__file__).parents[1] / "samples" / "recipes"
OWN_RECIPES = Path(__file__).parent / "recipes"
PACKS = {
    "bsdata_pitting": OWN_RECIPES / "bsdata_pitting.yaml",
    "grocery_fruit": OWN_RECIPES / "grocery_fruit.yaml",
    "fruits360": OWN_RECIPES / "fruits360.yaml",
    "aitex_fabric": RECIPES / "fabric.yaml",
    "elpv": OWN_RECIPES / "elpv.yaml",
    "pcb_multilabel": OWN_RECIPES / "pcb_multilabel.yaml",
}
EPOCHS = {"efficientnet-lite0": 12, "compact": 24, "seam-resnet": 10}
FIRST_INSPECTION = ("--batch-size", "20", "--learning-rate", "0.001")
FOLDS = 5
COLUMNS = (
    *("pack", "network", "folds", "train, test", "macro average precision", "right", "processor minutes"),
    *("GMAC", "ms/image"),
)
FIRST = ("bsdata_pitting", "aitex_fabric", "grocery_fruit", "elpv", "pcb_multilabel")
FIRST_COLUMNS = (
    *(
        "pack",
        "images",
        "macro average precision",
        "of each label",
        "right",
        "escapes",
        "overkill",
        "promised: right / escapes / overkill",
    ),
    *("all ok", "all NG", "minutes"),
)
HEATMAPS = "heatmaps.json"
SOLAR = "defective"
"""The label of solar cells that published figures are about."""
COSTS = "costs.json"
BOARDS = "pcb_multilabel"
TEMPLATES = "templates"
"""The folder of the defect-free templates of the boards, among their images."""
TIMED = 100
"""Images whose alignment is timed."""
ROUNDS = 7
BATCH = 8
"""Size of a micro-batch from a busy queue."""
SPLIT = "0.83,0.16,0.01"
"""Of the images of the other folds; one fold is the test set."""


@dataclass(frozen=True)
class Found:
    """One network on one fold of a pack."""

    pack: str
    architecture: str
    fold: int
    train_images: int
    test_images: int
    processor_minutes: float
    macs: int
    macro_average_precision: float
    verdict_accuracy: float
    labels: dict[str, dict[str, float | None]]


@app.command()
def run(
    *,
    data: Data = DATA,
    out: Out = OUT,
    pack: Packs = None,
    architecture: Architectures = None,
    folds: Annotated[int, typer.Option(min=1, max=FOLDS, help="Number of folds that are measured, of five.")] = FOLDS,
) -> None:
    """Train and evaluate what is not done yet."""
    for name, fold, network in product(pack or PACKS, range(folds), architecture or EPOCHS):
        kept = out / f"{name}-{network}-{fold}.json"
        if not kept.exists():
            found = measure(data / name, name, network, fold, out / f"{name}-{fold}")
            kept.write_text(json.dumps(asdict(found), indent=1))
            print(row([found]), flush=True)


@app.command()
def first(*, data: Data = DATA, pack: Packs = None, architecture: str = next(iter(ARCHITECTURES))) -> None:
    """Measure the first model of each pack, by the defaults."""
    print(f"| {' | '.join(FIRST_COLUMNS)} |\n{'|---' * len(FIRST_COLUMNS)}|")
    for name in pack or FIRST:
        print(measure_first(data / name, architecture).row(name), flush=True)


@app.command()
def reference(
    *,
    data: Data = DATA,
    architecture: str = next(iter(ARCHITECTURES)),
    templates: Annotated[bool, typer.Option(help="Compare each image with its template.")] = True,
    flips: Annotated[bool, typer.Option(help="Learn from flipped images too, which takes three times as long.")] = True,
) -> None:
    """Measure the first model of circuit boards beside their defect-free templates, on the images that are none."""
    print(f"| {' | '.join(FIRST_COLUMNS)} |\n{'|---' * len(FIRST_COLUMNS)}|")
    with TemporaryDirectory() as scratch:
        boards = link_boards(data, Path(scratch) / BOARDS)
        spec = ReferenceSpec(images=(f"{TEMPLATES}/*",)) if templates else None
        if spec:
            add_templates(data, boards)
        print(measure_first(boards, architecture, spec, flips=flips).row(BOARDS), flush=True)
        if spec:
            print(compare_with_templates(boards, architecture, spec))


def link_boards(data: Path, folder: Path) -> Path:
    """Return a folder with the images of circuit boards that are no template."""
    (folder / "images").mkdir(parents=True)
    pack = data / BOARDS
    for table in ("labels.csv", "groups.csv"):
        write(folder / table, [row for row in rows_of(pack / table) if "_temp_" not in row["name"]])
    for row in rows_of(folder / "labels.csv"):
        link(pack / "images" / row["name"], folder / "images" / row["name"])
    return folder


def add_templates(data: Path, folder: Path) -> None:
    """Add the template of each image to a folder, labelled good, except those of one brightness."""
    (folder / "images" / TEMPLATES).mkdir()
    rows, templates = rows_of(folder / "labels.csv"), []
    for row in rows:
        template = data / "pcb_references" / "images" / row["name"]
        if np.ptp(decode(template.read_bytes())):
            link(template, folder / "images" / TEMPLATES / row["name"])
            templates.append({**dict.fromkeys(row, "False"), "name": f"{TEMPLATES}/{row['name']}", "good": "True"})
    write(folder / "labels.csv", [*rows, *templates])
    groups = [{"name": row["name"], "group": TEMPLATES} for row in templates]
    write(folder / "groups.csv", [*rows_of(folder / "groups.csv"), *groups])


def compare_with_templates(pack: Path, architecture: str, spec: ReferenceSpec) -> str:
    """Say how often each image is compared with its own template, and what a comparison costs on one thread."""
    images, drafted = read_images(pack, None, read_recipe(PACKS[BOARDS]).task, None)
    image = drafted.image.model_copy(update={"reference": spec})
    plain, templates = split_references(images, image)
    references = read_references(templates, image)
    read = {each.name: resize(decode(each.image.read_bytes()), image) for each in plain.examples}
    own = mean(references.name_for(pixels) == f"{TEMPLATES}/{name}" for name, pixels in read.items())
    few, milliseconds = list(read.values())[:TIMED], []
    cv2.setNumThreads(1)
    for pixels in few:
        began = process_time()
        references.beside(pixels)
        milliseconds.append(1000 * (process_time() - began))
    networks = {}
    for each in (image.alone, image):
        compiled = compile_for_openvino(architecture_of(architecture).build(each, len(drafted.labels)))
        engine = OpenVinoEngine(compiled.xml, compiled.weights, threads=1)
        noise = np.random.default_rng(0).normal(size=(BATCH, *each.shape)).astype(np.float32)
        networks[each.reference is not None] = Measured(architecture, BATCH, partial(engine.logits, noise))
    for _ in range(ROUNDS):
        for network in networks.values():
            network.measure()
    alone, beside = (median(networks[each].milliseconds) for each in (False, True))
    return (
        f"\n{own:.1%} of {len(read)} images are compared with their own template, of {len(templates)}. One thread, "
        f"milliseconds an image: {median(milliseconds):.1f} to find and align it, {beside:.1f} for the network with it "
        f"and {alone:.1f} without"
    )


@dataclass
class FirstModel:
    """The verdicts of first models on the folds that they did not learn from."""

    images: int
    seconds: float
    """Of the features of all images, and of the fits of one fold."""
    precisions: list[float] = field(default_factory=list)
    """Macro average precision of each fold."""
    label_precisions: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Average precision of each label, of the folds that have images with and without it."""
    promised: list[OperatingPoint] = field(default_factory=list)
    right_labels: int = 0
    """Images whose chosen label is right, where no label can make a part NG."""
    ng: int = 0
    escapes: int = 0
    overkills: int = 0

    def add_verdicts(self, recipe: Recipe, truth: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Count the escapes and overkills among some images.

        Args:
            recipe: with the thresholds.
            truth: (images, labels), 0 or 1.
            scores: (images, labels), 0 to 1.
        """
        ng, judged_ng = is_ng(recipe, truth), is_ng(recipe, scores)
        self.ng += int(ng.sum())
        self.escapes += int((ng & ~judged_ng).sum())
        self.overkills += int((~ng & judged_ng).sum())

    def add_precisions(self, names: Sequence[str], truth: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Add the average precisions of a fold; the arguments are those of `add_verdicts`."""
        self.precisions.append(macro_average_precision(truth, scores))
        for name, label, of_label in zip(names, truth.T, scores.T, strict=True):
            if 0 < label.sum() < len(label):
                self.label_precisions[name].append(float(average_precision_score(label, of_label)))

    def row(self, name: str) -> str:
        """Return a line of the table."""
        ok = self.images - self.ng
        if self.promised:
            right = f"{1 - (self.escapes + self.overkills) / self.images:.1%}"
            rates = f"{self.escapes / self.ng:.1%}", f"{self.overkills / ok:.1%}"
            promised = " / ".join(
                f"{mean(getattr(point, figure) or 0 for point in self.promised):.1%}"
                for figure in ("verdict_accuracy", "escape_rate", "overkill_rate")
            )
            trivial = f"{ok / self.images:.1%}", f"{self.ng / self.images:.1%}"
        else:
            right, rates, promised, trivial = f"{self.right_labels / self.images:.1%} of labels", ("", ""), "", ("", "")
        precision = f"{mean(self.precisions):.3f} ({min(self.precisions):.3f} – {max(self.precisions):.3f})"
        of_labels = ", ".join(f"{label} {mean(each):.3f}" for label, each in self.label_precisions.items())
        cells = (
            name,
            str(self.images),
            precision,
            of_labels,
            right,
            *rates,
            promised,
            *trivial,
            f"{self.seconds / 60:.1f}",
        )
        return f"| {' | '.join(cells)} |"


def measure_first(
    pack: Path, architecture: str, reference: ReferenceSpec | None = None, *, flips: bool = True
) -> FirstModel:
    """Choose everything by four folds and judge the fifth, five times."""
    task = read_recipe(PACKS[pack.name]).task
    images, recipe = read_images(pack, None, task, None)
    recipe = recipe.model_copy(update={"image": recipe.image.model_copy(update={"reference": reference})})
    with TemporaryDirectory() as scratch:
        dataset, store = decode_images(images, recipe.image, Path(scratch), "skip" if reference else "stop")
        examples = with_divided_groups(dataset.examples)
        network = architecture_of(architecture).build(recipe.image, len(recipe.labels))
        architecture_of(architecture).load_weights(network)
        allowed = recipe.augmentation if flips else Augmentation()
        began = perf_counter()
        features = learned_features(network, store, np.arange(len(store.labels)), allowed)
        found = FirstModel(len(store.labels), perf_counter() - began)
    for learned, test in grouped_folds(examples):
        began = perf_counter()
        truth = store.labels[learned]
        fold_of = group_folds([examples[row] for row in learned], seed=0)
        groups = [examples[row].group for row in learned]
        head, _ = choose_head(
            heads_of(network),
            features[:, learned],
            truth,
            fold_of,
            groups,
            task=task,
            limit=None,
        )
        scores = scores_of(head.fitted.out_of_fold, task)
        judging, points = choose_thresholds(recipe, truth, scores, groups)
        found.seconds += (perf_counter() - began) / FOLDS
        scores, truth = scores_of(head.logits(features[0, test]), task), store.labels[test]
        found.add_precisions(recipe.label_names, truth, scores)
        if points is None or points.of_model is None:
            found.right_labels += int((scores.argmax(axis=1) == truth.argmax(axis=1)).sum())
            continue
        found.promised.append(points.of_model)
        found.add_verdicts(judging, truth, scores)
    return found


def with_divided_groups(examples: Sequence[Example]) -> list[Example]:
    """Return the images with the groups of `divide_groups`."""
    groups = divide_groups([example.group for example in examples], [str(example.labels) for example in examples])
    return [replace(example, group=group) for example, group in zip(examples, groups, strict=True)]


def grouped_folds(examples: Sequence[Example]) -> Iterator[tuple[Rows, Rows]]:
    """Yield the images to learn from and to judge, for each of the folds."""
    kinds = [str(example.labels) for example in examples]
    groups = [example.group for example in examples]
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(kinds, kinds, groups)


@app.command()
def score(
    *,
    data: Data = DATA,
    out: Out = OUT,
    pack: Packs = None,
    architecture: Architectures = None,
    curves: Annotated[int, typer.Option(min=1, help="Images per label for deletion and insertion.")] = 8,
) -> None:
    """Score the heatmaps of the trained models on the images with masks of their test folds."""
    for name, network in product(pack or PACKS, architecture or EPOCHS):
        for model in sorted(out.glob(f"{name}-?/{network}")):
            report, test = model.with_name(f"{network}-{HEATMAPS}"), model.with_name("test")
            if (data / name / "masks").exists() and not report.exists():
                link(data / name / "masks", test / "masks")
                command(
                    "score", "--model", model, "--data", test, "--curves", curves, "--report", report, of="explainer"
                )


@app.command()
def cost(out: Out = OUT, rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 7) -> None:
    """Measure the time of an image for each trained model: one after the other, round by round, on one thread."""
    models = {found.parent: judging_time(found.parent) for found in sorted(out.glob("*-0/*/manifest.json"))}
    for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
        for measured in models.values():
            measured.measure()
    kept = {str(model.relative_to(out)): median(measured.milliseconds) for model, measured in models.items()}
    (out / COSTS).write_text(json.dumps(kept, indent=1))


def judging_time(model: Path) -> Measured:
    """Prepare to run a batch of noise through a model, like an inference worker."""
    bundle = read_bundle_folder(model)
    xml, weights = (bundle.file(name) for name in VARIANT_FILES[Variant.FP32])
    engine = OpenVinoEngine(xml, weights, threads=1)
    images = np.random.default_rng(0).normal(size=(BATCH, *bundle.recipe.image.shape)).astype(np.float32)
    return Measured(str(model), BATCH, partial(engine.logits, images))


@app.command()
def table(out: Out = OUT) -> None:
    """Print the means of the measured folds, and how far the heatmaps of each model can be trusted."""
    costs: dict[str, float] = json.loads((out / COSTS).read_text()) if (out / COSTS).exists() else {}
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name, network in product(PACKS, EPOCHS):
        found = [Found(**json.loads(path.read_text())) for path in sorted(out.glob(f"{name}-{network}-?.json"))]
        if found:
            print(row(found, costs.get(f"{name}-0/{network}")))
    print("\n| pack, fold | network | label | images | pointing | centre | random | energy | area | trustworthy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, network in product(PACKS, EPOCHS):
        for report in sorted(out.glob(f"{name}-?/{network}-{HEATMAPS}")):
            scores = HeatmapScores.model_validate_json(report.read_text())
            for label, of in scores.labels.items():
                print(heatmap_row(report.parent.name.replace(f"{name}-", f"{name}, "), network, label, of))
    print(f"\n| elpv, fold | network | `{SOLAR}` right at 0.5 | calling all cells good | average precision |")
    print("|---|---|---|---|---|")
    for network in EPOCHS:
        for report in sorted(out.glob(f"elpv-?/{network}.json")):
            print(solar_row(report.parent.name, network, json.loads(report.read_text())["labels"][SOLAR]))


def solar_row(fold: str, network: str, of: dict[str, Any]) -> str:
    """Return a line of the third table: solar cells in the terms of the published figures (Deitsch et al. 2019)."""
    low, high = of["intervals"]["average_precision"]
    good = 1 - of["positives"] / of["n"]
    precision = f"{of['average_precision']:.2f} ({low:.2f} – {high:.2f})"
    return f"| {fold.removeprefix('elpv-')} | `{network}` | {right_at_half(of):.1%} | {good:.1%} | {precision} |"


def right_at_half(of: dict[str, Any]) -> float:
    """Return the accuracy at a threshold of 0.5, at which two bins of scores meet."""
    right = (
        every["n"] * (every["share"] if every["score"] >= 0.5 else 1 - every["share"]) for every in of["reliability"]
    )
    return float(sum(right)) / float(of["n"])


def heatmap_row(pack: str, network: str, label: str, of: LabelHeatmaps) -> str:
    """Return a line of the second table."""
    numbers = (of.random, of.energy, of.area)
    cells = (
        pack,
        f"`{network}`",
        label,
        str(of.images),
        *(f"{each.value:.2f} ({each.low:.2f} – {each.high:.2f})" for each in (of.pointing, of.centre)),
        *(f"{each.value:.2f}" for each in numbers),
        {True: "yes", False: "no", None: "too few"}[of.trustworthy],
    )
    return f"| {' | '.join(cells)} |"


def row(found: list[Found], milliseconds: float | None = None) -> str:
    """Return a line of the first table."""
    precisions = [one.macro_average_precision for one in found]
    spread = f" ({min(precisions):.3f} – {max(precisions):.3f})" if len(found) > 1 else ""
    sizes = f"{mean(one.train_images for one in found):.0f}, {mean(one.test_images for one in found):.0f}"
    cells = (
        found[0].pack,
        f"`{found[0].architecture}`",
        str(len(found)),
        sizes,
        f"{mean(precisions):.3f}{spread}",
        f"{mean(share_right(one) for one in found):.1%}",
        f"{mean(one.processor_minutes for one in found):.1f}",
        f"{found[0].macs / 1e9:.2f}",
        f"{milliseconds:.1f}" if milliseconds else "",
    )
    return f"| {' | '.join(cells)} |"


def share_right(found: Found) -> float:
    """Return the share of right verdicts; for exclusive labels, which make no verdicts, of right labels.

    A wrong choice is wrong of two labels.
    """
    if read_recipe(PACKS[found.pack]).task is not Task.EXCLUSIVE:
        return found.verdict_accuracy
    return 1 - sum(1 - (of["accuracy"] or 0) for of in found.labels.values()) / 2


def measure(pack: Path, name: str, network: str, fold: int, folder: Path) -> Found:
    """Train on four fifths of the groups, evaluate on the fifth."""
    learn, test = split_fold(pack, fold, folder)
    recipe = recipe_for(name, network)
    written = folder / f"{network}.yaml"
    written.write_text(recipe.to_yaml())
    model, report = folder / network, folder / f"{network}.json"
    options: tuple[str, ...] = (
        "--architecture",
        network,
        "--epochs",
        str(EPOCHS[network]),
        "--seed",
        str(fold),
        "--split",
        SPLIT,
        "--variants",
        "fp32",
        "--no-report",
    )
    options += FIRST_INSPECTION if network == "seam-resnet" else ()
    shutil.rmtree(model, ignore_errors=True)
    began = processor_seconds()
    command("train", "--data", learn, "--recipe", written, "--out", model, *options)
    minutes = (processor_seconds() - began) / 60
    command("evaluate", "--model", model, "--data", test, "--report", report)
    evaluation: dict[str, Any] = json.loads(report.read_text())
    wanted = ("accuracy", "average_precision", "recall", "precision")
    return Found(
        pack=name,
        architecture=network,
        fold=fold,
        train_images=len(rows_of(learn / "labels.csv")),
        test_images=len(rows_of(test / "labels.csv")),
        processor_minutes=minutes,
        macs=cost_of(architecture_of(network).build(recipe.image, len(recipe.labels))).macs,
        macro_average_precision=evaluation["macro_average_precision"],
        verdict_accuracy=evaluation["verdict_accuracy"],
        labels={label: {key: of[key] for key in wanted} for label, of in evaluation["labels"].items()},
    )


def recipe_for(name: str, network: str) -> Recipe:
    """Return the recipe of a pack; for `seam-resnet`, with the augmentation of the first seam inspection."""
    recipe = read_recipe(PACKS[name])
    if network != "seam-resnet":
        return recipe
    image = ImageSpec(height=100, width=100, colour=recipe.image.colour)
    augmentation = Augmentation(brightness=True, moved_strip=True)
    return recipe.model_copy(update={"image": image, "augmentation": augmentation})


def split_fold(pack: Path, fold: int, folder: Path) -> tuple[Path, Path]:
    """Return the folders of the training and the test images; images are linked, not copied."""
    rows = rows_of(pack / "labels.csv")
    groups = {row["name"]: row["group"] for row in rows_of(pack / "groups.csv")}
    kinds = [" ".join(key for key, value in row.items() if value == "True") for row in rows]
    together = divide_groups([groups[row["name"]] for row in rows], kinds)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    parts = list(folds.split(np.zeros(len(rows)), kinds, together))[fold]
    found = []
    for part, numbers in zip(("learn", "test"), parts, strict=True):
        target = folder / part
        target.mkdir(parents=True, exist_ok=True)
        link(pack / "images", target / "images")
        chosen = [rows[number] for number in numbers]
        write(target / "labels.csv", chosen)
        write(target / "groups.csv", ({"name": rows[number]["name"], "group": together[number]} for number in numbers))
        found.append(target)
    return found[0], found[1]


def link(source: Path, target: Path) -> None:
    """Link a folder or a file to another place."""
    if not target.exists():
        target.symlink_to(source.resolve())


def divide_groups(groups: list[str], kinds: list[str]) -> list[str]:
    """Return the groups; one with nearly all images of its kind (the only variety of orange) is divided into runs.

    Else that kind would be learned in four folds that hardly test it, and tested in the one that hardly saw it.
    """
    of_kind, pairs = Counter(kinds), Counter(zip(groups, kinds, strict=True))
    enough = {kind: max(FOLDS, count * (FOLDS - 1) / FOLDS) for kind, count in of_kind.items()}
    nearly_alone = {group for (group, kind), count in pairs.items() if count > enough[kind]}
    sizes, seen = Counter(groups), Counter[str]()
    cut = []
    for group in groups:
        cut.append(f"{group} {seen[group] * FOLDS // sizes[group]}" if group in nearly_alone else group)
        seen[group] += 1
    return cut


def processor_seconds() -> float:
    """Return the processor time of all commands so far, which is comparable on a busy machine, too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


def write(path: Path, rows: Iterator[dict[str, str]] | list[dict[str, str]]) -> None:
    """Write a table."""
    chosen = list(rows)
    with path.open("w", newline="") as table:
        writer = csv.DictWriter(table, chosen[0])
        writer.writeheader()
        writer.writerows(chosen)


def command(*words: str | Path | int, of: str = "trainer") -> None:
    """Run one of a service's commands; it shows its progress itself."""
    subprocess.run([sys.executable, "-m", f"services.{of}", *map(str, words)], check=True)


if __name__ == "__main__":
    app()
