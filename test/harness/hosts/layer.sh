#!/bin/sh
# Lays a host's own files, and a layer in memory for what it writes, over a tree that stays as it is: layer.sh FOLDER FILES TREE
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root" "$1/engine"
mount -t overlay overlay -o "lowerdir=$2:$3,upperdir=$1/upper,workdir=$1/work" "$1/root"
