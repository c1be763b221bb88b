"""Build the package; everything it says about itself stands in setup.cfg."""

from setuptools import setup

setup()
