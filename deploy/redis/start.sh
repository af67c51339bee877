#!/bin/sh
# usage: start.sh CONFIGURATION: says who may log in, with the password of the environment, and starts Redis.
set -eu
umask 077

case $REDISCLI_AUTH in
  "" | *[!A-Za-z0-9_-]*) echo "DASHBOARD_REDIS_PASSWORD: use letters, digits, _ and - alone" >&2; exit 2 ;;
esac
{
  echo 'user default off'
  echo "user dashboard on >$REDISCLI_AUTH ~seamline:* &seamline:* +@all -@admin -@dangerous +info"
} >/tmp/users.acl
exec redis-server "$1"
