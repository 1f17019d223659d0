"""The pager of whoever is on call tonight: a small HTTP server that receives Alertmanager webhooks (version 4) and remembers when they came."""
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Pager:
    def __init__(self, on_page=None):
        self.changed = threading.Condition()
        self.pages = []  # (Unix milliseconds, status, labels, annotations)
        self.on_page = on_page
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                now = int(time.time() * 1000)
                with pager.changed:
                    for alert in body["alerts"]:
                        pager.pages.append((now, alert["status"], alert["labels"], alert.get("annotations", {})))
                        if pager.on_page:
                            pager.on_page(now, alert)
                    pager.changed.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/page"

    def first(self, status, since, seconds, matches=lambda labels: True):
        """The first page with that status since a time (Unix milliseconds), waiting at most `seconds`; None if none came."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                for page in self.pages:
                    if page[0] >= since and page[1] == status and matches(page[2]):
                        return page
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)

    def still_firing(self):
        state = {}
        with self.changed:
            for _, status, labels, _ in self.pages:
                state[json.dumps(labels, sort_keys=True)] = status
        return [json.loads(labels) for labels, status in state.items() if status == "firing"]
