#!/bin/sh
# Prepares a Python and its packages, and becomes the worker's command. README.md beside this file tells the contract.
#
#   COMMAND              what to run, as a shell reads it
#   PYTHON_VERSION       like 3.12.11 or 3.12; unset or empty: the image's own
#   PYTHON_REQUIREMENTS  a requirement a line, or with `;` between them; an environment marker stays with its requirement
#
# Whatever uv reads from the environment (UV_INDEX, UV_FIND_LINKS, ...) holds too.
set -eu

# What the image has: venv/, with this software, and wheels/, with its wheel. May be written to.
image=${WORKER_IMAGE_FOLDER:-/opt/scaler}
# Where another Python's environment is made.
folder=${WORKER_FOLDER:-$HOME/worker}

# The two ends that an installation can have besides success: what was asked for is wrong; what it needs is not reached.
wrong=78
unavailable=69

child=

say() {
    printf 'worker image: %s\n' "$*"
}

# fail CODE WHAT MEND: the last line that people see of a task, so it has all of it.
fail() {
    printf 'worker image: error: %s. To do: %s.\n' "$2" "$3" >&2
    exit "$1"
}

# A shell that waits for a program in the foreground hears a signal after it; and as the first process of a container it
# does not end by one at all.
run() {
    "$@" &
    child=$!
    status=0
    wait "$child" || status=$?
    child=
    return "$status"
}

stop() {
    trap - TERM INT HUP
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" || true
    fi
    say "ended by a signal before the worker was started"
    exit $((128 + $1))
}

trap 'stop 15' TERM
trap 'stop 2' INT
trap 'stop 1' HUP

# A requirement a line. A piece behind a semicolon that begins as a marker does, with a parenthesis, a quoted word or
# a comparison, belongs to what is before it.
requirements() {
    printf '%s\n' "${PYTHON_REQUIREMENTS:-}" | awk '
        function put() { gsub(/^[ \t\r]+|[ \t\r]+$/, "", entry); if (entry != "") print entry; entry = "" }
        {
            sub(/(^|[ \t])#.*$/, "")
            count = split($0, pieces, ";")
            for (at = 1; at <= count; at++) {
                marker = pieces[at] ~ /^[ \t]*(["(\047]|[a-z_.]+[ \t]*([=!<>~]=|<|>|not[ \t]+in[ \t]|in[ \t])=?[ \t]*["\047])/
                if (marker && entry != "") { entry = entry ";" pieces[at]; continue }
                put()
                entry = pieces[at]
            }
            put()
        }'
}

# Of requirements for people: on one line, without the passwords that addresses may have.
told() {
    sed -e 's#://[^/@ ]*@#://***@#g' "$1" | awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 }'
}

[ -n "${COMMAND:-}" ] || fail "$wrong" "COMMAND is not set, so there is nothing to run" \
    "set it in the container's environment, as scaler's worker managers do"

own=$("$image/venv/bin/python" -c 'import platform; print(platform.python_version())') ||
    fail "$wrong" "$image/venv has no Python" "build the image as its README tells"
wanted=${PYTHON_VERSION:-$own}
mkdir -p "$folder"
list=$folder/requirements.txt
requirements >"$list"

case $own in
    "$wanted" | "$wanted".*)
        venv=$image/venv
        say "Python $own, the image's own"
        ;;
    *)
        venv=$folder/venv
        say "Python $wanted is made ready, for the image's own is $own"
        run uv venv --quiet --clear --python "$wanted" "$venv" || fail "$unavailable" \
            "Python $wanted (PYTHON_VERSION, --ecs-python-version) cannot be had, see uv's lines above" \
            "name a version that uv knows (uv python list), or $own, which needs no download; or give the task a route to the internet"
        # The image's own environment has this software; this one gets it from the image's wheel, if nothing else is named.
        grep -Eiq '^scaler[-_.]py([^a-z0-9._-]|$)|(^|/)scaler_py-[0-9][^/]*[.]whl' "$list" ||
            printf '%s\n' "$image"/wheels/*.whl >>"$list"
        ;;
esac

if [ -s "$list" ]; then
    say "installing $(told "$list")"
    run uv pip install --quiet --python "$venv/bin/python" --requirements "$list" || fail "$unavailable" \
        "the packages of PYTHON_REQUIREMENTS (--ecs-python-requirements) cannot be installed: $(told "$list")" \
        "see uv's lines above: correct the entry, or give the task a route to the package index"
else
    say "nothing to install"
fi

VIRTUAL_ENV=$venv
PATH=$venv/bin:$PATH
export VIRTUAL_ENV PATH
say "starting the worker"
exec sh -c "$COMMAND"
