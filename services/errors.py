"""The error tree of the service.

    ServiceError                    500 internal_error
    ├── RequestError                400 malformed_request      the body does not match its content type
    │   ├── Unauthorized            401 unauthorized           no API key, where one is required
    │   ├── Forbidden               403 forbidden              an unknown API key, or not that of an administrator
    │   ├── ModelNotFound           404 unknown_model
    │   ├── ServiceNotFound         404 unknown_service        gRPC's health check of another service
    │   ├── UnknownAnswer           404 unknown_answer         feedback on an answer that is not recorded (any more)
    │   ├── FeedbackOff             404 feedback_off           feedback, where answers are not recorded
    │   ├── ExplanationsOff         404 explanations_off       an explanation, where they are turned off
    │   ├── Unimplemented           405 method_not_allowed     a method of a protocol that is not supported
    │   ├── NotAcceptable           406 not_acceptable         no representation matches `Accept` or `render`
    │   ├── RequestTimeout          408 request_timeout        the body arrived too slowly
    │   ├── AlreadyGiven            409 already_given          feedback on an image that already has feedback
    │   ├── VersionInUse            409 version_in_use         the version cannot be unloaded: it answers requests
    │   ├── BodyTooLarge            413 body_too_large
    │   ├── UrlTooLong              414 url_too_long
    │   ├── UnsupportedContentType  415 unsupported_content_type
    │   ├── InvalidParameters       422 invalid_parameters
    │   ├── AnswerTooLarge          422 answer_too_large       the masks of one image are too large in this format
    │   ├── LoadFailed              422 load_failed            a version cannot be loaded, or its warm-up failed
    │   ├── RateLimited             429 rate_limited           + Retry-After
    │   ├── HeadersTooLarge         431 header_too_large
    │   └── InvalidImage            400/413/415                an `models.errors.ImageError`, under its own code
    ├── NonFiniteAnswer             500 non_finite_answer      the model returned NaN or infinity for an image
    ├── ExplainingUnavailable       501 explaining_unavailable a package that explanations need is not installed
    ├── Overloaded                  503 overloaded             + Retry-After
    ├── NotReady                    503 not_ready              + Retry-After
    ├── PlanUnavailable             503 plan_unavailable       + Retry-After: the store of plans does not respond
    ├── FeedbackUnavailable         503 feedback_unavailable   + Retry-After: the store of answers does not respond
    ├── BackendFailed               503 backend_failed         + Retry-After: a model replica was lost, retries included
    └── OutOfTime                   504 out_of_time

Every error takes positional arguments, so that it survives pickling between processes, and its message is written for
the client: it never holds a path, a host name or a stack trace.
"""

from __future__ import annotations

from typing import Any, ClassVar

from models.errors import BrokenImage, EmptyImage, ImageError, ImageTooLarge, UnreadableImage

IMAGE_STATUS: dict[type[ImageError], int] = {
    EmptyImage: 400,
    BrokenImage: 400,
    ImageTooLarge: 413,
    UnreadableImage: 415,
}
"""HTTP status of each code of an `ImageError`."""


