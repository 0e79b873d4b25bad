"""What API Gateway answers by itself, in the same form as our functions do: RFC 9457 problem+json.

A caller then reads one kind of error, whoever refused the request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_TYPE = apigateway.ResponseType


@dataclass(frozen=True, slots=True)
class _Problem:
    """``type`` is stable; ``detail`` says what to do."""

    response: apigateway.ResponseType
    status: int
    type: str
    title: str
    detail: str


_PROBLEMS = (
    _Problem(
        _TYPE.BAD_REQUEST_PARAMETERS, 400, "bad_request", "Bad request", "Correct the request's parameters."
    ),
    _Problem(_TYPE.BAD_REQUEST_BODY, 400, "bad_request", "Bad request", "Correct the request's body."),
    _Problem(
        _TYPE.UNAUTHORIZED, 401, "unauthorized", "No valid token", "Send 'Authorization: Bearer <token>'."
    ),
    _Problem(_TYPE.EXPIRED_TOKEN, 401, "unauthorized", "Token expired", "Fetch a new token and try again."),
    _Problem(
        _TYPE.ACCESS_DENIED,
        403,
        "forbidden",
        "Not allowed",
        "Ask for a token with the scope this call needs.",
    ),
    _Problem(
        _TYPE.WAF_FILTERED, 403, "refused_by_firewall", "Refused", "Ask the operator, with this request's id."
    ),
    _Problem(
        _TYPE.MISSING_AUTHENTICATION_TOKEN,
        404,
        "not_found",
        "No such path",
        "Use POST /webhooks/{source} or a path under /v1.",
    ),
    _Problem(
        _TYPE.REQUEST_TOO_LARGE,
        413,
        "payload_too_large",
        "Body too large",
        "Send less at once, or drop a file.",
    ),
    _Problem(
        _TYPE.UNSUPPORTED_MEDIA_TYPE,
        415,
        "unsupported_media_type",
        "Unknown media type",
        "Send application/json.",
    ),
    _Problem(_TYPE.THROTTLED, 429, "too_many_requests", "Too many requests", "Wait a second and try again."),
    _Problem(_TYPE.QUOTA_EXCEEDED, 429, "too_many_requests", "Too many requests", "Wait and try again."),
    _Problem(
        _TYPE.INTEGRATION_FAILURE,
        502,
        "internal_error",
        "Internal error",
        "Try again; the request is safe to repeat.",
    ),
    _Problem(
        _TYPE.INTEGRATION_TIMEOUT,
        504,
        "timeout",
        "No answer in time",
        "Try again; the request is safe to repeat.",
    ),
    _Problem(
        _TYPE.DEFAULT_5_XX,
        500,
        "internal_error",
        "Internal error",
        "Try again; the request is safe to repeat.",
    ),
)


def answer_with_problems(api: apigateway.RestApi) -> None:
    """Make ``api`` answer 401, 403, 404, 413, 415, 429 and 5xx of its own as problems."""
    for problem in _PROBLEMS:
        name = problem.response.response_type
        body = {
            "type": f"urn:onecount:problem:{problem.type}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "request_id": "$context.requestId",
        }
        headers = {"Content-Type": "'application/problem+json'"}
        if problem.status == 401:
            headers["WWW-Authenticate"] = "'Bearer'"
        if problem.status == 429:
            headers["Retry-After"] = "'1'"
        api.add_gateway_response(
            f"Problem{name.title().replace('_', '')}",
            type=problem.response,
            status_code=str(problem.status),
            response_headers=headers,
            templates={"application/json": json.dumps(body)},
        )
