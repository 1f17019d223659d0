"""The base of every test: it stops what it started."""

import contextlib
import os
import shutil
import tempfile
import unittest

from .common import PATIENCE, wait_for
from .program import Program


class TestCase(unittest.TestCase):
    """Stops what it started, in reverse order, and gives temporary folders."""

    def setUp(self):
        self._exit = contextlib.ExitStack()
        self.addCleanup(self._exit.close)

    def use(self, thing):
        """Closes `thing` (close()) when the test ends."""
        self._exit.callback(thing.close)
        return thing

    def start(self, name, *arguments, **options):
        return self.use(Program(name, *arguments, **options))

    def folder(self):
        """A fresh directory, removed at the end."""
        path = tempfile.mkdtemp(prefix="hms-e2e-")
        self._exit.callback(shutil.rmtree, path, True)
        return path

    def write(self, path, text):
        """Writes a file as editors do: a new file moved over the old one."""
        temporary = path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
        return path

    def wait_for(self, condition, at_most=PATIENCE, what=None):
        return wait_for(condition, at_most, what)
