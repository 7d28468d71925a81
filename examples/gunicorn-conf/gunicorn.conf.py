"""All that gunicorn needs to know."""

import os

wsgi_app = "hello.web:app"
bind = f"0.0.0.0:{os.environ.get('PORT') or 8080}"
workers = 2
accesslog = "-"
raw_env = ["GREETING=Hello from gunicorn.conf.py"]
