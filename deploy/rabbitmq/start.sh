#!/bin/sh
# Puts the names and passwords of the environment into the definitions, then starts RabbitMQ as its image does. The nodes
# of a cluster know each other by the admin's password.
set -eu
umask 077

awk '
  {
    while (match($0, /@[A-Z_]+@/)) {
      name = substr($0, RSTART + 1, RLENGTH - 2)
      if (ENVIRON[name] !~ /^[A-Za-z0-9_-]+$/) {
        print name " of RabbitMQ: use letters, digits, _ and - alone" > "/dev/stderr"
        exit 2
      }
      sub("@" name "@", ENVIRON[name])
    }
    print
  }
' /opt/seamline/definitions.json > /tmp/definitions.json
cookie=/var/lib/rabbitmq/.erlang.cookie
rm -f $cookie
printf %s "$ADMIN_PASSWORD" > $cookie
chmod 400 $cookie
exec docker-entrypoint.sh rabbitmq-server
