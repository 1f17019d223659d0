"""Callers of the Disaster Claim Wizard: an open loop at a fixed rate, so that a slow service does not slow the callers down and hide itself."""
import http.client
import queue
import random
import threading
import time
import urllib.parse


class Traffic:
    """At most `workers` calls are under way; one that finds none free is counted as `shed`."""

    def __init__(self, base_url, per_second, workers=256, seed=1):
        target = urllib.parse.urlsplit(base_url)
        self.address = (target.hostname, target.port)
        self.interval = 1.0 / per_second
        self.random = random.Random(seed)
        self.jobs = queue.Queue(maxsize=workers)
        self.lock = threading.Lock()
        self.total = self.failed_by_proxy = self.failed = self.broken = self.shed = 0
        self.errors = {}
        self.running = True
        self.free = threading.Semaphore(workers)
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        self.threads.append(threading.Thread(target=self._pace, daemon=True))
        for thread in self.threads:
            thread.start()

    def _pace(self):
        due = time.monotonic()
        while self.running:
            due += self.interval
            time.sleep(max(0.0, due - time.monotonic()))
            path = f"/wizard/user-{self.random.randrange(40)}/claims/{self.random.randrange(100000, 999999)}"
            if self.free.acquire(blocking=False):
                self.jobs.put(path)
            else:
                self.shed += 1

    def _work(self):
        connection = None
        while True:
            path = self.jobs.get()
            if path is None:
                return
            try:
                # A fresh connection after a failure; kept alive otherwise, as a browser would.
                connection = connection or http.client.HTTPConnection(*self.address, timeout=30)
                connection.request("GET", path, headers={"User-Agent": "demo"})
                reply = connection.getresponse()
                reply.read()
                self._count(reply.status, reply.getheader("x-hms-error"))
                if reply.will_close:
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                connection = None
                self._count(0, None, type(error).__name__)
            finally:
                self.free.release()

    def _count(self, status, proxy_error, broken=None):
        with self.lock:
            self.total += 1
            if proxy_error or broken:
                name = proxy_error or broken
                self.errors[name] = self.errors.get(name, 0) + 1
                self.failed_by_proxy += 1
            elif status >= 500:
                self.failed += 1

    def stop(self):
        self.running = False
        self.threads[-1].join()
        for _ in self.threads[:-1]:
            self.jobs.put(None)
        for thread in self.threads[:-1]:
            thread.join(35)
