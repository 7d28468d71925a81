"""A Flask application; what is only needed for development stays out of the image."""

from importlib.util import find_spec

from flask import Flask

application = Flask(__name__)


@application.get("/")
def index() -> str:
    if find_spec("iniconfig"):
        return "A package for development is here\n"
    return "Hello from uv\n"
