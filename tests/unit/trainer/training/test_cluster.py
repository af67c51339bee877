import json
from typing import Any

import pytest

from services.trainer.training.cluster import Rank, WrongCluster, rank_of


def config(cluster: dict[str, Any], kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("given", "rank", "is_chief"),
    [
        (config({"worker": ["a:1", "b:2"]}), Rank(0, ("a:1", "b:2")), True),
        (config({"worker": ["a:1", "b:2"]}, index=1), Rank(1, ("a:1", "b:2")), False),
        (config({"chief": ["c:3"], "worker": ["a:1", "b:2"]}), Rank(1, ("c:3", "a:1", "b:2")), False),
        (config({"chief": ["c:3"], "worker": ["a:1"]}, "chief"), Rank(0, ("c:3", "a:1")), True),
    ],
)
def test_each_process_has_a_rank_and_the_chief_is_first(given: str, rank: Rank, is_chief: bool) -> None:
    assert rank_of(given) == rank
    assert rank.is_chief == is_chief


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("worker 0", "TF_CONFIG: not JSON"),
        ("{}", "TF_CONFIG: cluster: missing"),
        (config({"worker": ["a"]}), "cluster: worker: 0: give HOST:PORT"),
        (config({"worker": ["a:1"]}, index=1), "task worker 1 is not in the cluster, which has 1"),
        (config({"worker": ["a:1", "a:1"]}), "two tasks of the cluster have the address a:1"),
        (config({"worker": ["a:1"], "ps": ["b:2"]}), "cluster: ps: there is no such field"),
        (config({"worker": ["a:1"]}, "evaluator"), "task: type: give 'chief' or 'worker'"),
        (config({"chief": ["a:1", "b:1"]}, "chief"), "cluster: chief: give no more than 1"),
    ],
)
def test_a_wrong_cluster_is_reported_with_a_remedy(given: str, expected: str) -> None:
    with pytest.raises(WrongCluster, match=expected) as refused:
        rank_of(given)
    assert "or unset it to train with one process" in str(refused.value)
