"""As few settings as a project with a database and static files can have."""

import os
from pathlib import Path

HERE = Path(__file__).parent

DEBUG = True
SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret: for trying out")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.staticfiles", "guestbook"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
STATIC_ROOT = HERE / "staticfiles"
