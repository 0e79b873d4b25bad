"""``POST /webhooks/{source}``: the door for systems that call us. Proves the sender, keeps the bytes, says so."""

from __future__ import annotations

import logging
from functools import cache

from shared.operations.receive import BadEncodingError, BodyTooLargeError, Receiver, UnknownSourceError
from shared.runtime.ground import Ground
from shared.runtime.http import Answer, Event, Problem, answer, body_of, headers_of, problem
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import ReceiveWebhookSettings
from shared.sources.contract import AuthenticationError
from shared.store.table import TableError

formatter = log_to_stdout("receive_webhook")
log = logging.getLogger(__name__)


@cache
def receiver() -> Receiver:
    return Ground(ReceiveWebhookSettings.read()).receiver


def handle(event: Event, _context: object) -> Answer:
    """Answer 202 for a new message and 200 for one that we have; a problem for what cannot be taken."""
    source = event["pathParameters"]["source"]
    try:
        receipt = receiver().receive(source, headers_of(event), body_of(event))
    except UnknownSourceError as error:
        return problem(Problem(404, "unknown_source", "Unknown source", str(error)))
    except BodyTooLargeError as error:
        return problem(Problem(413, "body_too_large", "Body too large", str(error), field="body"))
    except BadEncodingError as error:
        return problem(
            Problem(415, "bad_encoding", "Content-Encoding not understood", str(error), field="body")
        )
    except AuthenticationError as error:
        log.warning("webhook_not_authentic", extra={"source_id": source, "reason": error.reason})
        remedy = "sign the raw body with the source's current secret (a new one is known within a minute), and a timestamp of now"
        return problem(Problem(401, "not_authentic", "Not authentic", error.reason, remedy))
    except (TableError, OSError) as error:
        log.warning("webhook_not_kept", extra={"source_id": source, "reason": str(error)})
        detail = "the message could not be kept just now, and was not"
        return problem(Problem(503, "busy", "Busy", detail, "send the same message again shortly"))
    status = "duplicate" if receipt.duplicate else "accepted"
    log.info(
        "webhook_received", extra={"source_id": source, "message_id": receipt.message_id, "status": status}
    )
    code = 200 if receipt.duplicate else 202
    return answer(code, {"message_id": receipt.message_id, "status": status})
