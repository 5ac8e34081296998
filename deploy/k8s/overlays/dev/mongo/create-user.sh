#!/bin/sh
# Runs once, when MongoDB's image makes its data folder: the data service's account, for its own database only.
set -eu
mongosh --quiet --username root --password "$(cat /run/secrets/mongo/root)" --authenticationDatabase admin admin --eval '
db.createUser({
  user: "data",
  pwd: require("fs").readFileSync("/run/secrets/mongo/data", "utf8"),
  roles: [{role: "readWrite", db: "data"}, {role: "dbAdmin", db: "data"}],
})'
