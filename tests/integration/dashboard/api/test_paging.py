"""Every list has pages in one order, and a cursor stays valid while entries come and go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.dashboard.access.audit import Audit
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.labelling.videos.repository import FOLDER, MANIFEST, UploadedVideo
from services.dashboard.web.callers import Role
from shared.contracts.dataset import LabelledImage, make_version, write_version
from shared.contracts.promotion import store_decision
from shared.messages import PromotionRefused, ThresholdsRefused, TrainingProgressed, TrainingState
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from shared.topology import INFERENCE_FRAMES
from tests.dashboards import captured, embedded_settings, open_dashboard, park, problem, publish, put_model, soon
from tests.verdicts import RECIPE, Line

COUNT = 5
START = datetime(2026, 1, 1, tzinfo=UTC)
LISTS: dict[str, tuple[str, str, list[object]]] = {
    "/api/labelling/sources": ("sources", "name", ["seam", "video-4", "video-3", "video-2", "video-1", "video-0"]),
    "/api/trainings": ("trainings", "training_id", [f"training-{number}" for number in (4, 3, 2, 1, 0)]),
    "/api/people": ("people", "name", ["ada", "eva", "kim", "mia", "zoe"]),
    "/api/tokens": ("tokens", "name", [f"program-{number}" for number in (4, 3, 2, 1, 0)]),
    "/api/datasets/seam": ("versions", "images", [5, 4, 3, 2, 1]),
    "/api/models/seam/promotions": ("promotions", "promotion_id", [f"promotion-{each}" for each in (4, 3, 2, 1, 0)]),
    "/api/models/seam/history": ("history", "version", [f"model-{number}" for number in (4, 3, 2, 1, 0)]),
    "/api/models": ("models", "version", [f"model-{number}" for number in (5, 4, 3, 2, 1)]),
    "/api/models/seam/thresholds": ("threshold_sets", "thresholds_id", [f"set-{number}" for number in (4, 3, 2, 1, 0)]),
    "/api/parked": ("parked", "reason", [f"reason-{number}" for number in (4, 3, 2, 1, 0)]),
    "/api/parked/decisions": ("decisions", "note", [f"note-{number}" for number in (2, 1, 0)]),
}
"""Each with the name of the list in the answer, a field of its things, and what is there, in order."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A dashboard with some of everything."""
    settings = embedded_settings(tmp_path_factory.mktemp("paging"))
    broker, store = open_broker(settings), open_store(settings)
    for number in range(COUNT):
        put_model(store, f"model-{number + 1}", verdict_accuracy=0.9, escape_rate=0.1, overkill_rate=0.1)
    _put_videos(store)
    _put_datasets(store)
    _put_people(store)
    with open_dashboard(settings, broker) as opened:
        _tell(broker, store)
        for number in range(3):
            _discard_one(opened, broker, f"note-{number}")
        for number in range(COUNT):
            park(broker, INFERENCE_FRAMES, [captured(Line())], f"reason-{number}")
        soon(lambda: all(len(_all(opened, path)) == len(there) for path, (_, _, there) in LISTS.items()))
        yield opened
    broker.close()


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_walked_page_by_page_in_its_order(client: httpx.Client, path: str) -> None:
    name, field, there = LISTS[path]
    found, pages, before = list[object](), 0, None
    while pages == 0 or before:
        asked = {"limit": "2", **({"before": before} if before else {})}
        page = client.get(path, params=asked).json()
        found += [each[field] for each in page[name]]
        pages, before = pages + 1, page["next"]
    assert (found, pages) == (there, -(-len(there) // 2))


@pytest.mark.parametrize("path", [*LISTS, "/api/datasets"])
def test_a_page_has_bounds_and_an_invented_cursor_is_refused(client: httpx.Client, path: str) -> None:
    for limit in ("0", "501", "all"):
        problem(client.get(path, params={"limit": limit}), 422, "query.limit")
    for cursor in ("x", "e30", "W0luZmluaXR5LCAiYSJd"):
        problem(client.get(path, params={"before": cursor}), 422, "before: take it from `next`")


@pytest.mark.parametrize(
    ("path", "page", "field", "one", "other"),
    [
        ("/api/trainings", "/models", "trainings_before", "/trainings/training-3", "/trainings/training-2"),
        ("/api/models/seam/history", "/models", "promotions_before", "refusal 3", "refusal 2"),
        ("/api/parked/decisions", "/accounting", "before", "note-1", "note-0"),
        ("/api/labelling/sources", "/labelling", "before", "> video-4<", "> video-3<"),
    ],
)
def test_a_page_links_to_older_entries(  # noqa: PLR0917  a table
    client: httpx.Client, path: str, page: str, field: str, one: str, other: str
) -> None:
    more = client.get(path, params={"limit": 2}).json()["next"]
    shown, older = client.get(page).text, client.get(page, params={field: more}).text
    assert [one in shown, other in shown, one in older, other in older] == [True, True, False, True]
    assert client.get(page, params={field: "x"}).status_code == 422


def test_the_names_of_datasets_come_in_pages(client: httpx.Client) -> None:
    first = client.get("/api/datasets", params={"limit": 3}).json()
    assert first["datasets"] == ["hem", "plain", "seam"]
    rest = client.get("/api/datasets", params={"limit": 3, "before": first["next"]}).json()
    assert rest == {"datasets": ["twill"], "next": None}


def test_a_page_continues_after_a_removed_entry(client: httpx.Client) -> None:
    client.post("/api/people", json={"name": "bob", "role": "viewer"})
    page = client.get("/api/people", params={"limit": 2}).json()
    assert [each["name"] for each in page["people"]] == ["ada", "bob"]
    client.delete("/api/people/bob")
    following = client.get("/api/people", params={"limit": 2, "before": page["next"]}).json()
    assert [each["name"] for each in following["people"]] == ["eva", "kim"]


def _all(client: httpx.Client, path: str) -> list[object]:
    found: list[object] = client.get(path).json()[LISTS[path][0]]
    return found


def _put_videos(store: ObjectStore) -> None:
    for number in range(COUNT):
        video = UploadedVideo(
            id=f"01JF6Z6TX4W8E1V2M6C3N9Q7R{number}",
            name=f"video-{number}",
            kind="album",
            recipe_yaml=RECIPE,
            frames=1,
            width=4,
            height=4,
            frames_per_second=1,
            size=1,
            parts=1,
            digest=f"{number}",
            uploaded_by="eva",
            uploaded_at=START + timedelta(days=number),
        )
        store.put(f"{FOLDER}/{video.id}/{MANIFEST}", video.model_dump_json().encode())


def _put_datasets(store: ObjectStore) -> None:
    images = [
        LabelledImage(name=f"{row}.png", digest="0" * 64, labels=(True,), group="part-1", table="labels.csv")
        for row in range(COUNT)
    ]
    for dataset, versions in (("seam", COUNT), ("hem", 1), ("twill", 1), ("plain", 1)):
        for number in range(1, versions + 1):
            version = make_version(dataset, number, ("good",), images[:number], by="eva", source="a folder")
            write_version(store, version)


def _put_people(store: ObjectStore) -> None:
    people = People(PeopleRepository(store), Audit(store))
    for name in ("zoe", "eva", "ada", "mia", "kim"):
        people.add(name, Role.VIEWER, "umbrella copper thirty lanterns", by="tests")
    for number in range(COUNT):
        people.add_token(f"program-{number}", Role.VIEWER, 1, by="tests")


def _tell(broker: Broker, store: ObjectStore) -> None:
    for number in range(COUNT):
        at = START + timedelta(days=number)
        training = TrainingProgressed(
            training_id=f"training-{number}", recipe="seam", state=TrainingState.RUNNING, at=at
        )
        refused = PromotionRefused(
            promotion_id=f"promotion-{number}",
            recipe="seam",
            model_version=f"model-{number}",
            reason=f"refusal {number}",
            at=at,
            by="eva",
        )
        store_decision(store, refused)
        thresholds = ThresholdsRefused(
            thresholds_id=f"set-{number}",
            recipe="seam",
            derived_from="model-1",
            reason="it is gone",
            by="eva",
            at=at,
        )
        publish(broker, training, refused, thresholds)


def _discard_one(client: httpx.Client, broker: Broker, note: str) -> None:
    park(broker, INFERENCE_FRAMES, [captured(Line())], note)
    soon(lambda: client.get("/api/parked").json()["parked"])
    (parked,) = client.get("/api/parked").json()["parked"]
    address = f"/api/parked/inference.frames/{parked['id']}/discard"
    assert client.post(address, json={"note": note}).status_code == 200
