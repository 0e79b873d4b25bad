"""A small assembly of our own for the tests of the local runtime: no CDK, no Onecount, every transport once.

Functions write what they were given into the ``seen`` table, so that a test reads state and never logs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.local.assembly import PLACEHOLDER_ISSUER, Assembly, Asset, Stack

BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"

LAYER = '''
import json, os, time
import boto3

def note(kind, key, **fields):
    """One line in the table of what was seen."""
    item = {"pk": {"S": kind}, "sk": {"S": key}}
    item |= {name: {"S": value if isinstance(value, str) else json.dumps(value)} for name, value in fields.items()}
    boto3.client("dynamodb").put_item(TableName="onecount-local-seen", Item=item)
    print(json.dumps({"kind": kind, "key": key}))
'''

CONSUME_STREAM = """
import time
from shared.noting import note

def handle(event, context):
    for record in event["Records"]:
        sequence = record["dynamodb"]["SequenceNumber"]
        item = record["dynamodb"]["NewImage"]
        name = item["pk"]["S"] + "/" + item["sk"]["S"]
        note("begun", name + "@" + str(time.time_ns()), batch=str(len(event["Records"])))
        if "sleep" in item:
            time.sleep(float(item["sleep"]["N"]))
        if item["sk"]["S"] == "poison":
            raise RuntimeError("poison")
        if item["sk"]["S"] == "reported":
            return {"batchItemFailures": [{"itemIdentifier": sequence}]}
        note("stream", name, at=str(time.time()), record=record)
    return {"batchItemFailures": []}
"""

CONSUME_QUEUE = """
import json
from shared.noting import note

def handle(event, context):
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        count = record["attributes"]["ApproximateReceiveCount"]
        note("queue", body.get("id", record["messageId"]) + "#" + count, body=body)
        if body.get("bad"):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""

NOTE_EVENT = """
import time
from shared.noting import note

def handle(event, context):
    note("event", str(time.time_ns()), event=event)
"""

ANSWER_HTTP = """
import json, os, sys

def handle(event, context):
    context_of_caller = event["requestContext"].get("authorizer") or {}
    said = {
        "body": event["body"], "base64": event["isBase64Encoded"], "path": event["path"],
        "parameters": event["pathParameters"], "authorizer": context_of_caller, "headers": event["headers"],
        "worker": os.getpid(), "stage_path": event["requestContext"]["path"],
        "PYTHONPATH": os.environ.get("PYTHONPATH"), "shared": _where(),
    }
    print(json.dumps({"answered": event["path"]}))
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(said)}

def _where():
    import shared
    return list(shared.__path__)
"""

AUTHORIZE = """
import json, os
import jwt

_keys = None

def handle(event, context):
    global _keys
    token = event["headers"].get("authorization", event["headers"].get("Authorization", "")).removeprefix("Bearer ")
    _keys = _keys or jwt.PyJWKClient(os.environ["ONECOUNT_JWKS_URL"])
    effect, claims = "Deny", {"sub": "nobody", "scope": ""}
    try:
        claims = jwt.decode(token, _keys.get_signing_key_from_jwt(token).key, algorithms=["RS256"],
                            audience=os.environ["ONECOUNT_AUDIENCE"], issuer=os.environ["ONECOUNT_ISSUER"])
        effect = "Allow"
    except jwt.PyJWTError as error:
        print(json.dumps({"refused": str(error)}))
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": "*"}
    return {"principalId": claims["sub"], "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"scope": claims["scope"]}}
"""

FUNCTIONS = {
    "consume_stream": CONSUME_STREAM,
    "consume_queue": CONSUME_QUEUE,
    "note_event": NOTE_EVENT,
    "answer_http": ANSWER_HTTP,
    "authorize": AUTHORIZE,
}
TELLS_ISSUER = {
    "ONECOUNT_ISSUER": PLACEHOLDER_ISSUER,
    "ONECOUNT_AUDIENCE": "onecount",
    "ONECOUNT_JWKS_URL": f"{PLACEHOLDER_ISSUER}/.well-known/jwks.json",
}


def miniature(folder: Path, **changes: str) -> Assembly:
    """The assembly, its assets written below ``folder``; ``changes`` replaces the code of functions."""
    code = {**FUNCTIONS, **changes}
    assets: dict[str, Asset] = {}
    for name, text in code.items():
        path = folder / "functions" / name
        _write(path / "functions" / name / "handler.py", text)
        assets[name] = _asset(path, text)
    _write(folder / "layer" / "python" / "shared" / "noting.py", LAYER)
    assets["layer"] = _asset(folder / "layer", LAYER)
    digest = hashlib.sha256("".join(asset.key for asset in assets.values()).encode()).hexdigest()
    keys = {name: asset.key for name, asset in assets.items()}
    return Assembly((_doors(keys), _core(keys)), tuple(assets.values()), digest)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _asset(path: Path, text: str) -> Asset:
    return Asset(path, True, BUCKET, hashlib.sha256(text.encode()).hexdigest() + ".zip")


def _function(
    name: str, keys: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": f"onecount-local-{name}",
            "Runtime": "python3.13",
            "Handler": f"functions.{name}.handler.handle",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Timeout": 10,
            "MemorySize": 256,
            "Layers": [{"Ref": "Layer"}],
            "Code": {"S3Bucket": {"Fn::Sub": BUCKET}, "S3Key": keys[name]},
            "Environment": {"Variables": dict(environment or {})},
        },
    }


