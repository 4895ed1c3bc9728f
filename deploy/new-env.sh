#!/bin/sh
# Writes .env from .env.example with fresh secrets. An .env that is there stays as it is.
set -eu
cd "$(dirname "$0")/.."
umask 077

if [ -e .env ]; then
    echo ".env is there already; nothing was changed." >&2
    exit 1
fi
while IFS= read -r line; do
    case $line in
        BOXYARD_WEBHOOK_SECRET=) echo "${line}whsec_$(head -c 24 /dev/urandom | base64)" ;;
        BOXYARD_SECRET_KEYS=) echo "${line}$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')" ;;
        BOXYARD_*=) echo "$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
        *) echo "$line" ;;
    esac
done < .env.example > .env
echo "Wrote .env. The API key is BOXYARD_API_KEY in it; now: docker compose up --build"
