"""The server behind the page: who may ask, how much, and what is never given."""

import builtins
import http.client
import io
import json
import os
import re
import socket
import webbrowser
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from demo_samples import example
from hostile_files import claiming_picture

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.page.demo import MAX_UPLOAD_BYTES, Demo
from say_what_you_see.page.examples import load_demo_model
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
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def test_who_knows_the_token_gets_the_page(server):
    status, headers, body = ask(server, f"/?token={server.token}", "GET")
    assert status == 200 and headers["Content-Type"].startswith("text/html") and b"<h1>" in body
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/\?token=[\w-]{{43}}", server.url)
    assert ask(server, "/demo.js", "GET")[2] == (PAGE_FOLDER / "demo.js").read_bytes()
    for path in ("/", "/?token=", "/?token=wrong", "/?token=%C3%A9"):
        status, _, body = ask(server, path, "GET")
        assert status == 403 and b"token" in body and b"<h1>" not in body


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""}, {"Host": "["},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Authorization": ""}, {"Authorization": "token wrong"}, {"Authorization": "token "},
], ids=str)  # fmt: skip
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
    "/../say_what_you_see/core/settings.py", "/..%2f..%2fetc/passwd", "/demo.jsx", "/api/", "/api/warm_up",
    "/index.html", "//demo.js", "/static/demo.js",
])  # fmt: skip
def test_other_paths_lead_nowhere(server, path):
    assert ask(server, path, "GET")[0] == 404
    assert ask(server, path, "POST")[0] == 400


def test_every_answer_carries_the_headers_that_keep_others_out(server):
    page = f"/?token={server.token}"
    for path, method in ((page, "GET"), ("/", "GET"), ("/demo.js", "GET"), ("/api/overview", "POST"), ("/no", "GET")):
        headers = ask(server, path, method)[1]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in headers and "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(("path", "body", "said"), [
    ("/api/add", b"no picture", "not a picture in a known format"), ("/api/add", b"", "empty"),
    ("/api/caption", b"{", "not valid JSON"), ("/api/caption", b"\xff", "not valid JSON"),
    ("/api/caption", b"[]", "not understand"), ("/api/caption", b"[" * 9000, "not valid JSON"),
    ("/api/caption", b"{}", "no longer in memory"),
    *(("/api/add", claiming_picture(kind, 60_000, 60_000), "pixels") for kind in ("PNG", "JPEG", "GIF", "BMP")),
], ids=lambda value: str(value)[:20])  # fmt: skip
def test_what_makes_no_sense_gets_a_message(server, path, body, said):
    status, headers, answer = ask(server, path, body=body)
    assert status == 400 and said in json.loads(answer)["error"]
    assert headers["Content-Type"].startswith("application/json")


def test_errors_of_our_own_show_no_details(server, monkeypatch, capfd):
    monkeypatch.setattr(server.demo, "answer", Mock(side_effect=RuntimeError("a secret of the house")))
    status, _, body = ask(server, "/api/overview")
    assert status == 500 and b"secret" not in body and b"Traceback" not in body
    assert "a secret of the house" in capfd.readouterr().err


def test_who_sends_too_much_hears_so(server):
    status, _, body = ask(server, "/api/add", body=bytes(MAX_UPLOAD_BYTES + 1))
    assert status == 413 and "20 MB" in json.loads(body)["error"]


def test_a_body_of_which_nobody_knows_the_end_is_not_read(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        lines = ["POST /api/add HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: token {server.token}"]
        connection.sendall("\r\n".join([*lines, f"Content-Length: {10**10}", "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(server, "/api/overview")[0] == 200


def test_who_connects_and_does_not_ask_is_disconnected(server, monkeypatch):
    monkeypatch.setattr("say_what_you_see.page.server.HEADER_SECONDS", 1)
    monkeypatch.setattr("say_what_you_see.page.server.MOST_CONNECTIONS", 5)
    impatient, silent = DemoServer(server.demo).start(), []
    try:
        silent = [socket.create_connection(("127.0.0.1", impatient.port), timeout=60) for _ in range(20)]
        assert all(connection.recv(100) == b"" for connection in silent)
        assert ask(impatient, "/api/overview")[0] == 200
    finally:
        impatient.stop()
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "~", "example-0\0"])
def test_no_name_from_the_browser_and_no_upload_reaches_the_file_system(server, monkeypatch, path):
    """Not as a picture, not as a model, not as a method, not in the address, not as a header."""
    assert ask(server, "/api/overview")[0] == 200  # so that everything that is read once has been read
    request, opened = {"picture": "example-0", "model": "Decoder", "method": "greedy"}, []
    for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "listdir"), (os, "scandir")):
        monkeypatch.setattr(module, name, lambda *arguments, **_: opened.append(arguments))
    for name in request:
        status, _, body = ask(server, "/api/caption", body=json.dumps({**request, name: path}).encode())
        assert status == 400 and json.loads(body)["error"]
    assert ask(server, "/api/add", body=path.encode())[0] == 400
    assert ask(server, f"/{quote(path, safe='')}", "GET")[0] == 404
    assert ask(server, f"/api/{quote(path, safe='')}")[0] == 400
    named = {"Content-Disposition": f'attachment; filename="{quote(path)}"', "X-Forwarded-Host": quote(path)}
    assert ask(server, "/api/add", body=example(6).data, **named)[0] == 200
    monkeypatch.undo()
    assert opened == []


def test_only_one_loopback_address_is_bound(server):
    with pytest.raises(OSError):  # a server on all addresses would answer at this one, too
        socket.create_connection(("127.0.0.2", server.port), timeout=2)


def test_the_command_says_where_the_page_is_and_ends_with_control_c(course_environ, monkeypatch, capsys):
    monkeypatch.setattr(webbrowser, "open", opened := Mock())

    def interrupted(server):
        status, _, body = ask(server, f"/?token={server.token}", "GET")
        assert status == 200 and b"<h1>" in body
        raise KeyboardInterrupt

    monkeypatch.setattr(DemoServer, "wait", interrupted)
    model = str(course_environ.settings.model_folder)
    assert main(["demo", "--model", model]) == 0
    [url] = re.findall(r"http://\S+", capsys.readouterr().out)
    opened.assert_called_once_with(url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(re.search(r":(\d+)/", url)[1])), timeout=5)
    assert main(["demo", "--model", model, "--no-browser"]) == 0
    opened.assert_called_once()


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(CourseError, match=f"Port {server.port} cannot be used.*--port"):
        DemoServer(server.demo, server.port).start()
