#!/bin/bash
# Becomes the first process of a container. Called in the pod's network namespace and in fresh mount, pid, uts and ipc namespaces
# with a file of settings: FOLDER POD_ROOT MOUNTS POD_HOSTNAME READ_ONLY USER_GROUP EXTRA_GROUPS.
set -e
. "$1"
mount --make-rprivate /
# The container's own layer is in memory: it goes with the container, and any file system may be below.
mkdir -p "$FOLDER/layer"
mount -t tmpfs -o mode=755 tmpfs "$FOLDER/layer"
root=$FOLDER/layer/root
mkdir "$FOLDER/layer/upper" "$FOLDER/layer/work" "$root"
mount -t overlay overlay -o "lowerdir=$POD_ROOT,upperdir=$FOLDER/layer/upper,workdir=$FOLDER/layer/work" "$root"
mkdir -p "$root"/{proc,sys,dev,tmp}
chmod 1777 "$root/tmp"
# Absolute links would lead the mounts below to the machine's folders.
for link in var/run var/lock; do
  if [ -L "$root/$link" ]; then
    rm -f "$root/$link"
    ln -s ../run "$root/$link"
  fi
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while IFS=$'\t' read -r source target mode; do
  if [ ! -e "$root$target" ]; then
    if [ -d "$source" ]; then
      mkdir -p "$root$target"
    else
      mkdir -p "$root${target%/*}"
      : > "$root$target"
    fi
  fi
  mount -o "bind,$mode" "$source" "$root$target"
done < "$MOUNTS"
hostname "$POD_HOSTNAME"
if [ "$READ_ONLY" = 1 ]; then mount -o remount,ro "$root"; fi
cd "$root"
# The entry script says over it that the process is inside.
exec 3> "$FOLDER/entered"
exec chroot --userspec="$USER_GROUP" --groups="$EXTRA_GROUPS" "$root" /usr/bin/env -i bash /.procklet/entry.sh
