from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import split
from shared.contracts.training import Shares
from shared.datasets.importing import import_dataset
from shared.datasets.labelled_images import read_tables
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.imaging.codec import encode
from shared.label_names import label_slug
from shared.recipe import ImageSpec, Task
from shared.storage.filesystem import FilesystemStore

SMALL = ImageSpec(height=16, width=16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images in images/, without a table."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        image = np.full((20, 30, 3), 50 * number, np.uint8)
        (tmp_path / "images" / f"{number}.png").write_bytes(encode(image, "png"))
    return tmp_path


def write(folder: Path, text: str, name: str = "labels.csv") -> None:
    (folder / name).write_text(text)


def complaint(folder: Path, *labels: str, task: Task | None = None) -> str:
    with pytest.raises(DatasetError) as refused:
        read_dataset(folder, labels, task=task)
    return str(refused.value)


def test_a_folder_without_a_table_of_labels_is_an_error(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no table of labels: put labels\.csv there"):
        read_tables(folder, [])


def test_labels_are_read_in_the_order_of_the_recipe(folder: Path) -> None:
    write(folder, "name,good,break\n0.png,True,False\n1.png,False,True\n")
    dataset = read_dataset(folder, ("break", "good"))
    assert dataset.label_names == ("break", "good")
    assert [example.labels for example in dataset.examples] == [(False, True), (True, False)]
    assert [example.image.name for example in dataset.examples] == ["0.png", "1.png"]


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "index"])
def test_a_leading_index_column_is_passed_over(folder: Path, index: str) -> None:
    write(folder, f"{index},name,good\n0,0.png,True\n1,1.png,false\n")
    dataset = read_dataset(folder)
    assert dataset.label_names == ("good",)
    assert [example.labels for example in dataset.examples] == [(True,), (False,)]


def test_a_table_that_a_spreadsheet_saved_is_read(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbfname, good \r\n0.png, TRUE\r\n\r\n1.png,FALSE\r\n")
    assert [example.labels for example in read_dataset(folder).examples] == [(True,), (False,)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_of_another_separator_and_with_name_in_capitals_is_read(folder: Path, separator: str) -> None:
    write(folder, "Name,Good\n0.png,TRUE,\n1.png,FALSE,\n".replace(",", separator))
    write(folder, "NAME,Group\n0.png,a\n1.png,b\n".replace(",", separator), "groups.csv")
    dataset = read_dataset(folder)
    assert dataset.label_names == ("Good",)
    assert [(example.labels, example.group) for example in dataset.examples] == [((True,), "a"), ((False,), "b")]


def test_several_tables_are_read_together_and_each_video_is_a_group(tmp_path: Path) -> None:
    for name in ("a0.png", "a1.png", "b0.png"):
        (tmp_path / name).write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "png"))
    write(tmp_path, ",name,good\n0,a0.png,True\n1,a1.png,True\n", "first_data.csv")
    write(tmp_path, ",name,good\n0,b0.png,False\n", "second_data.csv")
    dataset = read_dataset(tmp_path)
    assert [(example.name, example.group) for example in dataset.examples] == [
        ("a0.png", "first"),
        ("a1.png", "first"),
        ("b0.png", "second"),
    ]


