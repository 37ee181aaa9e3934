"""Run Flask's development server, one thread for each request, and ask it from many threads.

Prints what the answers were, which does not depend on who was served when.
"""

import concurrent.futures
import hashlib
import logging
import threading

import flask
import requests
from werkzeug.serving import make_server

ASKING = 12
TURNS = 8
PATIENCE = 120  # seconds: who waits so long waits in vain

app = flask.Flask(__name__)
app.secret_key = "not secret"
meeting = threading.Barrier(ASKING)
lock = threading.Lock()
totals = {"requests": 0}


@app.before_request
def count_request():
    with lock:
        totals["requests"] += 1
    flask.g.who = flask.request.args.get("who", "nobody")


@app.route("/hello")
def hello():
    return flask.render_template_string("Hello {{ g.who }}, {{ 'again ' * n }}", n=3)


@app.route("/visits")
def visits():
    """Count the visits in the visitor's own cookie."""
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return flask.jsonify(who=flask.g.who, visits=flask.session["visits"])


@app.route("/stream/<int:lines>")
def stream(lines):
    """Answer while it is being made, with what belongs to this request alone."""

    @flask.stream_with_context
    def generate():
        for number in range(lines):
            yield f"{number}: {flask.g.who} {flask.request.path}\n"

    return flask.Response(generate(), mimetype="text/plain")


@app.route("/meet")
def meet():
    """Answer when all are here."""
    meeting.wait(PATIENCE)
    return f"{flask.g.who} met the others"


def visit(url, who):
    """Be one visitor; return all that he is told."""
    told = []
    with requests.Session() as session:
        session.trust_env = False  # no proxy

        def get(path):
            response = session.get(url + path, params={"who": who}, timeout=PATIENCE)
            response.raise_for_status()
            told.append(response.text)
            return response

        get("/meet")
        for turn in range(1, TURNS + 1):
            get("/hello")
            assert get("/visits").json() == {"who": who, "visits": turn}
            get(f"/stream/{turn}")
    return told


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = False  # so that server_close() waits for them
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with concurrent.futures.ThreadPoolExecutor(ASKING) as pool:
            told = list(pool.map(visit, [url] * ASKING, [f"visitor {n}" for n in range(ASKING)]))
    finally:
        server.shutdown()
        serving.join()
        server.server_close()  # waits for the requests' threads

    texts = [text for texts in told for text in texts]
    print("answers:", len(texts))
    print("bytes:", sum(map(len, texts)))
    print("sha256:", hashlib.sha256("".join(texts).encode()).hexdigest())
    print("requests:", totals["requests"])


if __name__ == "__main__":
    main()
