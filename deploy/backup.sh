#!/bin/sh
# Keeps what a running stack holds: deploy/backup.sh JOBS BLOBS TARGET writes TARGET/jobs.tar and then
# TARGET/blobs.tar. JOBS is the folder that has Redis' appendonlydir, BLOBS the blob store's. Wants GNU tar.
set -eu
jobs=$1 blobs=$2 target=$3
umask 077
mkdir "$target"

pack() { # FOLDER NAME: an S3 server may keep a part of an object in extended attributes
    # 1 is tar's word for a file that grew or went meanwhile; drafts do that.
    tar -C "$1" --xattrs --numeric-owner --exclude=./.unfinished -cf "$target/$2.tar" . || [ $? -eq 1 ]
}

manifest() { # what belongs together: Redis names other files here once it rewrites
    cat "$jobs/appendonlydir/appendonly.aof.manifest"
}

while :; do
    before=$(manifest)
    pack "$jobs" jobs
    [ "$before" = "$(manifest)" ] && break
done
pack "$blobs" blobs # after the jobs, so that what they name is here
