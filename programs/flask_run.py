"""Run `flask run` on this file as a child process, ask it from many threads, and end it.

Prints what the answers were, which does not depend on who was served when.
"""

import collections
import concurrent.futures
import hashlib
import re
import signal
import subprocess
import sys
import threading

import flask
import urllib3

ASKING = 12
REQUESTS = 300
PATIENCE = 120  # seconds: who waits so long waits in vain

app = flask.Flask(__name__)
meeting = threading.Barrier(ASKING)
lock = threading.Lock()
seen = collections.Counter()


@app.route("/square/<int:number>", methods=["POST"])
def square(number):
    with lock:
        seen[number] += 1
    return flask.jsonify(number=number, square=number * number, sent=flask.request.form["text"])


@app.route("/meet")
def meet():
    """Answer when all are here."""
    meeting.wait(PATIENCE)
    return "met"


@app.route("/seen")
def report():
    """Tell how many numbers were asked for, and how often."""
    with lock:
        return flask.jsonify(numbers=len(seen), times=sum(seen.values()))


class Server:
    """`flask run` in a process of its own; ended by Ctrl-C, as one does it."""

    def __init__(self):
        command = [sys.executable, "-m", "flask", "--app", __file__, "run", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--no-reload", "--with-threads"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            match = re.search(r"Running on (http://[\d.:]+)", line)
            if match:
                self.url = match[1]
                break
        else:
            raise RuntimeError("flask does not run:\n" + "".join(self.log))
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,))
        self.reader.start()

    def end(self):
        """End it; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.reader.join()
            self.process.stderr.close()


def main():
    server = Server()
    http = urllib3.PoolManager(
        maxsize=ASKING, block=True, timeout=urllib3.Timeout(PATIENCE), retries=False
    )

    def get(path):
        return http.request("GET", server.url + path).data

    def post(number):
        fields = {"text": f"text {number} " * number}
        answer = http.request("POST", f"{server.url}/square/{number}", fields=fields)
        return answer.data

    try:
        with concurrent.futures.ThreadPoolExecutor(ASKING) as pool:
            met = list(pool.map(get, ["/meet"] * ASKING))
            answers = list(pool.map(post, range(REQUESTS)))
        told = get("/seen")
    finally:
        http.clear()
        code = server.end()

    complaints = [line for line in server.log if "Traceback" in line or "Exception" in line]
    print("".join(server.log) if complaints or code else "", end="", file=sys.stderr)
    print("at once:", met.count(b"met"))
    print("answers:", len(answers))
    print("sha256:", hashlib.sha256(b"".join(answers)).hexdigest())
    print("the server says:", told.decode().strip())
    print("logged:", sum("/square/" in line for line in server.log))
    print("the server's exit code:", code)


if __name__ == "__main__":
    main()
