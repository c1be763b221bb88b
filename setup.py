"""Build the package; everything it says about itself stands in setup.cfg."""

from setuptools import setup
from setuptools.command.sdist import sdist


class CompleteSdist(sdist):
    """Carry the change log, the docs and every test; the default takes the test modules without what they need."""

    def make_distribution(self):
        self.filelist.append("CHANGELOG.md")
        self.filelist.graft("docs")
        self.filelist.graft("tests")
        self.filelist.global_exclude("*.py[co]")
        super().make_distribution()


setup(cmdclass={"sdist": CompleteSdist})
