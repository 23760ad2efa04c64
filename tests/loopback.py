"""OpenAI-compatible servers on the loopback address, for what asks one over real HTTP."""
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """`reply(path, headers, body)` gives status, headers and content (bytes, or what becomes JSON)."""

    def __init__(self, reply: Callable):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, content = reply(self.path, dict(self.headers), body)
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def answers_in(question: str) -> tuple[str, ...]:
    """Both answers, read as a judge would."""
    fence = question.split(" request", 1)[0]
    return tuple(part.split("\n", 1)[1].rstrip("\n") for part in question.split(fence) if part.startswith((" answer A\n", " answer B\n")))


class Judge(Loopback):
    """A judge of two answers: `decide(answer A, answer B)` gives its reply; after `limit` questions it falls silent."""

    def __init__(self, decide: Callable[[str, str], str], *, limit: int | None = None):
        self.asked, self.decide, self.limit = [], decide, limit
        super().__init__(self.replied)

    def replied(self, path: str, headers: dict, body: dict):
        self.asked.append((path, body))
        if self.limit is not None and len(self.asked) > self.limit:
            return 500, {}, b""
        sides = answers_in(body["messages"][-1]["content"])
        return 200, {}, {"choices": [{"message": {"role": "assistant", "content": self.decide(*sides) if len(sides) == 2 else "tie"}}]}