def test_the_table_of_a_video_is_its_group_in_capitals_too(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n1.png,False\n", "Film_DATA.CSV")
    assert [each.group for each in read_dataset(folder).examples] == ["Film", "Film"]


def test_groups_are_taken_from_their_table(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n")
    write(folder, "name,group,cloth\n0.png,part-7,denim\n1.png,part-7,denim\n", "groups.csv")
    assert {example.group for example in read_dataset(folder).examples} == {"part-7"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("0.png,True\n9.png,True\n", "labels.csv, line 3: 9.png is not there"),
        ("0.png,maybe\n", "labels.csv, line 2: good is 'maybe': write True or False"),
        ("0.png\n", "labels.csv, line 2: good is ''"),
        ("0.png,True\n0.png,True\n", "line 3: 0.png is listed twice, see labels.csv, line 2"),
        ("0.png,True\n0.png,False\n", "line 3: 0.png has other labels, see labels.csv, line 2"),
        ("../0.png,True\n", "line 2: '../0.png' is no name of an image"),
        ("/etc/passwd,True\n", "line 2: /etc/passwd is not there"),
        (",True\n", "line 2: '' is no name of an image"),
        ("0.png,True\n./0.png,False\n", "line 3: 0.png has other labels, see labels.csv, line 2"),
        ("0.png,True\nimages/0.PNG,True\n", "line 3: 0.png is listed twice, see labels.csv, line 2"),
        ("x" * 300 + ".png,True\n", "xxx… is not there"),
        ("0.png,True,False\n", "labels.csv, line 2: 3 cells under 2 columns"),
    ],
)
def test_a_wrong_row_is_named_with_file_and_line(folder: Path, rows: str, expected: str) -> None:
    write(folder, "name,good\n" + rows)
    assert expected in complaint(folder)


def test_many_rows_with_one_cause_are_one_line_and_few_are_a_line_each(folder: Path) -> None:
    rows = [f"x{number}.png,True" for number in range(25)] + ["0.png,perhaps", "1.png,maybe"]
    write(folder, "name,good\n" + "\n".join(rows))
    missing, perhaps, maybe = complaint(folder).splitlines()
    assert missing.startswith("labels.csv, line 2: x0.png is not there")
    assert missing.endswith("(and 24 more of this kind: lines 2-26)")
    assert perhaps.startswith("labels.csv, line 27: good is 'perhaps'")
    assert maybe.startswith("labels.csv, line 28: good is 'maybe'")


NEAR_NAMES = {
    "images/{}.png": "the folders before the name",
    r"C:\\Bilder\\{}.png": "the folders before the name",
    "{}": "the extension",
    "{}.PNG": "upper and lower case",
}


@pytest.mark.parametrize("written", NEAR_NAMES)
def test_names_that_differ_a_little_are_taken_and_said_in_one_line(folder: Path, written: str) -> None:
    names = [written.replace("\\\\", "\\").format(number) for number in range(3)]
    write(folder, "name,good\n" + "".join(f"{name},True\n" for name in names))
    write(folder, "name,group\n" + "".join(f"{name},part\n" for name in names), "groups.csv")
    dataset = read_dataset(folder)
    assert [each.name for each in dataset.examples] == ["0.png", "1.png", "2.png"]
    assert {each.group for each in dataset.examples} == {"part"}
    (warning,) = dataset.warnings
    assert "3 names differ from their files" in warning
    assert NEAR_NAMES[written] in warning
    assert "labels.csv, lines 2-4: " in warning
    assert names[0] in warning


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("WAHR", "FALSCH"),
        ("1.0", "0.0"),
        ("1,0", "0,0"),
        ("1.000", "0.000"),
        ("ja", "nein"),
        ("T", "F"),
        ("x", "-"),
        ("✓", "✗"),
        ("PRAWDA", "FAŁSZ"),
        ("WAAR", "ONWAAR"),
        ("VERDADEIRO", "FALSO"),
        ("是", "否"),
    ],
)
def test_true_and_false_are_read_as_spreadsheets_and_people_write_them(folder: Path, true: str, false: str) -> None:
    write(folder, f"name;good\n0.png;{true}\n1.png;{false}\n2.png;{true}\n")
    assert [each.labels for each in read_dataset(folder).examples] == [(True,), (False,), (True,)]


