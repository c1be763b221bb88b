"""A Django site in one file, with a view that answers and one that streams."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from aichatkit import ChatError, Client, RateLimitError

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=__name__, SECRET_KEY="an-example", USE_TZ=True, MIDDLEWARE=[]
    )

client = Client(timeout=30)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Answer as one JSON object, with the error's name where there is none."""
    try:
        reply = client.ask(json.loads(request.body)["prompt"])
    except RateLimitError as error:
        return JsonResponse({"error": "busy"}, status=429, headers={"Retry-After": str(round(error.retry_after or 1))})
    except ChatError as error:
        return JsonResponse({"error": type(error).__name__}, status=502)
    return JsonResponse({"answer": reply.text, "tokens": reply.usage.total_tokens})


@require_POST
def stream(request: HttpRequest) -> Any:
    """Answer piece by piece; Django closes the stream when the browser leaves."""
    return StreamingHttpResponse(client.stream(json.loads(request.body)["prompt"]), content_type="text/plain")


urlpatterns = [path("ask", ask), path("stream", stream)]
