#!/bin/sh
# Writes .env from .env.example with fresh secrets, and deploy/users.acl with the digests of Redis'
# passwords. Values that .env has stay as they are, so it may be run again after an update: it adds
# what is new.
set -eu
cd "$(dirname "$0")/.."
umask 077

fresh() { # NAME: a value for what .env.example leaves empty
    case $1 in
        BOXYARD_WEBHOOK_SECRET) echo "whsec_$(head -c 24 /dev/urandom | base64)" ;;
        BOXYARD_SECRET_KEYS) head -c 32 /dev/urandom | base64 | tr '+/' '-_' ;;
        *) od -An -N24 -tx1 /dev/urandom | tr -d ' \n' ;;
    esac
}

value_of() { # NAME: what .env says
    sed -n "s/^$1=//p" .env
}

if [ -e .env ]; then
    made="Added what was missing to .env."
    sed -n 's/^\(BOXYARD_[A-Z0-9_]*\)=$/\1/p' .env.example | while read -r name; do
        [ -n "$(value_of "$name")" ] && continue
        sed -i "/^$name=$/d" .env
        echo "$name=$(fresh "$name")" >> .env
    done
else
    made="Wrote .env. The API key is BOXYARD_API_KEY in it."
    while IFS= read -r line; do
        case $line in
            BOXYARD_*=) echo "$line$(fresh "${line%=}")" ;;
            *) echo "$line" ;;
        esac
    done < .env.example > .env.new
    mv .env.new .env
fi

# Compose ignores what no service names.
if [ -e docker-compose.yml ]; then
    sed -n 's/^\(BOXYARD_[A-Za-z0-9_]*\)=.*/\1/p' .env | while read -r name; do
        grep -q "\${$name[:}?-]" docker-compose*.yml ||
            echo "$0: .env sets $name, which docker-compose.yml does not pass on: it is mistyped," \
                "or belongs into a service's environment in docker-compose.override.yml." >&2
    done
fi

# Comments go, and a line that begins with a space joins the one before.
join='/^#/ || /^$/ { next } /^ / { printf "%s", $0; next } { printf "%s%s", end, $0; end = "\n" }
    END { print "" }'
digests=
for name in $(sed -n 's/^user.*#{\([A-Z0-9_]*\)}.*/\1/p' deploy/users.acl.template); do
    digest=$(printf %s "$(value_of "$name")" | sha256sum | cut -d ' ' -f 1)
    digests="$digests; s/#{$name}/#$digest/"
done
awk "$join" deploy/users.acl.template | sed "${digests#; }" > deploy/users.acl.new
chmod 644 deploy/users.acl.new # its reader is Valkey's own user; it holds digests alone
mv deploy/users.acl.new deploy/users.acl
echo "$made Now: docker compose up --build"
