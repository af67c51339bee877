"""An S3 server that enforces users and policies, set up as docker compose does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import boto3
import pytest
from minio import Minio
from minio.error import S3Error
from moto.core.authorization import disable_iam_authentication, enable_iam_authentication
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from deploy.object_store.__main__ import CannotSetUp, SetupSettings, add_camera, make_buckets, make_users, remove_camera
from deploy.object_store.rights import RIGHTS
from shared.settings import ServiceSettings
from shared.storage.opening import open_store
from shared.storage.port import ObjectNotFound, ObjectStore, StorageRefusedLogin
from shared.storage.s3 import MinioStore
from tests.store_rights import is_permitted

KEYS: Final = (
    "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/captured.jpg",
    "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/image.jpg",
    "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/heatmap.break.png",
    "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/overlay.jpg",
    "models/seam/v-1/manifest.json",
    "models/seam/production/00000001.json",
    "datasets/seam/versions/1.json",
    "datasets/images/0f1e",
    "trainings/t-1/checkpoint.npz",
    "measurements/m-1/request.json",
    "thresholds/seam/t-1.json",
    "promotions/seam/p-1.json",
    "verdicts/2026-01-31/0000-01JF6Z6TX4W8E1V2M6C3N9Q7RB.jsonl.gz",
    "parked/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json",
    "marks/line-1/2026-01-31/1.json",
    "people/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json",
    "labelling/annotations/video/01/1.json",
    "labelling/videos/f-1/manifest.json",
    "recipes/seam/000001.json",
    "counts/2026-01-31.json.gz",
    "removals/announced/inference/1.json",
    "removals/inference/1.json",
    "removals/explainer/1.json",
    "audit/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB.written.json",
)


class MotoAdmin:
    """The store's administration as MinIO has it, over moto's; moto chooses the keys of users itself."""

    def __init__(self, endpoint: str) -> None:
        self._iam: Any = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1", **ROOT)
        self.keys: dict[str, tuple[str, str]] = {}

    def policy_add(self, policy_name: str, *, policy: dict[str, Any]) -> object:
        return self._iam.create_policy(PolicyName=policy_name, PolicyDocument=json.dumps(policy))

    def policy_remove(self, policy_name: str) -> object:
        return self._iam.delete_policy(PolicyArn=_arn(policy_name))

    def policy_set(self, policy_name: str, user: str) -> object:
        return self._iam.attach_user_policy(UserName=user, PolicyArn=_arn(policy_name))

    def user_add(self, access_key: str, secret_key: str) -> object:
        assert len(secret_key) > 8
        self._iam.create_user(UserName=access_key)
        made = self._iam.create_access_key(UserName=access_key)["AccessKey"]
        self.keys[access_key] = made["AccessKeyId"], made["SecretAccessKey"]
        return made

    def user_remove(self, access_key: str) -> object:
        self._iam.delete_access_key(UserName=access_key, AccessKeyId=self.keys[access_key][0])
        for policy in self._iam.list_attached_user_policies(UserName=access_key)["AttachedPolicies"]:
            self._iam.detach_user_policy(UserName=access_key, PolicyArn=policy["PolicyArn"])
        return self._iam.delete_user(UserName=access_key)


ROOT: Final = {"aws_access_key_id": "root", "aws_secret_access_key": "root-password"}
SECRET: Final = SecretStr("long enough a secret")


def _arn(policy: str) -> str:
    return f"arn:aws:iam::123456789012:policy/{policy}"


@dataclass
class Plant:
    """The store, its users and its buckets."""

    endpoint: str
    admin: MotoAdmin
    settings: SetupSettings
    root: Minio

    def open(self, user: str, bucket: str = "") -> ObjectStore:
        """The store as a service opens it."""
        access_key, secret_key = self.admin.keys[user]
        bucket = bucket or self.settings.bucket
        return open_store(
            ServiceSettings(
                storage_url=f"s3://{self.endpoint.removeprefix('http://')}/{bucket}",
                storage_access_key=access_key,
                storage_secret_key=SecretStr(secret_key),
            )
        )

    def open_audit(self, service: str) -> ObjectStore | None:
        """The store of the audit log as a service opens it; None for one that may not."""
        try:
            return self.open(_user(service), self.settings.audit_bucket)
        except StorageRefusedLogin:
            return None

    def put_as_root(self, key: str) -> None:
        """Put what a service may find there."""
        with disable_iam_authentication():
            root = MinioStore(self.endpoint.removeprefix("http://"), self._bucket(key), *ROOT.values(), tls=None)
            root.put(key, b"as it was")

    def store_of(self, service: str, key: str) -> ObjectStore:
        """The store that a service has for a key."""
        return self.open(_user(service), self._bucket(key))

    def _bucket(self, key: str) -> str:
        return self.settings.audit_bucket if key.startswith("audit/") else self.settings.bucket


def _user(service: str) -> str:
    return "camera.line-1.camera-1" if service == "camera" else service


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    address = endpoint.removeprefix("http://")
    settings = SetupSettings(
        object_store_url=f"s3://{address}/seamline",
        object_store_root_password=SecretStr(ROOT["aws_secret_access_key"]),
        camera_storage_secret_key=SECRET,
        inference_storage_secret_key=SECRET,
        explainer_storage_secret_key=SECRET,
        trainer_storage_secret_key=SECRET,
        gateway_storage_secret_key=SECRET,
        dashboard_storage_secret_key=SECRET,
    )
    root = Minio(address, ROOT["aws_access_key_id"], ROOT["aws_secret_access_key"], secure=False)
    admin = MotoAdmin(endpoint)
    with disable_iam_authentication():
        make_buckets(root, settings)
        make_users(admin, settings)
        admin.user_add("reader", SECRET.get_secret_value())
    with enable_iam_authentication():
        yield Plant(endpoint, admin, settings, root)
    server.stop()


def _is_permitted(store: ObjectStore, method: str, key: str) -> bool:
    """Whether the server permits a call about an object that is there."""
    try:
        store.put(key, b"changed") if method == "put" else getattr(store, method)(key)
    except StorageRefusedLogin:
        return False
    return True


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_reads_writes_and_deletes_its_own_objects_only(plant: Plant, service: str) -> None:
    methods = ("get", "exists", "put", "delete")
    permitted: set[tuple[str, str]] = set()
    store, audit = plant.open(_user(service)), plant.open_audit(service)
    for key in KEYS:
        plant.put_as_root(key)
        of_key = audit if key.startswith("audit/") else store
        permitted |= {(method, key) for method in methods if of_key and _is_permitted(of_key, method, key)}
    wanted = {(method, key) for method in methods for key in KEYS if is_permitted(service, method, key)}
    # the dashboard may remove old entries from the common bucket alone, where a store without users has them
    assert permitted == {(method, key) for method, key in wanted if method != "delete" or not key.startswith("audit/")}


def test_only_root_creates_buckets_and_reads_other_buckets(plant: Plant) -> None:
    for service in RIGHTS:
        with pytest.raises(StorageRefusedLogin):
            plant.open(_user(service), "another-bucket")


@pytest.mark.parametrize(
    "key",
    [
        "frames/line-2/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/captured.jpg",
        "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/image.jpg",
        "people/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json",
        "models/seam/production/00000002.json",
        "audit/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB.written.json",
    ],
)
def test_a_camera_changes_nothing_but_captured_images_of_its_line(plant: Plant, key: str) -> None:
    with pytest.raises(StorageRefusedLogin):
        plant.open(_user("camera")).put(key, b"forged")


def test_a_camera_learns_no_names(plant: Plant) -> None:
    with pytest.raises(StorageRefusedLogin):
        list(plant.open(_user("camera")).keys("frames/"))


def test_an_entry_of_the_audit_log_survives_overwriting_and_deleting(plant: Plant) -> None:
    key = "audit/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB.outcome.json"
    plant.store_of("dashboard", key).put(key, b"what was done")
    plant.store_of("dashboard", key).put(key, b"forged")
    with pytest.raises(StorageRefusedLogin):
        plant.store_of("dashboard", key).delete(key)
    with disable_iam_authentication():
        bucket = plant.settings.audit_bucket
        versions = list(plant.root.list_objects(bucket, prefix=key, include_version=True))
        for version in versions:
            with pytest.raises(S3Error, match="AccessDenied"):
                plant.root.remove_object(bucket, key, version_id=version.version_id)
        kept = [plant.root.get_object(bucket, key, version_id=version.version_id).read() for version in versions]
        assert sorted(kept) == [b"forged", b"what was done"]


def test_a_missing_object_is_not_found_rather_than_forbidden(plant: Plant) -> None:
    with pytest.raises(ObjectNotFound):
        plant.open("dashboard").get("frames/line-1/2026-01-31/never/image.jpg")
    assert not plant.open("inference").exists("frames/line-1/2026-01-31/never/image.jpg")


def test_a_camera_is_added_for_its_line_and_removed_again(plant: Plant) -> None:
    key = "frames/line-9/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/captured.jpg"
    with disable_iam_authentication():
        add_camera(plant.admin, plant.settings, "line-9", "camera-7")
    store = plant.open("camera.line-9.camera-7")
    store.put(key, b"a large image")
    with pytest.raises(StorageRefusedLogin):
        store.put(key.replace("line-9", "line-1"), b"a large image")
    with disable_iam_authentication():
        remove_camera(plant.admin, "line-9", "camera-7")
    with pytest.raises(StorageRefusedLogin):
        store.put(key, b"a large image")


def test_the_bucket_of_the_audit_log_removes_old_entries_by_its_own_rule_or_none(plant: Plant) -> None:
    removing = plant.settings.model_copy(update={"object_store_audit_removal_days": 4_000})
    bucket = plant.settings.audit_bucket
    with disable_iam_authentication():
        make_buckets(plant.root, removing)
        (rule,) = plant.root.get_bucket_lifecycle(bucket).rules  # type: ignore[union-attr]
        assert (rule.status, rule.expiration.days, rule.rule_filter.prefix) == ("Enabled", 4_000, "audit/")  # type: ignore[union-attr]
        make_buckets(plant.root, plant.settings)
        assert plant.root.get_bucket_lifecycle(bucket) is None


def test_entries_can_not_be_removed_while_they_are_locked(plant: Plant) -> None:
    with pytest.raises(ValueError, match="give at least OBJECT_STORE_AUDIT_DAYS"):
        SetupSettings(**{**plant.settings.model_dump(), "object_store_audit_removal_days": 100})


def test_setting_up_again_changes_nothing(plant: Plant) -> None:
    with disable_iam_authentication():
        make_buckets(plant.root, plant.settings)
        assert plant.root.get_object_lock_config(plant.settings.audit_bucket).mode == "GOVERNANCE"


def test_an_audit_bucket_without_object_lock_is_refused_with_a_remedy(plant: Plant) -> None:
    other = plant.settings.model_copy(update={"object_store_url": plant.settings.object_store_url + "-old"})
    with disable_iam_authentication():
        plant.root.make_bucket(other.audit_bucket)
        with pytest.raises(CannotSetUp, match="has to be made again with it"):
            make_buckets(plant.root, other)
