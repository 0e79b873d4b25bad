"""What is stored is encrypted, restorable, private, and as hard to lose as its stage demands."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra.building_blocks.bundling import ROOT
from shared.store import layout
from tests.infra.templates import Properties, Templates

TABLES = ("inbox", "stock", "registry", "cases")


def table(templates: Templates, name: str) -> Properties:
    found = [
        p for id_, p in templates.resources("AWS::DynamoDB::Table").items() if id_.logical_id.startswith(name)
    ]
    assert len(found) == 1
    return found[0]


def keys(index: Properties) -> dict[str, str]:
    return {part["KeyType"]: part["AttributeName"] for part in index["KeySchema"]}


def test_there_are_four_tables(prod: Templates) -> None:
    names = {id_.logical_id.partition("Table")[0] for id_ in prod.resources("AWS::DynamoDB::Table")}
    assert names == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_encrypted_with_our_key_and_restorable_to_any_second(
    prod: Templates, name: str
) -> None:
    properties = table(prod, name)
    assert properties["SSESpecification"]["SSEType"] == "KMS"
    key = prod.referent("Data", properties["SSESpecification"]["KMSMasterKeyId"])
    assert key in prod.resources("AWS::KMS::Key")
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_string_keys_pk_and_sk(prod: Templates, name: str) -> None:
    properties = table(prod, name)
    assert keys(properties) == {"HASH": "pk", "RANGE": "sk"}
    assert {attribute["AttributeType"] for attribute in properties["AttributeDefinitions"]} == {"S"}


@pytest.mark.parametrize(
    ("name", "indexes"),
    [(name, set(indexes)) for name, indexes in layout.INDEXES.items()],
)
def test_each_table_has_its_sparse_keys_only_indexes(prod: Templates, name: str, indexes: set[str]) -> None:
    declared: list[Any] = table(prod, name)["GlobalSecondaryIndexes"]
    assert {index["IndexName"] for index in declared} == indexes
    for index in declared:
        x = index["IndexName"]
        assert keys(index) == {"HASH": f"{x}_pk", "RANGE": f"{x}_sk"}
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_every_index_that_the_code_writes_or_reads_exists(prod: Templates) -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "shared").rglob("*.py"))
    used = set(re.findall(r'"(\w+)_pk"', code)) | set(re.findall(r'query_index\(\s*"(\w+)"', code))
    assert "pending" in used
    declared = {
        index["IndexName"]
        for properties in prod.resources("AWS::DynamoDB::Table").values()
        for index in properties["GlobalSecondaryIndexes"]
    }
    assert used - declared == set()


def test_only_inbox_and_stock_stream_each_what_its_consumers_need(prod: Templates) -> None:
    streams = {
        name: table(prod, name).get("StreamSpecification", {}).get("StreamViewType") for name in TABLES
    }
    assert streams == {"inbox": "NEW_IMAGE", "stock": "NEW_AND_OLD_IMAGES", "registry": None, "cases": None}


def test_only_the_inbox_forgets(prod: Templates) -> None:
    forgetting = {
        n: table(prod, n)["TimeToLiveSpecification"]
        for n in TABLES
        if "TimeToLiveSpecification" in table(prod, n)
    }
    assert forgetting == {"inbox": {"AttributeName": "expires_at", "Enabled": True}}


STORES = (
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::KMS::Key",
    "AWS::SecretsManager::Secret",
    "AWS::Logs::LogGroup",
    "AWS::SQS::Queue",
)


@pytest.mark.parametrize("type_", STORES)
def test_production_keeps_its_data_when_a_stack_goes(prod: Templates, type_: str) -> None:
    stores = prod.whole(type_)
    assert stores
    assert {store["DeletionPolicy"] for store in stores.values()} == {"Retain"}
    assert {store["UpdateReplacePolicy"] for store in stores.values()} == {"Retain"}


@pytest.mark.parametrize("type_", STORES)
def test_a_development_stage_leaves_nothing_behind(dev: Templates, type_: str) -> None:
    assert {store["DeletionPolicy"] for store in dev.whole(type_).values()} == {"Delete"}


def test_only_production_tables_refuse_deletion(prod: Templates, dev: Templates) -> None:
    assert [table(prod, name)["DeletionProtectionEnabled"] for name in TABLES] == [True] * 4
    assert [table(dev, name)["DeletionProtectionEnabled"] for name in TABLES] == [False] * 4


def test_every_bucket_is_private_encrypted_and_refuses_plain_http(prod: Templates) -> None:
    policies = {
        prod.referent(id_.stack, policy["Bucket"]): policy["PolicyDocument"]["Statement"]
        for id_, policy in prod.resources("AWS::S3::BucketPolicy").items()
    }
    for id_, bucket in prod.resources("AWS::S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        refusals = [s for s in policies[id_] if s["Effect"] == "Deny"]
        assert any(s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in refusals)


def test_a_dropped_file_is_announced_to_the_drop_queue_which_admits_that_bucket_alone(
    prod: Templates,
) -> None:
    (bucket,) = [b for b in prod.resources("AWS::S3::Bucket").values() if "NotificationConfiguration" in b]
    (announcement,) = bucket["NotificationConfiguration"]["QueueConfigurations"]
    queue = prod.referent("Data", announcement["Queue"])
    assert queue is not None
    assert prod.queue_names()[queue] == "onecount-prod-drop"
    assert announcement["Event"] == "s3:ObjectCreated:*"
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    admissions = [
        statement
        for policy in prod.resources("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    (admission,) = admissions
    assert admission["Action"] == "sqs:SendMessage"
    assert admission["Principal"] == {"Service": "s3.amazonaws.com"}
    source = admission["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::Join"][1]
    assert source[2:] == [":s3:::onecount-prod-drop-", *bucket["BucketName"]["Fn::Join"][1][1:]]


def test_the_bucket_is_made_only_after_the_queue_admits_it(prod: Templates) -> None:
    (bucket,) = [
        b for b in prod.whole("AWS::S3::Bucket").values() if "NotificationConfiguration" in b["Properties"]
    ]
    policies = {id_.logical_id for id_ in prod.resources("AWS::SQS::QueuePolicy") if id_.stack == "Data"}
    assert policies & set(bucket["DependsOn"])


def test_each_system_has_its_own_generated_secret_and_no_template_holds_one(prod: Templates) -> None:
    secrets = prod.resources("AWS::SecretsManager::Secret")
    assert {secret["Name"] for secret in secrets.values()} == {
        "onecount/prod/source/legacy-wms",
        "onecount/prod/source/shop",
        "onecount/prod/channel/shop",
        "onecount/prod/channel/partner-feed",
    }
    for secret in secrets.values():
        assert "SecretString" not in secret
        assert secret["GenerateSecretString"]["GenerateStringKey"] == "current"
        assert secret["GenerateSecretString"]["SecretStringTemplate"] == "{}"
        assert prod.referent("Data", secret["KmsKeyId"]) in prod.resources("AWS::KMS::Key")


def test_the_key_rotates(prod: Templates) -> None:
    assert [key["EnableKeyRotation"] for key in prod.resources("AWS::KMS::Key").values()] == [True]


def test_what_operators_need_is_printed(prod: Templates) -> None:
    assert {"InboxTable", "StockTable", "RegistryTable", "CasesTable", "DropBucket"} <= set(
        prod.stacks["Data"]["Outputs"]
    )
    assert {"WebhookUrl", "ApiUrl"} <= set(prod.stacks["Api"]["Outputs"])
