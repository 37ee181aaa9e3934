"""Serve an application with waitress, and ask it from many threads at once.

Prints what the answers were, which does not depend on who was served when.
"""

import hashlib
import http.client
import logging
import os
import signal
import sys
import threading

from waitress.server import create_server

SERVING = 8  # threads of the server
ASKING = 16  # threads that ask
ROUNDS = 25  # of requests, in each of them
PATIENCE = 120  # seconds: who waits so long waits in vain
END = 10  # seconds in which the server ends, once it is told to


class Application:
    """A WSGI application whose requests share some state."""

    def __init__(self):
        self.lock = threading.Lock()
        self.served = 0
        self.meeting = threading.Barrier(SERVING)

    def __call__(self, environ, start_response):
        with self.lock:
            self.served += 1
        kind, _, argument = environ["PATH_INFO"][1:].partition("/")
        body = getattr(self, kind)(environ, argument)
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return body

    def size(self, environ, argument):
        """Answer with so many bytes, with a length that is known."""
        return [b"x" * int(argument)]

    def echo(self, environ, argument):
        """Answer with what was posted."""
        return [environ["wsgi.input"].read()]

    def stream(self, environ, argument):
        """Answer bit by bit, in chunks: more than waitress keeps in memory for a client."""
        for number in range(int(argument)):
            yield (b"%06d," % number) * 500

    def meet(self, environ, argument):
        """Answer when all threads of the server are here."""
        self.meeting.wait(PATIENCE)
        return [b"met"]


def ask(connection, method, path, body=None):
    """Return the body of one answer."""
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise RuntimeError(f"{method} {path}: {response.status} {answer!r}")
    return answer


def client(port, number, answers):
    """Ask for one thing after the other on a connection that is kept open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for turn in range(ROUNDS):
        size = number * 1000 + turn
        posted = f"{number} says {turn}, ".encode() * size
        bodies = [
            ask(connection, "GET", f"/size/{size}"),
            ask(connection, "POST", "/echo", posted),
        ]
        assert bodies == [b"x" * size, posted], (number, turn)
        if turn % 10 == 0:
            bodies.append(ask(connection, "GET", f"/stream/{number + turn}"))
        answers += [(number, turn, body) for body in bodies]
    connection.close()


def meet(port, number, answers):
    """Ask for an answer that comes when everybody has asked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    answers.append((number, 0, ask(connection, "GET", "/meet")))
    connection.close()


def run_all(target, port, how_many):
    """Run so many clients at once; return all their answers in a fixed order."""
    answers, errors = [], []

    def run(number):
        try:
            target(port, number, answers)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(how_many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sorted(answers)


def main():
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # all are meant to be busy
    ended = threading.Event()

    def end(signum, frame):
        """End server.run()."""
        if not ended.is_set():
            sys.exit()

    signal.signal(signal.SIGTERM, end)
    application = Application()
    server = create_server(
        application, host="127.0.0.1", port=0, threads=SERVING, channel_timeout=PATIENCE
    )
    answers, met = [], []

    def ask_all():
        try:
            answers.extend(run_all(client, server.effective_port, ASKING))
            met.extend(run_all(meet, server.effective_port, SERVING))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            # Again, if the handler was called where what it raises is lost, as in a destructor.
            while not ended.wait(END):
                os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask_all)
    asking.start()
    server.run()
    ended.set()
    server.close()
    asking.join()

    digest = hashlib.sha256()
    for _number, _turn, body in answers:
        digest.update(body)
    print("requests served:", application.served)
    print("answers:", len(answers))
    print("bytes:", sum(len(body) for _number, _turn, body in answers))
    print("sha256:", digest.hexdigest())
    print("at once:", len(met))
    print("threads left:", threading.active_count() - 1)


if __name__ == "__main__":
    main()
