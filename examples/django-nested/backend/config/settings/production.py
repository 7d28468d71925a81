"""Settings of the image."""

from .base import *  # noqa: F403

ALLOWED_HOSTS = ["*"]
