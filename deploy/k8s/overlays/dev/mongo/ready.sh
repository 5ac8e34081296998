#!/bin/sh
# Ready means primary; the first call makes the replica set, under the name MONGO_ADDRESS that clients reach it by.
set -eu
mongosh --quiet --username root --password "$(cat /run/secrets/mongo/root)" --authenticationDatabase admin admin --eval '
try { rs.status() } catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({_id: "mongo", members: [{_id: 0, host: process.env.MONGO_ADDRESS}]});
}
quit(db.hello().isWritablePrimary ? 0 : 1)'
