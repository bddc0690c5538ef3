#!/bin/sh
# Boots a host in control groups of its own, again after each reboot: boot.sh GROUP NSPAWN ARGS…
# The end of the host is the end of this script, with the same exit code.
group=$1
shift
joined=
for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  if [ -e "$root/cgroup.procs" ]; then
    mkdir -p "$root/$group"
    joined="$joined $root/$group"
  fi
done
while :; do
  (
    for folder in $joined; do echo 0 > "$folder/cgroup.procs"; done
    # A view of control groups that every systemd takes.
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec "$@"
  )
  code=$?
  # Said by nspawn when the host reboots.
  [ "$code" = 133 ] || exit "$code"
done
