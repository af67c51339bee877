#!/bin/sh
# usage: start.sh CONFIGURATION: says who may log in, with the password of the environment, and starts Redis.
set -eu
umask 077

case $REDISCLI_AUTH in
  "" | *[!A-Za-z0-9_-]*) echo "DASHBOARD_REDIS_PASSWORD: use letters, digits, _ and - alone" >&2; exit 2 ;;
esac
{
  # No client can log in as this user, but Redis reads its log as this user: without rights it would leave out, without
  # an error, what scripts and transactions have written (redis/redis issue 14541).
  echo 'user default off ~* &* +@all'
  echo "user dashboard on >$REDISCLI_AUTH ~seamline:* &seamline:* +@all -@admin -@dangerous +info"
} >/tmp/users.acl
exec redis-server "$1"