def test_a_column_that_only_marks_is_false_where_it_is_empty(folder: Path) -> None:
    write(folder, "name,good,bad\n0.png,x,0\n1.png,,1\n2.png,x,0\n")
    dataset = read_dataset(folder)
    assert [each.labels for each in dataset.examples] == [(True, False), (False, True), (True, False)]
    assert "labels.csv: empty cells count as False in good, because all other cells there are True" in dataset.warnings


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("sep=;\r\nname;good\r\n0.png;True\r\n", "utf-8"),
        ('"sep=,"\nname,good\n0.png,True\n', "utf-8-sig"),
        ("name\tgood\r\n0.png\tTrue\r\n", "utf-16"),
        ("name,good,,\n0.png,True,,\n", "utf-8"),
        ("Filename, good \n0.png,True\n", "utf-8"),
        ("name,good\n0.png,True\n;;\n,,\n\n", "utf-8"),
    ],
)
def test_tables_of_spreadsheets_and_tools_are_read(folder: Path, content: str, encoding: str) -> None:
    (folder / "labels.csv").write_bytes(content.encode(encoding))
    assert [(each.labels, each.name) for each in read_dataset(folder).examples] == [((True,), "0.png")]


@pytest.mark.parametrize("name", ["Labels.csv", "LABELS.CSV", "labels.csv.txt"])
def test_a_table_is_found_by_a_near_name(folder: Path, name: str) -> None:
    write(folder, "name,good\n0.png,True\n", name)
    (folder / "images").rename(folder / "Images")
    assert len(read_dataset(folder).examples) == 1


def test_a_table_of_flags_with_another_name_is_read(folder: Path) -> None:
    write(folder, "filename, good, scratch\n0.png,1,0\n1.png,0,1\n", "_classes.csv")
    assert [each.labels for each in read_dataset(folder).examples] == [(True, False), (False, True)]


def test_masks_are_found_by_near_names_and_those_of_no_image_are_counted(folder: Path) -> None:
    (folder / "masks_by_label").mkdir()
    names = [normalize("NFD", "0_Größe.PNG"), f"1_{label_slug('Größe')}.png", "7_Größe.png"]
    for name in names:
        (folder / "masks_by_label" / name).touch()
    write(folder, "name,Größe\n0.png,1\n1.png,1\n2.png,0\n")
    dataset = read_dataset(folder)
    expected = [folder / "masks_by_label" / name for name in names[:2]]
    assert [path for each in dataset.examples for _, path in each.masks] == expected
    assert [name for each in dataset.examples for name, _ in each.masks] == [
        f"masks_by_label/{number}_{label_slug('Größe')}.png" for number in range(2)
    ]
    assert dataset.warnings[0].startswith("1 image (7_Größe.png) in masks/ or masks_by_label/ without an image")


@pytest.mark.parametrize("name", ["Groups.csv", "GROUPS.CSV", "groups.csv.txt"])
@pytest.mark.parametrize("column", ["name", "File_Name", "image"])
def test_groups_are_found_by_near_names_and_compared_in_one_form_of_unicode(
    folder: Path, name: str, column: str
) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n2.png,False\n")
    groups = [normalize("NFC", "Prüfling 1"), normalize("NFD", "Prüfling  1"), "Prüfling 2"]
    rows = (f"{number}.PNG,{group}\n" for number, group in enumerate(groups))
    write(folder, f"{column},Group\n{''.join(rows)}", name)
    assert [each.group for each in read_dataset(folder).examples] == ["Prüfling 1", "Prüfling 1", "Prüfling 2"]


@pytest.mark.parametrize("masks", ["Masks", "MASKS"])
@pytest.mark.parametrize("images", ["images", "."])
def test_the_folders_of_masks_may_be_written_in_capitals(folder: Path, masks: str, images: str) -> None:
    write(folder, "name,good\n0.png,False\n")
    (folder / masks).mkdir()
    (folder / masks / "0.png").touch()
    if images == ".":
        for path in [*(folder / "images").iterdir()]:
            path.rename(folder / path.name)
        (folder / "images").rmdir()
    (example,) = read_dataset(folder).examples
    assert example.masks == (("masks/0.png", folder / masks / "0.png"),)


