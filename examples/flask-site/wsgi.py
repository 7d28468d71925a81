"""What gunicorn and `flask` start from."""

from guestbook import create_app

application = create_app()
