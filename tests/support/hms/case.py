"""The base of every test: it stops what it started."""

import contextlib
import os
import shutil
import subprocess
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

    def small_disk(self, size):
        """A fresh file system of so many bytes; the test is skipped where one may not be mounted."""
        mount = self.folder()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount], capture_output=True, check=False) if os.geteuid() == 0 else None
        if made is None or made.returncode != 0:
            self.skipTest("needs the right to mount a tmpfs")
        self._exit.callback(subprocess.run, ["umount", "-l", mount], check=False)
        return mount

    @staticmethod
    def fill_disk(folder):
        """Takes all the room that is left; returns the file that holds it."""
        ballast = os.path.join(folder, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65_536)
            except OSError:
                pass
        return ballast

    def write(self, path, text):
        """Writes a file as editors do: a new file moved over the old one."""
        temporary = path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
        return path

    def wait_for(self, condition, at_most=PATIENCE, what=None):
        return wait_for(condition, at_most, what)
