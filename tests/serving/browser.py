"""A real Chromium without a screen, spoken to over pipes: open a page, ask it, press its buttons, take its picture."""
import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

PROGRAM = next((found for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable") if (found := shutil.which(name))), None)


class Browser:
    """One page of one browser. JavaScript runs in the page as a person's console would run it."""

    def __init__(self, address: str, *, width: int = 1100, height: int = 760):
        self.profile = tempfile.mkdtemp(prefix="browser-")
        to_read, to_write = os.pipe(), os.pipe()
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "--remote-debugging-pipe", "about:blank"]

        def ends() -> None:
            """The browser reads commands at descriptor 3 and writes events at 4."""
            os.dup2(to_read[0], 253)
            os.dup2(to_write[1], 254)
            os.dup2(253, 3)
            os.dup2(254, 4)

        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=ends)
        os.close(to_read[0])
        os.close(to_write[1])
        self.into, self.out = os.fdopen(to_read[1], "wb"), os.fdopen(to_write[0], "rb", buffering=0)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)

    def call(self, method: str, **parameters) -> dict:
        """One command and its result; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        self.into.write(json.dumps(message).encode() + b"\0")
        self.into.flush()
        while True:
            found = self.next()
            if found.get("id") == self.number:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def next(self) -> dict:
        while b"\0" not in self.rest:
            block = os.read(self.out.fileno(), 1 << 20)
            assert block, "the browser has ended"
            self.rest += block
        raw, _, self.rest = self.rest.partition(b"\0")
        return json.loads(raw)

    def value(self, script: str):
        """What an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 20.0):
        """Wait for an expression to become true; returns it."""
        end = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"it never became true: {script}\n{self.value('document.body.innerText')}"
            time.sleep(0.03)
        return found

    def trouble(self) -> list[str]:
        """Exceptions of scripts, and what the page's policy or the network refused."""
        self.value("1")
        found = [event["params"]["exceptionDetails"].get("text", "") for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        return found + [event["params"]["entry"]["text"] for event in self.events if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error"]

    def asked(self) -> list[str]:
        """Every address that the page asked for."""
        return [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]

    def picture(self, path) -> bytes:
        """A picture of what is seen."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.session = None
            self.call("Browser.close")
        self.process.wait(20)
        self.into.close()
        self.out.close()
        shutil.rmtree(self.profile, ignore_errors=True)
