"""hms-collector before and beside its work: what --check says, which value wins, what is in force, and its commands' usage."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "certs", "make")
PORTS = ("--listen", "127.0.0.1:0", "--otlp-listen", "off")


class Check(hms.TestCase):
    def test_check_refuses_a_lake_that_the_start_refuses(self):
        folder = self.folder()
        nowhere = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        for lake in (["s3://"], ["s3://b/p", "--lake-endpoint", "nonsense"], ["s3://b/p", "--lake-credentials", os.path.join(folder, "none")], [os.path.join(folder, "none", "a")], ["ftp://b"]):
            code, _, errors = hms.run("hms-collector", "--check", "--data", folder, "--lake", *lake, env=nowhere)
            self.assertEqual(code, 2, lake)
            self.assertIn("lake: ", errors)
        for lake in (os.path.join(folder, "lake"), "s3://bucket/prefix"):
            self.assertEqual(hms.run("hms-collector", "--check", "--data", folder, "--lake", lake, env=nowhere)[0], 0, lake)
        self.assertEqual(os.listdir(folder), [])

    def test_a_flag_wins_over_a_wrong_value_of_the_environment(self):
        arguments = ("hms-collector", "--check", "--data", self.folder())
        wrong = {"HMS_MEMORY": "7", "HMS_RETENTION_DAYS": "0"}
        code, _, errors = hms.run(*arguments, env=wrong)
        self.assertEqual(code, 2)
        self.assertIn("HMS_MEMORY: '7'", errors)
        self.assertEqual(hms.run(*arguments, "--memory", "1GiB", "--retention-days", "3", env=wrong)[0], 0)


class InForce(hms.TestCase):
    def test_the_status_tells_the_configuration_and_no_secret(self):
        folder = self.folder()
        path = os.path.join(folder, "c.yaml")
        text = ("retention: {{days: 9, logs: 3, services: {{pay: {{traces: 2}}}}}}\naudit: {{services: [pay], keep_days: 30}}\nlake: {lake}\nlake_at: \"04:05\"\n"
                "notifiers:\n  - {{name: {name}, type: webhook, url: \"http://127.0.0.1:9/s3cret\", soc: true}}\n")
        self.write(path, text.format(lake=os.path.join(folder, "lake"), name="first"))
        collector = self.start("hms-collector", "--data", os.path.join(folder, "data"), "--config", path, *PORTS)

        def told():
            return hms.get_json(collector.address("listen"), "/api/v1/status/config")["data"]["yaml"]

        for part in ("retention_days: 9\n", '"logs":3', '"pay":{"traces":2}', '"keep_days":30', 'lake_at: "04:05"', 'name: "first"', "soc: true", f'listen: "{collector.address("listen")}"'):
            self.assertIn(part, told())
        self.assertNotIn("s3cret", told())
        self.write(path, text.format(lake=os.path.join(folder, "lake"), name="second"))
        collector.signal(signal.SIGHUP)
        hms.wait_for(lambda: 'name: "second"' in told())
        self.assertNotIn('"first"', told())
        self.write(path, "memory: 512MiB\n" + text.format(lake=os.path.join(folder, "elsewhere"), name="second"))
        collector.signal(signal.SIGHUP)
        self.assertEqual(collector.wait_log("some changes need a restart")["keys"], "lake, memory")

    def test_each_fault_of_the_file_is_told_once_with_its_line_and_key(self):
        path = os.path.join(self.folder(), "collector.yaml")
        lines = ["listen: nowhere", "otlp_listen: here", "external_url: \"no url\"", "log_level: loud", "tls: {certificate: /nope.pem, key: /nope.key}",
                 "retention_days: 30", "retention: {days: 31}"]
        self.write(path, "\n".join(lines) + "\n")
        code, _, errors = hms.run("hms-collector", "--check", "--config", path)
        self.assertEqual(code, 2)
        self.assertEqual([(told.split(":")[1], told.split(" ")[1]) for told in errors.strip().split("\n")],
                         [("1", "/listen:"), ("2", "/otlp_listen:"), ("5", "/tls:"), ("4", "/log_level:"), ("3", "/external_url:"), ("7", "/retention/days:")], errors)

    def test_a_backup_directory_that_is_not_there_is_told_by_check(self):
        folder = self.folder()
        for flags in (("--backup-dir", os.path.join(folder, "none")), ("--config", self.write(os.path.join(folder, "c.yaml"), f"backup_dir: {folder}/none\n"))):
            code, _, errors = hms.run("hms-collector", "--check", *flags)
            self.assertEqual((code, errors.strip()), (2, f"backup_dir: {folder}/none is no directory; make it beforehand"))
        os.mkdir(os.path.join(folder, "none"))
        self.assertEqual(hms.run("hms-collector", "--check", *flags)[0], 0)

    def test_without_a_lake_its_paths_say_how_to_have_one(self):
        address = self.start("hms-collector", "--data", self.folder(), *PORTS).address("listen")
        for reply in (hms.get(address, "/ops/lake"), hms.post(address, "/ops/lake/roll?day=2026-01-01", b"")):
            self.assertEqual(reply.status, 404)
            self.assertIn("--lake", reply.json()["error"])


class Commands(hms.TestCase):
    def test_each_command_tells_its_usage(self):
        commands = {"backup": "--collector", "verify": "--from", "restore": "--data", "lake": "--table", "audit": "--who"}
        told = hms.run("hms-collector", "--help")[1]
        for command, flag in commands.items():
            self.assertIn(command, told)
            code, out, errors = hms.run("hms-collector", command, "--help")
            self.assertEqual((code, errors), (0, ""), command)
            self.assertIn(flag, out)

    def test_a_backup_of_a_collector_that_speaks_tls(self):
        folder = self.folder()
        subprocess.run([MAKE, "-d", folder, "hms"], check=True, stdout=subprocess.DEVNULL)
        os.mkdir(os.path.join(folder, "backups"))
        config = self.write(os.path.join(folder, "c.yaml"), f"tls: {{certificate: {folder}/hms.pem, key: {folder}/hms.key, ca: {folder}/ca.pem}}\nbackup_dir: {folder}/backups\n")
        collector = self.start("hms-collector", "--data", os.path.join(folder, "data"), "--config", config, *PORTS)
        url = "https://" + collector.address("listen")
        self.assertEqual(hms.run("hms-collector", "backup", "--collector", url)[0], 1)
        code, out, errors = hms.run("hms-collector", "backup", "--collector", url, "--ca", f"{folder}/ca.pem")
        self.assertEqual(code, 0, out + errors)
        self.assertEqual(hms.run("hms-collector", "verify", "--from", f"{folder}/backups")[0], 0)


if __name__ == "__main__":
    hms.main()
