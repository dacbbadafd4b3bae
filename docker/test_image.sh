#!/usr/bin/env bash
# Tests the image from inside one of its containers, as root:
#
#   docker run --rm --entrypoint bash say-what-you-see:cpu /opt/course/test_image.sh
#
# With the repository mounted (--volume "$PWD:/course:ro") it executes a copy of the first notebook, otherwise a small
# notebook of its own. Everything happens in the folder of a made-up user; the mounted folder is only read.
# Exit status: the number of failed checks, or 99 if the server did not start.
# shellcheck disable=SC2317,SC2329  # functions are called by check
set -euo pipefail

learner=4321
entrypoint="$(dirname "$0")/entrypoint.sh"
healthcheck="$(dirname "$0")/healthcheck.py"
work="$(mktemp -d /tmp/image_test.XXXXXX)"
chmod 755 "$work"
export COURSE_FOLDER="$work/course" PYTHONPATH="$work/course"
log="$work/lab.log"
marker="$work/start"
passed=0 failed=0 server=""

cleanup() {
    if [ -n "$server" ]; then kill "$server" 2> /dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

check() { # check NAME COMMAND ...: one check, which passes if the command does
    local name="$1"
    shift
    if "$@" > "$work/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/       /' "$work/output"
    fi
}

equals() {
    [ "$1" = "$2" ] || { echo "expected $2, found $1"; return 1; }
}

refuses() { # refuses TEXT COMMAND ...: the command fails with this text in its message
    local text="$1" message
    shift
    if message="$("$@" 2>&1)"; then echo "it did not fail"; return 1; fi
    echo "$message"
    grep -qF -- "$text" <<< "$message"
}

as_learner() { # as_learner COMMAND ...: started through the entrypoint, as everything is
    env "${settings[@]}" bash "$entrypoint" "$@"
}
settings=(LOCAL_UID= LOCAL_GID=)

request() { # request METHOD PATH [TOKEN [BODY [HOST]]]: prints the status of the response
    python - "$@" << 'PYTHON'
import http.client
import sys

method, path, token, body, host = (sys.argv[1:] + [""] * 4)[:5]
headers = {"Host": host or "127.0.0.1:8888", "Content-Type": "application/json"}
if token:
    headers["Authorization"] = f"token {token}"
connection = http.client.HTTPConnection("127.0.0.1", 8888, timeout=30)
connection.request(method, path, body or None, headers)
print(connection.getresponse().status)
PYTHON
}

answers() { # answers STATUS METHOD PATH ...
    local status="$1"
    shift
    equals "$(request "$@")" "$status"
}

make_course() { # a copy of what is mounted, or the smallest possible course
    mkdir -p "$COURSE_FOLDER/notebooks" "$COURSE_FOLDER/build"
    if [ -e /course/say_what_you_see/__init__.py ]; then
        tar -C /course -c --exclude=__pycache__ pyproject.toml requirements.txt say_what_you_see utils tools \
            notebooks/00_start_here.ipynb | tar -C "$COURSE_FOLDER" -x
    else
        python - "$COURSE_FOLDER/notebooks/00_start_here.ipynb" << 'PYTHON'
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

code = "import keras, tensorflow\nfrom pathlib import Path\nPath('made.txt').write_text('made')\n"
code += "print('sum', float(keras.ops.sum(keras.ops.ones((6, 7)))))"
nbformat.write(new_notebook(cells=[new_code_cell(code)]), sys.argv[1])
PYTHON
    fi
    chown -R "$learner:$learner" "$COURSE_FOLDER"
}

executed_without_error() { # executed_without_error NOTEBOOK: its code cells have outputs, and none is an error
    python - "$1" << 'PYTHON'
import sys

import nbformat

cells = [cell for cell in nbformat.read(sys.argv[1], as_version=4).cells if cell.cell_type == "code"]
outputs = [output for cell in cells for output in cell.outputs]
assert outputs and all(cell.execution_count for cell in cells if cell.source.strip()), "not executed"
assert all(output.output_type != "error" for output in outputs), "a cell ended in an error"
PYTHON
}

belongs_to_learner() { # belongs_to_learner PATH: the path and everything below it
    local others
    others="$(find "$1" \( -not -uid "$learner" -o -not -gid "$learner" \) -print)"
    if [ ! -e "$1" ] || [ -n "$others" ]; then echo "not there, or not the learner's: $others"; return 1; fi
}

nothing_written_elsewhere() {
    local written
    written="$(find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /course \) -prune \
        -o -type f -newer "$marker" -print)"
    [ -z "$written" ] || { echo "$written"; return 1; }
}

is_gone() {
    local i
    for ((i = 0; i < 40; i++)); do
        kill -0 "$1" 2> /dev/null || return 0
        sleep 0.5
    done
    return 1
}

[ "$(id -u)" = 0 ] || { echo "Run this as root: it creates files that belong to another user."; exit 99; }
make_course
touch "$marker"
sleep 1

# Who it becomes
check "without LOCAL_UID it becomes the owner of the folder" equals "$(as_learner id -u)" "$learner"
settings=(LOCAL_UID=5432 LOCAL_GID=5433)
check "LOCAL_UID that cannot write is refused" refuses "set LOCAL_UID=$learner" as_learner true
chown 5432:5433 "$COURSE_FOLDER"
check "LOCAL_UID is obeyed" equals "$(as_learner id -u)" 5432
check "LOCAL_GID is obeyed" equals "$(as_learner id -g)" 5433
settings=(LOCAL_UID=me LOCAL_GID=)
check "LOCAL_UID that is not a number is refused" refuses "are numbers" as_learner true
settings=(LOCAL_UID= LOCAL_GID=)
chown 0:0 "$COURSE_FOLDER"
check "a folder that belongs to root is refused" refuses "LOCAL_UID=0" as_learner true
settings=(LOCAL_UID=0 LOCAL_GID=0)
check "LOCAL_UID=0 works as root" equals "$(as_learner id -u)" 0
settings=(LOCAL_UID= LOCAL_GID=)
chmod 777 "$COURSE_FOLDER"
check "a shared folder that everybody may write to is used as user 1000" equals "$(as_learner id -u)" 1000
chmod 755 "$COURSE_FOLDER"
echo "0 1000 1" > "$work/id_map"
check "root in rootless Docker is the learner, and stays root" \
    equals "$(COURSE_ID_MAP="$work/id_map" as_learner id -u)" 0
chown "$learner:$learner" "$COURSE_FOLDER"
mkdir "$work/empty" && chown "$learner" "$work/empty"
check "an empty folder is refused" refuses "must be mounted" env COURSE_FOLDER="$work/empty" bash "$entrypoint" true

# JupyterLab
check "the health check fails before the start" refuses "refused" python "$healthcheck"
env "${settings[@]}" bash "$entrypoint" lab > "$log" 2>&1 & # not through a function: $! must be the server itself
server=$!
for ((i = 0; i < 240; i++)); do
    if ! kill -0 "$server" 2> /dev/null || python "$healthcheck" 2> /dev/null; then break; fi
    sleep 0.5
done
if ! python "$healthcheck"; then
    cat "$log"
    echo "JupyterLab did not start."
    exit 99
fi
check "the health check passes" python "$healthcheck"
check "the log says what TensorFlow runs on" grep -E "^(CPU|GPU): .*TensorFlow" "$log"
for ((i = 0; i < 20; i++)); do
    grep -q token= "$log" && break
    sleep 0.5
done
check "the log shows an address with a random token" grep -E "^ +http://127\.0\.0\.1:8888/lab\S*\?token=[0-9a-f]{48}$" "$log"
check "the log shows no other address" equals "$(grep -c http "$log")" 1
token="$(grep -oE 'token=[0-9a-f]{48}' "$log" | head -n 1 | cut -d = -f 2)"
check "the server runs as the learner" equals "$(stat -c %u "/proc/$server")" "$learner"
check "without a token nothing can be read" answers 403 GET /api/contents
check "with a wrong token nothing can be read" answers 403 GET /api/contents wrong
check "without a token no kernel is started" answers 403 POST /api/kernels "" "{}"
check "without a token JupyterLab redirects to its login" answers 302 GET /lab
check "a request for another host's name is refused" answers 403 GET /api/contents "$token" "" evil.example
check "with the token the notebooks are listed" answers 200 GET /api/contents/notebooks "$token"
check "with the token JupyterLab opens" answers 200 GET /lab "$token"
check "a kernel starts" answers 201 POST /api/kernels "$token" "{}"
check "a file is saved" answers 201 PUT /api/contents/note.txt "$token" \
    '{"type": "file", "format": "text", "content": "kept"}'
check "the file belongs to the learner" belongs_to_learner "$COURSE_FOLDER/note.txt"

# A command
if [ -e "$COURSE_FOLDER/say_what_you_see" ]; then
    check "the command of the course is there" as_learner say-what-you-see --help
fi

# A notebook
check "a notebook executes" as_learner jupyter nbconvert --to notebook --execute --log-level=ERROR \
    --output-dir "$COURSE_FOLDER/build" --output executed.ipynb notebooks/00_start_here.ipynb
check "its cells ran without an error" executed_without_error "$COURSE_FOLDER/build/executed.ipynb"
check "everything in the folder belongs to the learner" belongs_to_learner "$COURSE_FOLDER"
check "nothing was written outside the folder and /tmp" nothing_written_elsewhere

kill "$server"
check "it stops when told to" is_gone "$server"
server=""

echo "$passed passed, $failed failed"
exit "$failed"