DAMAGED: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "cut.jpg": lambda image: encode(image, "jpeg")[:-400],
    "zeros.jpg": lambda image: encode(image, "jpeg")[:400].ljust(1_000, b"\0"),
    "cut.png": lambda image: encode(image, "png")[:-400],
    "wrong.png": lambda image: encode(image, "png")[:-200] + b"?" + encode(image, "png")[-199:],
    "cut.tiff": lambda image: cv2.imencode(".tiff", image)[1].tobytes()[:-400],
    "cut.webp": lambda image: cv2.imencode(".webp", image)[1].tobytes()[:-100],
    "cut.bmp": lambda image: cv2.imencode(".bmp", image)[1].tobytes()[:-400],
    "page.jpg": lambda _: b"<html>log in</html>",
    "phone.jpg": lambda _: b"\0\0\0\x18ftypheic" + bytes(99),
}
"""What people have among their images, by its name."""


def test_damaged_images_and_masks_are_named_and_never_learned_from(folder: Path, store: FilesystemStore) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    for name, damage in DAMAGED.items():
        (folder / "images" / name).write_bytes(damage(image))
    rows = [f"{name},True" for name in ("0.png", "1.png", *DAMAGED)]
    write(folder, "\n".join(["name,good", *rows, "2.png,False"]))
    (folder / "masks").mkdir()
    (folder / "masks" / "2.png").write_bytes(encode(image, "png")[:-400])
    (folder / "masks" / "1.tiff").write_bytes(cv2.imencode(".tiff", image)[1].tobytes())
    dataset = read_dataset(folder)
    for refuse in (
        lambda: decode_images(dataset, SMALL, folder),
        lambda: import_dataset(dataset, store, "seam", by="ada", source="x"),
    ):
        with pytest.raises(DatasetError) as refused:
            refuse()
        assert [name for name in (*DAMAGED, "masks/2.png, the mask of 2.png") if name not in str(refused.value)] == []
    learned, _ = decode_images(dataset, SMALL, folder, "skip")
    imported = import_dataset(dataset, store, "seam", by="ada", source="x", on_problem="skip")
    assert [each.name for each in learned.examples] == ["0.png", "1.png", "2.png"]
    assert [each.name for each in imported.version.images] == ["0.png", "1.png", "2.png"]
    assert [len(each.masks) for each in learned.examples] == [0, 1, 0]
    assert [len(each.masks) for each in imported.version.images] == [0, 1, 0]
    assert len(learned.problems) == len(imported.problems) == len(DAMAGED) + 1


def test_images_that_cant_teach_are_said_before_a_training(folder: Path) -> None:
    noise = encode(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8), "png")
    for name in ("0.png", "1.png"):
        (folder / "images" / name).write_bytes(noise)
    write(folder, "name,good\n0.png,True\n1.png,False\n2.png,False\n")
    warnings = decode_images(read_dataset(folder), SMALL, folder)[0].warnings
    assert "labels.csv, line 3: 1.png is the same image as labels.csv, line 2, and has other labels" in warnings
    assert (
        "1 of 3 images have one colour alone, and show nothing to learn: check them (the first is 2.png, labels.csv, "
        "line 4)" in warnings
    )


def test_images_without_a_row_and_of_other_kinds_are_counted_once(folder: Path) -> None:
    for name in ("3.png", "4.bmp", "5.heic", "6.HEIC"):
        (folder / "images" / name).touch()
    write(folder, "name,good\n0.png,True\n")
    without_row, others = read_dataset(folder).warnings
    assert without_row.startswith("4 images (1.png, …) without a row, not used")
    assert others.startswith("2 images (5.heic, …) of a kind that can't be read: save them as JPEG or PNG")


