#!/usr/bin/env python3
"""The container images' root file systems: nothing but the program and what it needs, and it runs there without root."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ["HMS_BIN"]


class Images(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hms-images-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        subprocess.run([ROOT / "deploy/images/build", "--rootfs-only", BIN, self.folder], check=True, timeout=120)

    def in_root(self, program, *arguments):
        command = ["chroot", "--userspec=65532:65532", self.folder / "rootfs" / program, f"/{program}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    @unittest.skipIf("asan" in pathlib.Path(BIN).parts, "AddressSanitizer wants /proc, and there is none in there")
    def test_each_program_runs_in_its_own_root_without_rights(self):
        if os.geteuid() != 0:
            self.skipTest("chroot needs root")
        for program in ("hms-proxy", "hms-collector"):
            version = self.in_root(program, "--version")
            self.assertEqual(version.returncode, 0, version.stderr)
            self.assertRegex(version.stdout, rf"{program} \d+\.\d+\.\d+")
        probe = self.in_root("hms-proxy", "--probe", "http://127.0.0.1:9/readyz")
        self.assertEqual(probe.returncode, 1)
        self.assertIn("connect", probe.stderr)

    def test_there_is_no_shell_in_it(self):
        names = {path.name for path in (self.folder / "rootfs").rglob("*") if path.is_file()}
        self.assertFalse(names & {"sh", "bash", "busybox", "apt-get"}, names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
