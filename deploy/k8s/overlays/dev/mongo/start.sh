#!/bin/sh
# A replica set of one (transactions need one). Its key must be the server's own file, readable by nobody else.
set -eu
install -m 400 /run/secrets/mongo/keyfile /tmp/keyfile
if [ "$(id -u)" = 0 ]; then chown mongodb /tmp/keyfile; fi # the image's own entry point changes to that user
exec docker-entrypoint.sh mongod --replSet mongo --keyFile /tmp/keyfile --bind_ip_all --wiredTigerCacheSizeGB 0.25
