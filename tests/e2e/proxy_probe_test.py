"""hms-proxy --probe URL, as Kubernetes' exec probes call it: 0 for a 2xx answer, 1 and a sentence otherwise."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms


class Probe(hms.TestCase):
    def test_it_tells_ready_from_draining_and_from_nobody_there(self):
        origin = self.use(hms.RawOrigin(answer=hms.response(200)))
        proxy = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        admin = "http://%s" % proxy.address("admin")
        code, _, errors = hms.run("hms-proxy", "--probe", admin + "/readyz")
        self.assertEqual((code, errors), (0, ""))
        hms.post(proxy.address("admin"), "/drain", b"")
        code, _, errors = hms.run("hms-proxy", "--probe", admin + "/readyz")
        self.assertEqual(code, 1)
        self.assertIn("503", errors)
        code, _, errors = hms.run("hms-proxy", "--probe", "http://127.0.0.1:%d/readyz" % hms.free_port())
        self.assertEqual(code, 1)
        self.assertIn("refused", errors)
        code, _, errors = hms.run("hms-proxy", "--probe", "nonsense")
        self.assertEqual(code, 2)
        self.assertIn("--probe", errors)


if __name__ == "__main__":
    hms.main()
