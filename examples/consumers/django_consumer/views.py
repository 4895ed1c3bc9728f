"""Takes callbacks."""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from boxyard_producer.webhooks import WebhookError, verify

from .models import Ending, SeenEvent


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """One event; anything but 2xx makes it come again."""
    try:
        event = verify(request.headers, request.body, settings.BOXYARD_WEBHOOK_SECRETS)
    except WebhookError as error:
        return HttpResponse(error.detail, status=error.status)
    with transaction.atomic():
        _, first = SeenEvent.objects.get_or_create(id=event.id)
        if first:
            Ending.objects.create(job=event.data.job.id, state=event.data.job.state)
    return HttpResponse(status=204)


def count(_: HttpRequest) -> HttpResponse:
    """How many jobs have ended: a probe for `boxyard consumer-test`."""
    return HttpResponse(str(Ending.objects.count()))
