"""Crawl a local web site with requests and urllib3 in a pool of threads.

Prints what was found, which does not depend on the order it was found in.
"""

import concurrent.futures
import contextlib
import hashlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import urllib3
from requests.adapters import HTTPAdapter

PAGES = 300
WORKERS = 16
CONNECTIONS = 6  # fewer than workers: they wait for one another
PATIENCE = 120  # seconds: who waits so long waits in vain


class Site(ThreadingHTTPServer):
    """Pages that link to one another; some are only there when asked for again."""

    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.refused = set()
        self.requests = 0
        self.connections = []

    def process_request(self, request, client_address):
        """Begin a thread for a connection."""
        self.connections.append(request)
        super().process_request(request, client_address)

    def hang_up(self):
        """End the connections; a client may keep them open until its garbage is collected."""
        for connection in self.connections:
            with contextlib.suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)

    def refuses(self, number):
        """Return whether the page is one that is not there at first."""
        with self.lock:
            self.requests += 1
            if number % 10 or number in self.refused:
                return False
            self.refused.add(number)
            return True


class Handler(BaseHTTPRequestHandler):
    """Serves a page, and a cookie with each."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = PATIENCE

    def do_GET(self):
        number = int(self.path.rpartition("/")[2])
        body = page(number)
        if self.server.refuses(number):
            self.send_response(503)
            body = b"later"
        else:
            self.send_response(200)
        self.send_header("Set-Cookie", f"page{number % 20}=seen; Path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        """Stay silent."""


def page(number):
    """Return the text of a page: it links to two further ones, and one that may be known."""
    links = [2 * number + 1, 2 * number + 2, number * 7 % PAGES]
    text = "".join(f'<a href="/page/{link}">{link}</a>\n' for link in links if link < PAGES)
    return (text + f"<p>page {number}</p>\n" * (number + 1)).encode()


def crawl(session, start):
    """Return {path: body} for all that can be reached from `start`."""
    found = {}
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        waiting = {pool.submit(session.get, start + "/page/0", timeout=PATIENCE): "/page/0"}
        known = set(waiting.values())
        while waiting:
            done, _ = concurrent.futures.wait(
                waiting, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                path, response = waiting.pop(future), future.result()
                response.raise_for_status()
                found[path] = response.content
                for link in re.findall(r'href="([^"]+)"', response.text):
                    if link not in known:
                        known.add(link)
                        job = pool.submit(session.get, start + link, timeout=PATIENCE)
                        waiting[job] = link
    return found


def lengths(manager, start, paths):
    """Return how long each page says it is."""

    def length(path):
        response = manager.request("HEAD", start + path)
        return int(response.headers["Content-Length"])

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(length, paths))


def main():
    site = Site()
    serving = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    start = f"http://127.0.0.1:{site.server_port}"
    retry = urllib3.Retry(total=5, status_forcelist=[503], backoff_factor=0)
    session = requests.Session()
    session.trust_env = False  # no proxy
    session.mount("http://", HTTPAdapter(CONNECTIONS, CONNECTIONS, retry, pool_block=True))
    manager = urllib3.PoolManager(
        maxsize=CONNECTIONS, block=True, timeout=urllib3.Timeout(PATIENCE), retries=retry
    )
    try:
        found = crawl(session, start)
        paths = sorted(found)
        told = lengths(manager, start, paths)
    finally:
        session.close()
        manager.clear()
        site.shutdown()
        serving.join()
        site.hang_up()
        site.server_close()  # waits for the connections' threads

    assert found == {f"/page/{number}": page(number) for number in range(PAGES)}
    assert told == [len(found[path]) for path in paths]
    digest = hashlib.sha256(b"".join(found[path] for path in paths))
    print("pages:", len(found))
    print("bytes:", sum(told))
    print("sha256:", digest.hexdigest())
    print("requests:", site.requests)
    print("asked for again:", len(site.refused))
    print("cookies:", sorted(session.cookies.keys()))


if __name__ == "__main__":
    main()
