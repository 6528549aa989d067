# Ends a throwaway PostgreSQL cluster when the processes that use it are gone.
# Arguments: cluster folder, pointer file, pg_ctl, "root" or "user".
dir=$1 pointer=$2 pg_ctl=$3 as=$4

used() {
    for file in "$dir"/users/*; do
        [ -e "$file" ] || continue
        if kill -0 "${file##*/}" 2>/dev/null; then return 0; fi
        rm -f "$file"
    done
    return 1
}

stop() {
    if [ "$as" = root ]; then
        LC_ALL=C setpriv --reuid=nobody --regid=nogroup --clear-groups "$pg_ctl" -D "$dir/pg/data" -m immediate -s stop
    else
        "$pg_ctl" -D "$dir/pg/data" -m immediate -s stop
    fi
    rm -rf "$dir"
}

trap 'rm -f "$pointer"; stop; exit 0' TERM INT
idle=0
while [ "$idle" -lt 8 ]; do
    sleep 1
    if used; then idle=0; continue; fi
    idle=$((idle + 1))
    if [ "$idle" -eq 7 ]; then
        mv "$pointer" "$dir/pointer"
    elif [ "$idle" -eq 8 ] && used; then
        mv -n "$dir/pointer" "$pointer"
        idle=0
    fi
done
stop
