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
    """As ``shared.runtime.http.Problem`` says it: ``name`` is stable and becomes the problem's ``type``."""

    response: apigateway.ResponseType
    status: int
    name: str
    title: str
    detail: str
    remedy: str


_AUTHENTICATE = "send 'Authorization: Bearer <token>' with a token that your issuer has just issued"
_REPEAT = "repeat the same request; that is always safe"

_PROBLEMS = (
    _Problem(
        _TYPE.BAD_REQUEST_PARAMETERS,
        400,
        "invalid_request",
        "Invalid request",
        "a parameter cannot be read",
        "correct the path and the query",
    ),
    _Problem(
        _TYPE.BAD_REQUEST_BODY,
        400,
        "invalid_request",
        "Invalid request",
        "the body cannot be read",
        "correct the body",
    ),
    _Problem(
        _TYPE.UNAUTHORIZED,
        401,
        "unauthorized",
        "Unauthorized",
        "there is no token, or it is not good",
        _AUTHENTICATE,
    ),
    _Problem(
        _TYPE.EXPIRED_TOKEN, 401, "unauthorized", "Unauthorized", "the token has expired", _AUTHENTICATE
    ),
    _Problem(
        _TYPE.ACCESS_DENIED,  # the authorizer denies nothing but a token that is not good
        401,
        "unauthorized",
        "Unauthorized",
        "the token is not good",
        _AUTHENTICATE,
    ),
    _Problem(
        _TYPE.WAF_FILTERED,
        403,
        "refused_by_firewall",
        "Refused by the firewall",
        "the request looks like an attack, or too many came from this address",
        "ask the operator, with the request_id",
    ),
    _Problem(
        _TYPE.MISSING_AUTHENTICATION_TOKEN,  # API Gateway's word for a path or method that it does not have
        404,
        "unknown_path",
        "Not found",
        "there is no such path, or not with this method",
        "use POST /webhooks/{source}, or a call under /v1",
    ),
    _Problem(
        _TYPE.REQUEST_TOO_LARGE,
        413,
        "body_too_large",
        "Body too large",
        "the body is larger than 10 MB",
        "send less at once, or drop a file",
    ),
    _Problem(
        _TYPE.UNSUPPORTED_MEDIA_TYPE,
        415,
        "unsupported_media_type",
        "Unsupported media type",
        "the body is of a type that is not taken here",
        "send application/json",
    ),
    _Problem(
        _TYPE.THROTTLED,
        429,
        "too_many_requests",
        "Too many requests",
        "more requests came at once than are taken",
        "wait a second, then repeat the request",
    ),
    _Problem(
        _TYPE.QUOTA_EXCEEDED,
        429,
        "too_many_requests",
        "Too many requests",
        "the quota is used up",
        "wait, then repeat the request",
    ),
    _Problem(
        _TYPE.INTEGRATION_FAILURE, 502, "internal_error", "Internal error", "the function failed", _REPEAT
    ),
    _Problem(
        _TYPE.INTEGRATION_TIMEOUT,
        504,
        "no_answer_in_time",
        "No answer in time",
        "the request takes too long",
        _REPEAT,
    ),
    _Problem(_TYPE.DEFAULT_5_XX, 500, "internal_error", "Internal error", "something failed here", _REPEAT),
)


def answer_with_problems(api: apigateway.RestApi) -> None:
    """Make ``api`` answer 401, 403, 404, 413, 415, 429 and 5xx of its own as problems."""
    for problem in _PROBLEMS:
        name = problem.response.response_type
        body = {
            "type": f"urn:onecount:problem:{problem.name}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "remedy": problem.remedy,
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
