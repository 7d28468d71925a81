"""Serves what is installed, not what lies beside this file: `src` is not on the import path."""

import os

from greeter import VERSION
from werkzeug import Request, Response, run_simple


@Request.application
def application(request: Request) -> Response:
    return Response(f"Hello from setup.cfg, version {VERSION}\n")


if __name__ == "__main__":
    run_simple("0.0.0.0", int(os.environ.get("PORT") or 8080), application)
