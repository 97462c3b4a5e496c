# Runs a command for a parent process and ends it when the parent goes away, however it goes: the parent holds the other end
# of standard input. First argument: its log file; second: the signal that asks it to stop. Prints the command's pid.
log=$1
signal=$2
shift 2
exec 3<&0
"$@" >>"$log" 2>&1 </dev/null 3<&- &
child=$!
echo "$child"
(
    cat <&3 >/dev/null
    kill "-$signal" "$child" 2>/dev/null
    # Who stands still hears nothing.
    kill -CONT "$child" 2>/dev/null
) &
watcher=$!
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
