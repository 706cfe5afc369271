# Runs a server for as long as a process holds the other end of standard input, then stops it.
# Arguments: the steps of an orderly stop, as SIGNAL:TENTHS-OF-A-SECOND, then the server's command line.
# Standard output gets one line, the server's process id; standard error is the server's log. Ends, with
# the server's status, when the server does.
umask 077
steps=$1
shift
exec 3<&0 </dev/null
"$@" >&2 3<&- &
server=$!
echo "$server"
exec >&2
{
    # A line is a request to stop; the end of the file is an owner that died.
    read -r _ <&3
    # A stopped process hears nothing but this.
    kill -CONT "$server"
    for step in $steps; do
        left=${step#*:}
        # Sent again and again: a server that is just starting still ignores its signals.
        while [ "$left" -gt 0 ] && kill "-${step%:*}" "$server"; do
            left=$((left - 1))
            sleep 0.1
        done
    done
} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher"
exit "$status"
