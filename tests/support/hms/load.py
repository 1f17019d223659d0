"""Callers and senders in threads, and the killing of a program under their load."""

import collections
import http.client
import threading

from .calls import post_json, send_on
from .common import PATIENCE, split_address, wait_for


class NumberedSender(threading.Thread):
    """Sends numbered batches in order, each until it is acknowledged, as a sidecar does; rests while `available` is not set."""

    def __init__(self, instance, path, make):
        super().__init__(daemon=True)
        self.instance, self.path, self.make = instance, path, make
        self.address = None
        self.acknowledged = 0  # batches 1 to this
        self.stopping, self.available = threading.Event(), threading.Event()

    def run(self):
        while not self.stopping.is_set():
            if not self.available.wait(0.05):
                continue
            sequence = self.acknowledged + 1
            try:
                reply = post_json(self.address, self.path, self.make(sequence), {"x-hms-batch": f"{self.instance}/1/{sequence}"})
            except (OSError, http.client.HTTPException):
                continue  # the answer is lost, the batch may be stored or not: it is sent again
            if reply.status in (200, 202):
                self.acknowledged = sequence
            elif reply.status not in (429, 503):
                raise AssertionError(reply)


def kill_under_load(begin, senders, rounds, batches, chance):
    """Begins the program `rounds` times and kills it each time after some acknowledged batches (of the range `batches`); ends the senders."""
    for sender in senders:
        sender.start()
    for _ in range(rounds):
        program = begin()
        wanted = sum(s.acknowledged for s in senders) + chance.randint(*batches)
        for sender in senders:
            sender.address = program.address("listen")
            sender.available.set()
        wait_for(lambda: sum(s.acknowledged for s in senders) >= wanted, what="batches acknowledged")
        program.kill()
        for sender in senders:
            sender.available.clear()
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join(PATIENCE)
        if sender.is_alive():
            raise AssertionError(f"{sender.instance} does not end")


class Load:
    """Callers in threads that send requests on keep-alive connections until stopped; counts statuses and failures."""

    def __init__(self, address, connections=4, make=None):
        self.address = address
        self.make = make or (lambda n: ("GET", "/", {}, None))
        self.statuses = collections.Counter()
        self.failures = []
        self.replies = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self, seed):
        connection, number = None, seed
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*split_address(self.address), timeout=PATIENCE)
                reply = send_on(connection, *self.make(number))
                number += len(self._threads)
                with self._lock:
                    self.statuses[reply.status] += 1
                    self.replies += 1
                if connection.sock is None:
                    connection = None
            except Exception as error:
                with self._lock:
                    if not self._stop.is_set():
                        self.failures.append(repr(error))
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()

    def wait_replies(self, more, at_most=PATIENCE):
        """Waits until `more` further replies have come."""
        target = self.replies + more
        wait_for(lambda: self.replies >= target or self.failures, at_most, f"{more} more replies")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.statuses

    close = stop
