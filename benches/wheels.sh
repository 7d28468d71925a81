#!/bin/sh
# Downloads the 32 wheels that benches/transcode.rs is measured with: benches/wheels.sh FOLDER
set -eu
folder=${1:?usage: benches/wheels.sh FOLDER}
python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.13 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any \
    --dest "$folder" \
    numpy pandas scipy flask django click jinja2 werkzeug requests urllib3 certifi idna cryptography \
    sqlalchemy pydantic pydantic-core fastapi starlette uvicorn gunicorn matplotlib pillow scikit-learn \
    lxml pyyaml botocore boto3 grpcio protobuf psycopg2-binary aiohttp setuptools
