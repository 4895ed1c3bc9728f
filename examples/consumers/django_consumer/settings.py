"""What Django has to know."""

import os

BOXYARD_WEBHOOK_SECRETS = os.environ["BOXYARD_WEBHOOK_SECRET"].split()  # several while they rotate

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "django_consumer.urls"
INSTALLED_APPS = ["django_consumer"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("CONSUMER_DATABASE", "consumer.sqlite"),
        # SQLite alone: who may write is settled when the transaction begins.
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
