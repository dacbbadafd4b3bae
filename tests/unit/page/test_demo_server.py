"""The server behind the page: who may ask, how much, and what is never given."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sys
from urllib.parse import quote

import pytest
from demo_samples import example
from hostile_files import claiming_picture

from say_what_you_see.commands import demo as cli_demo
from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.page.core import MAX_UPLOAD_BYTES, Demo, load_demo_model
from say_what_you_see.page.server import PAGE_FOLDER, DemoServer


@pytest.fixture(scope="module")
def server(finished_course):
    settings = finished_course.settings
    demo = Demo([load_demo_model("Decoder", settings.model_folder, settings)], [example(0)])
    running = DemoServer(demo).start()
    yield running
    running.stop()


def ask(server: DemoServer, path: str, method: str = "POST", body: bytes = b"", **headers: str):
    """Status, headers and body of an answer; Host and token are right where nothing else is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    given = {"Host": f"127.0.0.1:{server.port}", "Authorization": f"token {server.token}"} | headers
    for name, value in {**given, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_who_knows_the_token_gets_the_page(server):
    status, headers, body = ask(server, f"/?token={server.token}", "GET")
    assert status == 200 and headers["Content-Type"].startswith("text/html") and b"<h1>" in body
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/\?token=[\w-]{{43}}", server.url)
    for path in ("/", "/?token=", "/?token=wrong", "/?token=%C3%A9"):
        status, _, body = ask(server, path, "GET")
        assert status == 403 and b"token" in body and b"<h1>" not in body


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Authorization": ""}, {"Authorization": "token wrong"}, {"Authorization": "token "},
])  # fmt: skip
def test_strangers_get_nothing(server, headers):
    status, _, body = ask(server, "/api/overview", **headers)
    assert status in (400, 403) and b"thumbnail" not in body
    if "Authorization" not in headers:  # the page itself asks for the token in its address
        assert ask(server, f"/?token={server.token}", "GET", **headers)[0] in (400, 403)


def test_the_own_page_is_answered_also_through_a_tunnel(server):
    for host in (f"127.0.0.1:{server.port}", "localhost:9999", "[::1]:9999"):
        status, _, body = ask(server, "/api/overview", Host=host, Origin=f"http://{host}")
        assert status == 200 and json.loads(body)["models"]


@pytest.mark.parametrize("path", [
    "/../say_what_you_see/core/settings.py", "/..%2f..%2fetc/passwd", "/page/demo.js", "/demo.jsx", "/demoXjs", "/widget.js", "/api/",
    "/api/warm_up", "/index.html", "//demo.js", "/static/demo.js",
])  # fmt: skip
def test_other_paths_lead_nowhere(server, path):
    for method in ("GET", "POST"):
        assert ask(server, path, method)[0] == 404


def test_only_what_is_meant_to_be_read_is_read_and_only_what_is_meant_to_be_sent_is_sent(server):
    assert ask(server, "/api/overview", "GET")[0] == 405
    assert ask(server, f"/?token={server.token}", "POST")[0] == 405
    assert ask(server, "/demo.js", "GET")[2] == (PAGE_FOLDER / "demo.js").read_bytes()


def test_every_answer_carries_the_headers_that_keep_others_out(server):
    page = f"/?token={server.token}"
    for path, method in ((page, "GET"), ("/", "GET"), ("/demo.js", "GET"), ("/api/overview", "POST"), ("/no", "GET")):
        headers = ask(server, path, method)[1]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        assert "Server" not in headers and "Access-Control-Allow-Origin" not in headers


def test_a_picture_is_captioned(server):
    status, _, body = ask(server, "/api/add", body=example(4).data)
    assert status == 200
    wish = {"picture": json.loads(body)["id"], "model": "Decoder", "method": "beam", "beams": 2}
    status, _, body = ask(server, "/api/caption", body=json.dumps(wish).encode())
    assert status == 200 and len(json.loads(body)["captions"]) == 2


@pytest.mark.parametrize(("path", "body", "status", "said"), [
    ("/api/add", b"no picture", 400, "no picture of a known format"), ("/api/add", b"", 400, "empty"),
    ("/api/caption", b"{", 400, "no JSON"), ("/api/caption", b"\xff", 400, "no JSON"),
    ("/api/caption", b"[]", 400, "no wish"), ("/api/caption", b"[" * 9000, 400, "no JSON"),
    ("/api/caption", b"{}", 400, "no longer in memory"),
    ("/api/caption", b'"' + b"x" * 10_000 + b'"', 413, "too much"),
])  # fmt: skip
def test_what_makes_no_sense_gets_a_message(server, path, body, status, said):
    found, headers, answer = ask(server, path, body=body)
    assert found == status and said in json.loads(answer)["error"]
    assert headers["Content-Type"].startswith("application/json")


def test_errors_of_our_own_show_no_details(server, monkeypatch, capfd):
    def fail(*_):
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(server.demo, "answer", fail)
    status, _, body = ask(server, "/api/overview")
    assert status == 500 and b"secret" not in body and b"Traceback" not in body
    assert "a secret of the house" in capfd.readouterr().err


