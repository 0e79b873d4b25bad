"""Targets: a deployed stage found by its stacks, and HTTP as it really answers."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.cli.console import CommandError
from infra.cli.http_door import TOKEN_VARIABLE, Api, ProblemError, send
from infra.cli.target import deployed, local_token
from shared.domain.stock import ChannelId, Sku
from shared.operations.fresh_look import queue_fresh_look

TABLES = ("Inbox", "Stock", "Registry", "Cases")


OUTPUTS = {
    "Onecount-dev-Data": {f"{name}Table": name for name in TABLES} | {"DropBucket": "drops"},
    "Onecount-dev-Api": {
        "ApiUrl": "https://api.example/dev/v1",
        "WebhookUrl": "https://api.example/dev/webhooks",
    },
}


def clients(service: str) -> Any:
    """Return a client of moto; CloudFormation answers with the two stacks of stage ``dev``."""
    client = boto3.client(service, region_name="eu-west-1")
    if service == "cloudformation":
        stubber = Stubber(client)
        for name, outputs in OUTPUTS.items():
            stack = {
                "StackName": name,
                "CreationTime": datetime(2026, 11, 2, tzinfo=UTC),
                "StackStatus": "CREATE_COMPLETE",
                "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
            }
            stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": name})
        stubber.activate()
    return client


def nothing_deployed(service: str) -> Any:
    """Return a client of a region without any stack."""
    client = boto3.client(service, region_name="eu-west-1")
    stubber = Stubber(client)
    stubber.add_client_error("describe_stacks", "ValidationError", "Stack with id X does not exist", 400)
    stubber.activate()
    return client


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        dynamodb = clients("dynamodb")
        for name in TABLES:
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            )
        yield


@pytest.mark.usefixtures("aws")
def test_a_deployed_stage_is_found_by_the_outputs_of_its_stacks() -> None:
    clients("secretsmanager").create_secret(Name="onecount/dev/source/erp", SecretString="{}")
    location = {"LocationConstraint": "eu-west-1"}
    clients("s3").create_bucket(Bucket="drops", CreateBucketConfiguration=location)

    target = deployed("dev", clients)
    target.registry.add_items([Sku("00123")])
    target.secrets.store("source", "erp", '{"current": "new"}')
    target.drops.put("wms/stock.csv", io.BytesIO(b"Item,Qty"))

    assert target.registry.is_item(Sku("00123"))
    assert target.secrets.text("source", "erp") == '{"current": "new"}'
    assert target.secrets.text("source", "none") == ""
    dropped = clients("s3").get_object(Bucket="drops", Key="wms/stock.csv")
    assert dropped["Body"].read() == b"Item,Qty"
    assert target.webhooks_url == "https://api.example/dev/webhooks"
    assert target.mint is None


@pytest.mark.usefixtures("aws")
def test_hints_of_a_deployed_stage_lie_in_the_queues_of_the_channel() -> None:
    queue = clients("sqs").create_queue(QueueName="onecount-dev-push-shop-bulk")["QueueUrl"]

    queue_fresh_look(deployed("dev", clients).lanes, ChannelId("shop"), [Sku("A"), Sku("B")])

    found = clients("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert sorted(json.loads(message["Body"])["sku"] for message in found) == ["A", "B"]


@pytest.mark.usefixtures("aws")
def test_a_stage_that_is_not_deployed_says_where_it_was_looked_for() -> None:
    with pytest.raises(CommandError, match="no stack Onecount-prod-Data in eu-west-1") as refused:
        deployed("prod", nothing_deployed)

    assert "AWS_DEFAULT_REGION" in refused.value.remedy


@pytest.mark.usefixtures("aws")
def test_the_api_of_a_deployed_stage_wants_a_token_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)

    with pytest.raises(CommandError, match=TOKEN_VARIABLE):
        deployed("dev", clients).api.get("cases")


def test_locally_the_token_of_the_environment_goes_before_one_of_its_own_minting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mint(scopes: Sequence[str], subject: str) -> str:
        return f"{subject} may {' '.join(scopes)}"

    monkeypatch.setenv(TOKEN_VARIABLE, " anns \n")
    assert local_token(mint, ["admin"]) == "anns"

    monkeypatch.setenv(TOKEN_VARIABLE, "")
    assert local_token(mint, ["admin"]) == "onecount-cli may admin"


@pytest.fixture
def server() -> Iterator[str]:
    """A server that gives back what it was sent, refuses and redirects."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = {
                "path": self.path,
                "body": self.rfile.read(int(self.headers["Content-Length"])).decode(),
                "token": self.headers["Authorization"],
            }
            self._answer(201, said)

        def do_GET(self) -> None:
            if self.path == "/v1/away":
                self._answer(302, {}, Location=f"http://{self.headers['Host']}/v1/elsewhere")
            else:
                self._answer(404, {"title": "Not found", "detail": f"no {self.path}", "remedy": "look"})

        def _answer(self, status: int, said: object, **headers: str) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_a_call_goes_out_with_its_token_and_body(server: str) -> None:
    said = Api(server, lambda: "t", send).post("cases", "a/b c", "map", body={"sku": "ä"})

    assert said["path"] == "/v1/cases/a%2Fb%20c/map"
    assert json.loads(said["body"]) == {"sku": "ä"}
    assert said["token"] == "Bearer t"


def test_a_problem_becomes_an_error_with_title_detail_and_remedy(server: str) -> None:
    with pytest.raises(ProblemError) as refused:
        Api(server, lambda: "t", send).get("cases", status="open")

    assert refused.value.reason == "Not found: no /v1/cases?status=open"
    assert refused.value.remedy == "look"


def test_a_redirect_is_not_followed_because_the_token_would_go_along(server: str) -> None:
    with pytest.raises(ProblemError) as refused:
        Api(server, lambda: "t", send).get("away")

    assert refused.value.status == 302


def test_nobody_at_the_address_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"no answer from http://127.0.0.1:{port}"):
            Api(f"http://127.0.0.1:{port}", lambda: "t", send).get("cases")
