"""A small driver for headless Chromium: opens a page, runs script in it, presses keys, moves the pointer, takes pictures.

It speaks the W3C WebDriver protocol to chromedriver over HTTP, with the standard library alone. ``with Browser() as page``
needs chromium and chromedriver; `missing` says what is not there.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Home": "\ue011",
        "End": "\ue010", "Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", " ": " "}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--hide-scrollbars", "--no-proxy-server"]


def missing() -> str:
    """What a test in the browser lacks here; "" where nothing is missing."""
    needed = {"chromium": _chromium(), "chromedriver": shutil.which("chromedriver")}
    lacking = [name for name, path in needed.items() if not path]
    return f"{' and '.join(lacking)} not found" if lacking else ""


def _chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One window."""

    def __init__(self, width=1280, height=900, dark=False):
        self.size, self.dark = (width, height), dark

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.server = subprocess.Popen([shutil.which("chromedriver"), f"--port={port}"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": self.folder.name})
        self.address, self.session = f"http://127.0.0.1:{port}", ""
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(100):
            try:
                if self.call("GET", "/status")["ready"]:
                    break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        flags = [*FLAGS, f"--user-data-dir={self.folder.name}/profile", "--window-size={},{}".format(*self.size)]
        options = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                   "goog:chromeOptions": {"args": flags, "binary": _chromium()}}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self.session = f"/session/{made['sessionId']}"
        width, height = self.size
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=width < 600)
        self.prefer(self.dark)
        return self

    def __exit__(self, *_):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.server.terminate()
            self.server.wait(10)
            self.folder.cleanup()

    def call(self, method, path, body=None):
        """One command of the protocol."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + self.session + path, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with self.opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {json.load(error)['value']['message']}") from None

    def devtools(self, command, **settings):
        """A command of Chromium's own protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": settings})

    def prefer(self, dark):
        """Ask for dark or light pages."""
        wanted = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[wanted])

    def open(self, path):
        """Open a file; what was logged before is forgotten."""
        self.call("POST", "/url", {"url": "about:blank"})
        for kind in ("browser", "performance"):
            self.call("POST", "/se/log", {"type": kind})
        self.call("POST", "/url", {"url": Path(path).resolve().as_uri()})

    def js(self, script, *args):
        """Run script in the page; return what it returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def text(self, css):
        """The text of the first element that matches."""
        return self.js("return document.querySelector(arguments[0]).textContent", css)

    def press(self, *keys):
        """Press keys, one after another."""
        actions = [{"type": kind, "value": KEYS.get(k, k)} for k in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def click(self, css):
        """Click the middle of the first element that matches."""
        self._pointer(self._find(css), 0, 0, press=True)

    def hover(self, css, across=0.5, down=0.5):
        """Move the pointer to a place in the first element that matches: 0 … 1 across and down."""
        element = self._find(css)
        width, height = self.js("const r = arguments[0].getBoundingClientRect(); return [r.width, r.height]", element)
        self._pointer(element, round((across - 0.5) * width), round((down - 0.5) * height))

    def _find(self, css):
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", css)
        return self.call("POST", "/element", {"using": "css selector", "value": css})

    def _pointer(self, element, x, y, press=False):
        actions = [{"type": "pointerMove", "duration": 0, "origin": {ELEMENT: element[ELEMENT]}, "x": x, "y": y}]
        if press:
            actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def picture(self, path):
        """Save what the window shows."""
        Path(path).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def complaints(self):
        """What the page wrote to the console as an error or a warning."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})
                if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        """Addresses that were asked for over a network."""
        entries = (json.loads(e["message"])["message"] for e in self.call("POST", "/se/log", {"type": "performance"}))
        asked = [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:"))]