class ServiceError(Exception):
    """Base class of errors that are sent to clients: an HTTP status, a code for programs and a message for people.

    Args:
        message: One sentence for the client.
        details: JSON-able details for programs.
        retry_after_s: Seconds until a retry can succeed; sent as `Retry-After`.
    """

    status: int = 500
    code: str = "internal_error"
    default_retry_after_s: ClassVar[float | None] = None

    def __init__(self, message: str, details: dict[str, Any] | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, details, retry_after_s)
        self.message = message
        self.details: dict[str, Any] = details or {}
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The body of the error, without the request id."""
        return {"code": self.code, "message": self.message, "details": self.details}


class RequestError(ServiceError):
    """The request is invalid; the same request will fail again."""

    status = 400
    code = "malformed_request"


class Unauthorized(RequestError):
    status = 401
    code = "unauthorized"


class Forbidden(RequestError):
    status = 403
    code = "forbidden"


class ModelNotFound(RequestError):
    status = 404
    code = "unknown_model"


class UnknownAnswer(RequestError):
    status = 404
    code = "unknown_answer"


class FeedbackOff(RequestError):
    status = 404
    code = "feedback_off"


class ExplanationsOff(RequestError):
    status = 404
    code = "explanations_off"


class RequestTimeout(RequestError):
    status = 408
    code = "request_timeout"


class AlreadyGiven(RequestError):
    status = 409
    code = "already_given"


class ServiceNotFound(RequestError):
    status = 404
    code = "unknown_service"


class Unimplemented(RequestError):
    status = 405
    code = "method_not_allowed"


class VersionInUse(RequestError):
    status = 409
    code = "version_in_use"


class NotAcceptable(RequestError):
    status = 406
    code = "not_acceptable"


class BodyTooLarge(RequestError):
    status = 413
    code = "body_too_large"


class UrlTooLong(RequestError):
    status = 414
    code = "url_too_long"


class UnsupportedContentType(RequestError):
    status = 415
    code = "unsupported_content_type"


class InvalidParameters(RequestError):
    status = 422
    code = "invalid_parameters"


class AnswerTooLarge(RequestError):
    status = 422
    code = "answer_too_large"


class LoadFailed(RequestError):
    status = 422
    code = "load_failed"


class RateLimited(RequestError):
    status = 429
    code = "rate_limited"
    default_retry_after_s = 1.0


class HeadersTooLarge(RequestError):
    status = 431
    code = "header_too_large"


class InvalidImage(RequestError):
    """An image cannot be decoded; status and code give the reason.

    Args:
        message: One sentence for the client.
        details: JSON-able facts.
        code: The code of the `models.errors.ImageError`.
        status: The HTTP status of that code.
    """

    def __init__(self, message: str, details: dict[str, Any], code: str, status: int) -> None:
        super().__init__(message, details)
        self.args = (message, details, code, status)
        self.code = code
        self.status = status

    @classmethod
    def of(cls, error: ImageError) -> InvalidImage:
        """Translates an error of `models.imaging.decoding`; the only place that does."""
        status = next((code for kind, code in IMAGE_STATUS.items() if isinstance(error, kind)), 400)
        return cls(error.message, error.details, error.code, status)


class NonFiniteAnswer(ServiceError):
    code = "non_finite_answer"


class ExplainingUnavailable(ServiceError):
    status = 501
    code = "explaining_unavailable"


class Overloaded(ServiceError):
    status = 503
    code = "overloaded"
    default_retry_after_s = 1.0


class NotReady(ServiceError):
    status = 503
    code = "not_ready"
    default_retry_after_s = 2.0


class PlanUnavailable(ServiceError):
    status = 503
    code = "plan_unavailable"
    default_retry_after_s = 1.0


class FeedbackUnavailable(ServiceError):
    status = 503
    code = "feedback_unavailable"
    default_retry_after_s = 1.0


class BackendFailed(ServiceError):
    status = 503
    code = "backend_failed"
    default_retry_after_s = 1.0


class OutOfTime(ServiceError):
    status = 504
    code = "out_of_time"


_BY_CODE: dict[str, type[ServiceError]] = {
    kind.code: kind
    for kind in (
        AnswerTooLarge,
        BackendFailed,
        ExplainingUnavailable,
        InvalidParameters,
        LoadFailed,
        ModelNotFound,
        NonFiniteAnswer,
        NotReady,
        OutOfTime,
        Overloaded,
    )
}


def rebuild(status: int, code: str, message: str, details: dict[str, Any]) -> ServiceError:
    """Rebuilds the error of a replica from its fields (`services.answers.wire.Failure`)."""
    if code in _BY_CODE:
        return _BY_CODE[code](message, details)
    if code == ServiceError.code:
        return ServiceError(message, details)
    return InvalidImage(message, details, code, status)