def _layer(keys: Mapping[str, str]) -> dict[str, Any]:
    content = {"S3Bucket": {"Fn::Sub": BUCKET}, "S3Key": keys["layer"]}
    return {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": content}}


def _table(name: str, *, stream: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "TableName": f"onecount-local-{name}",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    }
    if stream:
        properties["StreamSpecification"] = {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    return {"Type": "AWS::DynamoDB::Table", "Properties": properties}


def _queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"onecount-local-{name}", **properties}}


def _arn(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "Arn"]}


def _core(keys: Mapping[str, str]) -> Stack:
    resources: dict[str, Any] = {
        "Layer": _layer(keys),
        "Work": _table("work", stream=True),
        "Seen": _table("seen", stream=False),
        "ConsumeStream": _function("consume_stream", keys),
        "StreamFailures": _queue("stream-failures-dead"),
        "Pumped": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Work", "StreamArn"]},
                "FunctionName": {"Ref": "ConsumeStream"},
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 10,
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": 1,
                "MaximumRecordAgeInSeconds": 3600,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "FilterCriteria": {"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]},
                "DestinationConfig": {"OnFailure": {"Destination": _arn("StreamFailures")}},
            },
        },
        "ConsumeQueue": _function("consume_queue", keys),
        "TasksDead": _queue("tasks-dead"),
        "Tasks": _queue(
            "tasks",
            VisibilityTimeout=3,
            RedrivePolicy={"deadLetterTargetArn": _arn("TasksDead"), "maxReceiveCount": 2},
        ),
        "TaskMapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": _arn("Tasks"),
                "FunctionName": {"Ref": "ConsumeQueue"},
                "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": 2},
                "FilterCriteria": {"Filters": [{"Pattern": '{"body":{"kind":["task"]}}'}]},
            },
        },
        "Dropped": _queue("dropped"),
        "Drop": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": "onecount-local-drop",
                "NotificationConfiguration": {
                    "QueueConfigurations": [
                        {
                            "Event": "s3:ObjectCreated:*",
                            "Queue": _arn("Dropped"),
                            "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "drop/"}]}},
                        }
                    ]
                },
            },
        },
        "NoteEvent": _function("note_event", keys),
        "EveryMinute": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "ScheduleExpression": "rate(1 minute)",
                "Targets": [{"Id": "noted", "Arn": _arn("NoteEvent"), "Input": '{"sweep": "hourly"}'}],
            },
        },
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "Name": "onecount/local/source/modern-wms",
                "GenerateSecretString": {
                    "SecretStringTemplate": "{}",
                    "GenerateStringKey": "current",
                    "PasswordLength": 40,
                    "ExcludePunctuation": True,
                },
            },
        },
        "NotHere": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "TRUE"}},
    }
    outputs = {
        "LayerArn": {"Value": {"Ref": "Layer"}, "Export": {"Name": "miniature-layer"}},
        "NotHereArn": {"Value": _arn("NotHere")},
    }
    return Stack("miniature-core", {"Resources": resources, "Outputs": outputs})


def _doors(keys: Mapping[str, str]) -> Stack:
    answer, authorize = _function("answer_http", keys), _function("authorize", keys, TELLS_ISSUER)
    for function in (answer, authorize):
        function["Properties"]["Layers"] = [{"Fn::ImportValue": "miniature-layer"}]
    root = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    api = {"Ref": "Api"}
    resources: dict[str, Any] = {
        "Answer": answer,
        "Authorize": authorize,
        "Api": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {"Name": "onecount-local", "BinaryMediaTypes": ["*/*"]},
        },
        "Authorizer": {
            "Type": "AWS::ApiGateway::Authorizer",
            "Properties": {
                "Name": "jwt",
                "RestApiId": api,
                "Type": "REQUEST",
                "IdentitySource": "method.request.header.Authorization",
                "AuthorizerResultTtlInSeconds": 0,
                "AuthorizerUri": _invocation("Authorize"),
            },
        },
        "Webhooks": _path(api, root, "webhooks"),
        "Source": _path(api, {"Ref": "Webhooks"}, "{source}"),
        "V1": _path(api, root, "v1"),
        "Anything": _path(api, {"Ref": "V1"}, "{proxy+}"),
        "PostWebhook": _method(api, "Source", "POST"),
        "AnyV1": _method(
            api, "Anything", "ANY", AuthorizationType="CUSTOM", AuthorizerId={"Ref": "Authorizer"}
        ),
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": api},
            "DependsOn": ["PostWebhook", "AnyV1"],
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": api, "DeploymentId": {"Ref": "Deployment"}, "StageName": "local"},
        },
    }
    return Stack("miniature-doors", {"Resources": resources}, needs=("miniature-core",))


def _invocation(function: str) -> dict[str, Any]:
    path = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${F.Arn}/invocations"
    return {"Fn::Sub": path.replace("F.Arn", f"{function}.Arn")}


def _path(api: Any, parent: Any, part: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGateway::Resource",
        "Properties": {"RestApiId": api, "ParentId": parent, "PathPart": part},
    }


def _method(api: Any, resource: str, method: str, **properties: Any) -> dict[str, Any]:
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": _invocation("Answer")}
    return {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": api,
            "ResourceId": {"Ref": resource},
            "HttpMethod": method,
            "AuthorizationType": "NONE",
            "Integration": integration,
            **properties,
        },
    }
