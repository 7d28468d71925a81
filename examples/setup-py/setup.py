from setuptools import setup

setup(
    name="greeter",
    version="1.0",
    packages=["greeter"],
    package_data={"greeter": ["greeting.txt"]},
    install_requires=["gunicorn==27.0.1"],
    entry_points={"console_scripts": ["greet = greeter:main"]},
)
