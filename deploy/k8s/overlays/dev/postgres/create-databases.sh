#!/bin/sh
# Runs once, when PostgreSQL's image makes its data folder: a role and a database for each service, which no other may enter.
set -eu
for role in auth profile notify; do
    password=$(cat "/run/secrets/postgres/$role")
    psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres -v role="$role" -v password="$password" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE CONNECT ON DATABASE :"role" FROM PUBLIC;
SQL
done
# Auth's database belongs to a role that only its `migrate` logs in as: the service cannot change its own audit log.
password=$(cat /run/secrets/postgres/auth_owner)
psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres -v password="$password" <<'SQL'
CREATE ROLE auth_owner LOGIN PASSWORD :'password';
GRANT auth TO auth_owner;
ALTER DATABASE auth OWNER TO auth_owner;
GRANT CONNECT ON DATABASE auth TO auth;
SQL