def test_bmp_tiff_webp_and_jfif_are_trained_on(folder: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    names = ["a.bmp", "b.tiff", "c.webp", "d.jfif", "e.jpe"]
    for name in names:
        ending = name[1:] if name[0] < "d" else ".jpg"
        (folder / "images" / name).write_bytes(cv2.imencode(ending, image)[1].tobytes())
    write(folder, "name,good\n" + "".join(f"{name},True\n" for name in names))
    dataset, store = decode_images(read_dataset(folder), SMALL, tmp_path)
    assert [each.name for each in dataset.examples] == names
    assert np.array_equal(store.pixels[0], store.pixels[1])


def test_wrong_rows_are_passed_over_and_listed_when_asked(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n9.png,True\n1.png,maybe\n")
    dataset = read_dataset(folder, on_problem="skip")
    assert [example.name for example in dataset.examples] == ["0.png"]
    assert [problem.place.line for problem in dataset.problems] == [3, 4]


def test_a_label_that_the_recipe_does_not_know_is_named(folder: Path) -> None:
    write(folder, "name,good,stain\n0.png,True,False\n")
    assert "labels.csv, line 1: the recipe has no label stain" in complaint(folder, "good")


def test_a_label_that_the_table_lacks_is_named(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n")
    said = complaint(folder, "good", "break")
    assert (
        "labels.csv, line 1: no column for break: the first line names name and each label, and its columns are" in said
    )
    write(folder, "Name,Good\n0.png,True\n")
    assert read_dataset(folder, ("good",)).label_names == ("good",)


def test_two_columns_of_one_name_are_refused(folder: Path) -> None:
    write(folder, "name,good,good\n0.png,True,False\n")
    assert "labels.csv, line 1: two columns are named 'good'" in complaint(folder)


@pytest.mark.parametrize(("values", "expected"), [("True,True", "apple, orange are true"), ("False,False", "no label")])
def test_exclusive_labels_are_one_of_many(folder: Path, values: str, expected: str) -> None:
    write(folder, f"name,apple,orange\n0.png,{values}\n")
    assert expected in complaint(folder, task=Task.EXCLUSIVE)


def test_an_image_without_a_group_is_named(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n")
    write(folder, "name,group\n0.png,a\n", "groups.csv")
    assert "labels.csv, line 3: 1.png has no group" in complaint(folder)


def test_images_whose_group_is_empty_are_passed_over_when_asked_and_are_no_group_together(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n2.png,True\n")
    write(folder, "name,group\n0.png,\n1.png,\n2.png,a\n", "groups.csv")
    assert "groups.csv, line 2: 0.png has no group" in complaint(folder)
    dataset = read_dataset(folder, on_problem="skip")
    assert [(example.name, example.group) for example in dataset.examples] == [("2.png", "a")]


def test_a_table_of_groups_is_read_in_any_case_and_one_in_another_folder_is_named(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n2.png,True\n")
    groups = "name,group\n0.png,a\n1.png,a\n2.png,b\n"
    write(folder, groups, "images/groups.csv")
    misplaced, ungrouped = read_dataset(folder).warnings
    assert misplaced == "images/groups.csv is not read: move it to the top of the dataset's folder"
    assert ungrouped.startswith("no groups.csv")
    write(folder, groups, "Groups.csv")
    dataset = read_dataset(folder)
    assert ([example.group for example in dataset.examples], dataset.warnings) == (["a", "a", "b"], ())


def test_images_that_a_table_of_groups_does_not_list_are_named(folder: Path) -> None:
    write(folder, "name,label\n0.png,good\n1.png,bad\n2.png,bad\n", "classes.csv")
    write(folder, "name,group\n0.png,a\n", "groups.csv")
    *_, warning = read_dataset(folder).warnings
    assert warning == "2 images (1.png, …) that groups.csv does not list: each counts as its own group, so list them"


def test_a_split_of_ungrouped_images_warns(folder: Path, store: FilesystemStore) -> None:
    write(folder, "name,good\n0.png,True\n1.png,True\n2.png,True\n")
    (warning,) = read_dataset(folder).warnings
    assert warning.startswith("no groups.csv: each image counts as its own group")
    assert warning in split(read_dataset(folder), Shares(), 0).warnings
    assert warning in import_dataset(read_dataset(folder), store, "seam", by="ada", source="").warnings
    (folder / "labels.csv").rename(folder / "denim_data.csv")
    assert read_dataset(folder).warnings == ()
    write(folder, "name,group\n0.png,a\n1.png,b\n2.png,c\n", "groups.csv")
    assert read_dataset(folder).warnings == ()


def test_an_image_in_two_groups_is_named(folder: Path) -> None:
    write(folder, "name,good\n0.png,True\n")
    write(folder, "name,group\n0.png,a\n0.png,b\n", "groups.csv")
    assert "groups.csv, line 3: 0.png is in 'a' already" in complaint(folder)


def test_a_folder_without_a_table_is_refused_with_a_remedy(tmp_path: Path) -> None:
    assert "no table: put labels.csv there" in complaint(tmp_path)
    assert "no such folder" in complaint(tmp_path / "nowhere")


def test_a_table_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"name,good\n\xff\xfe\x00,True\n")
    assert "labels.csv: can't be read as a table" in complaint(folder)


def test_an_image_that_cant_be_decoded_is_named_by_its_row(folder: Path, tmp_path: Path) -> None:
    (folder / "images" / "1.png").write_bytes(b"")
    write(folder, "name,good\n0.png,True\n1.png,True\n")
    with pytest.raises(DatasetError, match=r"labels.csv, line 3: 1.png can't be used: the image has zero bytes"):
        decode_images(read_dataset(folder), SMALL, tmp_path)


def test_an_image_that_cant_be_decoded_is_passed_over_when_asked(folder: Path, tmp_path: Path) -> None:
    (folder / "images" / "1.png").write_bytes(b"")
    write(folder, "name,good\n0.png,True\n1.png,True\n2.png,False\n")
    dataset, store = decode_images(read_dataset(folder), SMALL, tmp_path, "skip")
    assert [example.name for example in dataset.examples] == ["0.png", "2.png"]
    assert store.pixels[:, 0, 0, 0].tolist() == [0, 100]
    assert store.labels.tolist() == [[1], [0]]
    assert len(dataset.problems) == 1
    assert isinstance(store.pixels, np.memmap), "what is left still need not fit into memory"


@pytest.mark.parametrize(("brightest", "warnings"), [(4095, 1), (4096, 0)])
def test_images_of_12_bits_in_files_of_16_are_warned_of(folder: Path, brightest: int, warnings: int) -> None:
    grey = np.full((20, 30), brightest, np.uint16)
    (folder / "images" / "1.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    (folder / "images" / "2.png").unlink()
    write(folder, "name,good\n0.png,True\n1.png,True\n")
    write(folder, "name,group\n0.png,a\n1.png,b\n", "groups.csv")
    found = decode_images(read_dataset(folder), SMALL, folder)[0].warnings
    dim = [each for each in found if "1 of 2 images use 12 or fewer of their 16 bits, and are nearly black" in each]
    assert len(dim) == warnings


def test_the_digest_tells_datasets_apart_and_not_their_order(folder: Path, tmp_path: Path) -> None:
    def digest(table: str) -> str:
        write(folder, table)
        return decode_images(read_dataset(folder), SMALL, tmp_path)[1].digest

    first = digest("name,good\n0.png,True\n1.png,True\n")
    assert digest("name,good\n1.png,True\n0.png,True\n") == first
    assert digest("name,good\n0.png,True\n1.png,False\n") != first
    (folder / "images" / "0.png").write_bytes(encode(np.full((20, 30, 3), 9, np.uint8), "png"))
    assert digest("name,good\n0.png,True\n1.png,True\n") != first
