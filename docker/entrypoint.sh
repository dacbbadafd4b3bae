#!/usr/bin/env bash
# Becomes the user who owns the mounted folder, and starts JupyterLab ("lab", the default) or another command.
#
#   LOCAL_UID, LOCAL_GID   become this user instead of the folder's owner
#   COURSE_PORT            the port on the host, for the address that is shown
set -euo pipefail

folder="${COURSE_FOLDER:-/course}"
id_map="${COURSE_ID_MAP:-/proc/self/uid_map}" # the second name is for tests
default_user=1000
here="$(dirname "$0")"

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Rootless Docker and Podman: this root is the learner's own user outside, and has no permissions beyond theirs.
root_is_the_learner() {
    local inside outside count
    read -r inside outside count < "$id_map" || return 1
    [ "$inside" = 0 ] && [ "$outside" != 0 ] && [ "$count" != 0 ]
}

as_user() { # as_user UID GID COMMAND ...
    local user="$1" group="$2"
    shift 2
    setpriv --reuid="$user" --regid="$group" --clear-groups -- "$@"
}

can_write() { # can_write UID GID
    local probe="$folder/.can_write_$$"
    # shellcheck disable=SC2016  # the inner shell is to replace $1
    as_user "$1" "$2" sh -c ': > "$1" && rm -f "$1"' sh "$probe" 2> /dev/null
}

# Prints "UID GID": the user to become.
choose_user() {
    local owner group
    read -r owner group < <(stat -c '%u %g' "$folder")
    if [ -n "${LOCAL_UID:-}" ]; then
        case "$LOCAL_UID${LOCAL_GID:-}" in
            *[!0-9]*) fail "LOCAL_UID and LOCAL_GID are numbers, as \`id -u\` and \`id -g\` print them." ;;
        esac
        echo "$LOCAL_UID ${LOCAL_GID:-$group}"
    elif root_is_the_learner || [ "$owner" != 0 ]; then
        echo "$owner $group"
    elif can_write "$default_user" "$default_user"; then
        # Docker Desktop shows shared folders as root's, lets everybody write to them, and gives files to the learner.
        echo "$default_user $default_user"
    else
        fail "$folder belongs to root, and the course does not run as root unless you ask for it." \
            "Give the folder to your own user (sudo chown -R \"\$USER\" .), or, if you do work as root, start with" \
            "    LOCAL_UID=0 docker compose -f docker/compose.yaml --profile ${COURSE_DEVICE:-cpu} up"
    fi
}

# Says where to go once there is something to see.
announce() { # announce ADDRESS
    local i
    for ((i = 0; i < 120; i++)); do
        if python "$here/healthcheck.py" 2> "$HOME/healthcheck.log"; then
            printf '\nThe course is ready. Open this address in your browser:\n\n    %s\n\n' "$1"
            printf 'To stop it, press Ctrl-C here. What you do is kept in the folder of the course.\n\n'
            return
        fi
        sleep 1
    done
}

start_lab() {
    # New at each start. JupyterLab takes it from this variable, and then does not print its own addresses, which would
    # name the container and a port that need not be the host's.
    JUPYTER_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(24))')"
    export JUPYTER_TOKEN
    announce "http://127.0.0.1:${COURSE_PORT:-8888}/lab/tree/notebooks/00_start_here.ipynb?token=$JUPYTER_TOKEN" &
    # 0.0.0.0 applies inside the container only: compose.yaml publishes the port on the host's 127.0.0.1, and requests
    # that name another host are refused.
    exec python -m jupyterlab --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.port_retries=0 --log-level=WARN \
        --ServerApp.root_dir="$folder" --ServerApp.allow_remote_access=False --ServerApp.quit_button=False "$@"
}

if [ "$(id -u)" = 0 ] && [ -z "${COURSE_AS_ROOT:-}" ]; then
    chosen="$(choose_user)"
    read -r user group <<< "$chosen"
    if [ "$user" != 0 ]; then
        exec setpriv --reuid="$user" --regid="$group" --clear-groups -- bash "$0" "$@"
    fi
    export COURSE_AS_ROOT=1 # rootless Docker, or LOCAL_UID=0
fi

# From here on it runs as the learner.
[ -e "$folder/notebooks/00_start_here.ipynb" ] || fail \
    "The course is not at $folder: the folder of the repository must be mounted there." \
    "In that folder, run: docker compose -f docker/compose.yaml --profile ${COURSE_DEVICE:-cpu} up"
probe="$folder/.can_write_$$"
(: > "$probe") 2> /dev/null || fail \
    "User $(id -u) cannot write to the mounted folder, which belongs to user $(stat -c %u "$folder")." \
    "Leave out LOCAL_UID and --user, or set LOCAL_UID=$(stat -c %u "$folder")."
rm -f "$probe"

# The user need not exist in the image, and the image may be read-only: what programs save at home goes to /tmp.
HOME="$(mktemp -d /tmp/home.XXXXXX)"
export HOME USER=learner LOGNAME=learner COURSE_START="$folder"
cd "$folder"

if [ "${1:-lab}" = lab ]; then
    shift || true
    printf 'Files that you make will belong to user %s, group %s.\n' "$(id -u)" "$(id -g)"
    # TensorFlow prints many messages, which are of use only if it fails
    if ! python "$here/say_device.py" 2> "$HOME/tensorflow.log"; then
        cat "$HOME/tensorflow.log" >&2
        fail "TensorFlow does not start on this computer. It needs a processor with AVX and 4 GB of memory."
    fi
    [ -z "${COURSE_AS_ROOT:-}" ] || set -- --allow-root "$@"
    start_lab "$@"
fi
exec "$@"
