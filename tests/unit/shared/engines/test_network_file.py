"""Only the description in the file of a network is read, and no code of it is run."""

from __future__ import annotations

import base64
import json
import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from shared.engines.network_file import ForeignNetwork, description_of
from tests.bounded import run_bounded
from tests.messages import DEEP
from tests.property.mutation import mutations

NETWORK = Path(__file__).parents[4] / "samples" / "model" / "model.keras"


class Runs:
    """An object that runs code when its pickle is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def archive(members: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return content.getvalue()


def network(layer: dict[str, Any]) -> bytes:
    """Return a sequential network of one layer."""
    description = {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}
    return archive({"config.json": json.dumps(description).encode()})


def layer(name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


FOREIGN = {
    "TorchModuleWrapper": layer(
        "TorchModuleWrapper", module_=base64.b64encode(pickle.dumps(Runs())).decode(), output_shape=[1]
    ),
    "Lambda": layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}),
    "__lambda__": layer("Activation", activation={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}),
    "TFSMLayer": layer("TFSMLayer", filepath="/tmp/somewhere", call_endpoint="serve"),
    "StringLookup": layer("StringLookup", vocabulary="/etc/passwd"),
    "JaxLayer": layer("JaxLayer", call_fn="os.system"),
    "get_file": layer("Dense", kernel_initializer=layer("get_file", "keras.utils", origin="http://127.0.0.1/")),
    "function": layer("Activation", activation=layer("function", "builtins")),
    "system": layer("system", "os"),
    "Popen": layer("Popen", "subprocess"),
    "TimeDistributed": layer("TimeDistributed", layer=layer("Lambda")),
}


def test_the_network_of_the_sample_model_is_described() -> None:
    assert description_of(NETWORK.read_bytes())["class_name"] == "Functional"


def test_how_a_network_was_trained_is_passed_over_as_keras_does() -> None:
    trained = layer("Sequential", "keras", layers=[]) | {"compile_config": layer("Adam", "keras.optimizers")}
    assert description_of(archive({"config.json": json.dumps(trained).encode()})) == trained
    nested = layer("Sequential", "keras", layers=[trained])
    with pytest.raises(ForeignNetwork, match="names 'Adam'"):
        description_of(archive({"config.json": json.dumps(nested).encode()}))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_network_that_may_run_code_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ForeignNetwork, match=f"names '{name}' of"):
        description_of(network(FOREIGN[name]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        archive({}),
        archive({"config.json": b'{"class_name": "Dense", "x": ' + DEEP + b"}"}),
        archive({"config.json": b"{}", "assets/words.txt": b"words"}),
        archive({"config.json": b"[]"}),
        archive({"config.json": "{}".encode("utf-16")}),
        archive({"config.json": b" " * (17 * 1024**2)}),
    ],
    ids=["nothing", "empty", "deep", "with assets", "no object", "of UTF-16", "bomb"],
)
def test_a_file_that_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ForeignNetwork):
        description_of(content)


def describe_mutations() -> None:
    sample = NETWORK.read_bytes()
    with zipfile.ZipFile(BytesIO(sample)) as file:
        description = file.read("config.json")
    small = archive({"config.json": description, "model.weights.h5": bytes(100)})
    broken = 0
    for content in (
        *mutations([small], 300),
        *(archive({"config.json": each}) for each in mutations([description], 300)),
    ):
        try:
            description_of(content)
        except ForeignNetwork:
            broken += 1
    assert 100 < broken < 600


def test_mutated_networks_are_described_or_refused() -> None:
    run_bounded("tests.unit.shared.engines.test_network_file:describe_mutations", growth=100, seconds=20)
