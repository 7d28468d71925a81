"""A page made from a template string (PEP 750): what comes from outside is escaped."""

import sys
from html import escape
from string.templatelib import Interpolation, Template

from flask import Flask, request

app = Flask(__name__)


def html(template: Template) -> str:
    return "".join(
        escape(str(part.value)) if isinstance(part, Interpolation) else part
        for part in template
    )


@app.get("/")
def index() -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    who = request.args.get("who", "Python")
    return html(t"<p>Hello from {who} {version}</p>\n")
