"""Claude on Vertex AI: Anthropic's Messages, with the model in the path; errors of Google's own come in its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires.anthropic import Anthropic
from aichatkit.sandbox.wires.base import Call, Route, parse_json

_PATH = "/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/[^/:]+"
#: What Google answers before a request reaches the model.
_OF_GOOGLE = {
    "unauthorized": (
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential.",
    ),
    "forbidden": (403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied on resource."),
    "model-not-found": (
        404,
        "NOT_FOUND",
        "Publisher Model was not found or your project does not have access to it. Please ensure you are using a "
        "valid model version.",
    ),
    "rate-limit": (
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model. Please submit a "
        "quota increase request.",
    ),
}


class VertexClaude(Anthropic):
    """Messages, streamed or not."""

    name = "vertex-claude"
    routes: ClassVar[Sequence[Route]] = (
        Route("POST", f"{_PATH}:rawPredict", "chat"),
        Route("POST", f"{_PATH}:streamRawPredict", "chat"),
    )

    def parse_record(self, call: Call) -> dict[str, Any]:
        """Return the body with the model of the path; the version is in the body, and the model is not."""
        record = parse_json(call.request)
        if "model" in record:
            raise APIError("bad-request", "model: Extra inputs are not permitted")
        # Anthropic's own SDK has sent two versions, and so both are taken.
        if not isinstance(record.pop("anthropic_version", None), str):
            raise APIError("bad-request", "anthropic_version: Field required")
        record["model"] = call.request.path.rpartition("/")[2].partition(":")[0]
        return record

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error of Google, or of the model."""
        if error.reason not in _OF_GOOGLE or error.explicit_status is not None:
            return super().error_response(error, request)
        status, name, message = _OF_GOOGLE[error.reason]
        record = {"error": {"code": status, "message": message, "status": name}}
        return json_response(record, status, error.headers)

    def check_key(self, call: Call) -> None:
        """Reject a call without a valid access token."""
        token = call.request.headers.get("authorization", "").partition(" ")[2]
        if self.settings.api_keys is not None and token not in self.settings.api_keys:
            raise APIError("unauthorized")
