"""A bare WSGI application that asks an extension module about the network."""

import docopt
import netifaces

ARGUMENTS = docopt.docopt("usage: app [<interface>]", argv=["lo"])


def application(environ, start_response):
    interface = ARGUMENTS["<interface>"]
    addresses = netifaces.ifaddresses(interface)[netifaces.AF_INET]
    body = f"{interface} has {addresses[0]['addr']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
