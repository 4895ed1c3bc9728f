"""What is remembered, and what is acted on."""

from django.db import models


class SeenEvent(models.Model):
    """The `webhook-id` of an event that was acted on."""

    id = models.CharField(primary_key=True, max_length=100)
    at = models.DateTimeField(auto_now_add=True)


class Ending(models.Model):
    """A job that ended."""

    job = models.CharField(max_length=100)
    state = models.CharField(max_length=20)
