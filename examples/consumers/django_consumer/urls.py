"""Where callbacks go."""

from django.urls import path

from . import views

urlpatterns = [path("boxyard", views.receive), path("ended", views.count)]