def test_a_body_that_is_too_large_is_not_read(server):
    for claim in (f"Content-Length: {MAX_UPLOAD_BYTES + 1}", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            lines = ["POST /api/add HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: token {server.token}"]
            connection.sendall("\r\n".join([*lines, claim, "", ""]).encode())
            if "chunked" in claim:
                connection.sendall(f"{MAX_UPLOAD_BYTES + 1:x}\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(server, "/api/overview")[0] == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Authorization": ""}]
)
def test_strangers_are_refused_before_they_have_sent_anything(server, headers):
    """A page from elsewhere could send any number of large bodies; nobody waits for them."""
    given = {"Host": f"127.0.0.1:{server.port}", "Authorization": f"token {server.token}", **headers}
    for kind in ("image/png", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
        lines = [f"{name}: {value}" for name, value in {**given, "Content-Type": kind}.items()]
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            request = ["POST /api/add HTTP/1.1", *lines, f"Content-Length: {MAX_UPLOAD_BYTES}", "", ""]
            connection.sendall("\r\n".join(request).encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 403")


def test_a_form_is_not_taken_apart(server):
    """What a form on a page elsewhere can send is never a wish, even with the token."""
    status, _, body = ask(server, "/api/caption", body=b"picture=example-0", **{
        "Content-Type": "application/x-www-form-urlencoded"
    })  # fmt: skip
    assert status == 400 and "no JSON" in json.loads(body)["error"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_picture_of_too_many_pixels_is_not_decoded(server, kind):
    status, _, body = ask(server, "/api/add", body=claiming_picture(kind, 60_000, 60_000))
    assert status == 400 and "pixels" in json.loads(body)["error"]


PATHS = [
    "/etc/passwd",
    "../../etc/passwd",
    "file:///etc/passwd",
    "..\\..\\secret.png",
    "data/scene_model",
    "~",
    "example-0\0",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_name_from_the_browser_reaches_the_file_system(server, path):
    """Not as a picture, not as a model, not as a way, not in the address, not as a header."""
    assert ask(server, "/api/overview")[0] == 200  # so that everything that is read once has been read
    opened, watching = [], [True]

    def watch(event: str, details: tuple) -> None:
        if watching and event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove"):
            opened.append(str(details[0]))

    wish = {"picture": "example-0", "model": "Decoder", "method": "greedy"}
    sys.addaudithook(watch)  # it cannot be taken away again
    try:
        with open(os.devnull):
            pass
        for name in wish:
            status, _, body = ask(server, "/api/caption", body=json.dumps({**wish, name: path}).encode())
            assert status == 400 and json.loads(body)["error"]
        assert ask(server, "/api/add", body=path.encode())[0] == 400
        assert ask(server, f"/{quote(path, safe='')}", "GET")[0] == 404
        assert ask(server, f"/api/{quote(path, safe='')}")[0] == 404
        named = {"Content-Disposition": f'attachment; filename="{quote(path)}"', "X-Forwarded-Host": quote(path)}
        assert ask(server, "/api/add", body=example(6).data, **named)[0] == 200
    finally:
        watching.clear()
    assert opened == [os.devnull], "the watch works, and nothing else was opened"


def test_only_one_loopback_address_is_bound(server):
    with pytest.raises(OSError):  # a server on all addresses would answer at this one, too
        socket.create_connection(("127.0.0.2", server.port), timeout=2)


def test_uploads_leave_no_file(server):
    written, watching = [], [True]

    def watch(event: str, details: tuple) -> None:
        if event == "open" and watching and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(details[0])

    sys.addaudithook(watch)  # it sees every file that the process opens, and cannot be taken away again
    try:
        with open(os.devnull, "w"):
            assert written == [os.devnull], "the watch works"
        assert ask(server, "/api/add", body=example(5).data)[0] == 200
        assert ask(server, "/api/add", body=b"no picture")[0] == 400
    finally:
        watching.clear()
    assert written == [os.devnull]


# The command


def test_the_command_says_where_the_page_is_and_ends_with_control_c(course_environ, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(cli_demo.webbrowser, "open", opened.append)

    def interrupted(server):
        status, _, body = ask(server, f"/?token={server.token}", "GET")
        assert status == 200 and b"<h1>" in body
        raise KeyboardInterrupt

    monkeypatch.setattr(DemoServer, "wait", interrupted)
    model = str(course_environ.settings.model_folder)
    assert main(["demo", "--model", model]) == 0
    [url] = re.findall(r"http://\S+", capsys.readouterr().out)
    assert opened == [url]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(re.search(r":(\d+)/", url)[1])), timeout=5)
    assert main(["demo", "--model", model, "--no-browser"]) == 0 and len(opened) == 1


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(CourseError, match=f"Port {server.port} cannot be had.*--port"):
        DemoServer(server.demo, server.port).start()
