"""What all settings share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRET_KEY = "an example has no secrets"
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_URL = "static/"
STATIC_ROOT = ROOT / "collected"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ROOT / "db.sqlite3",
    }
}
