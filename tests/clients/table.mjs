// The table of docs/auth-clients.md names every public method of the library, and what it calls driven was driven.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { AuthClient, GoTrueAdminApi } from "@supabase/auth-js";

const GROUPS = ["mfa", "mfa.recoveryCodes", "mfa.webauthn", "passkey", "oauth", "customProviders"];

function hidden(file) {
  const url = import.meta.resolve("@supabase/auth-js").replace(/dist\/.*$/, `dist/main/${file}.d.ts`);
  return new Set([...readFileSync(new URL(url), "utf8").matchAll(/(?:private|protected) (\w+)/g)].map((found) => found[1]));
}

function methodsOf(object, prefix, file) {
  const privates = file ? hidden(file) : new Set();
  const made = Object.getPrototypeOf(object);
  const named = [...Object.keys(object), ...(made === Object.prototype ? [] : Object.getOwnPropertyNames(made))];
  return named
    .filter((name) => typeof object[name] === "function" && name !== "constructor")
    .filter((name) => !name.startsWith("_") && !privates.has(name) && !["fetch", "lock", "logger", "debug"].includes(name))
    .map((name) => prefix + name);
}

function methodsOfAll(object, prefix, file) {
  const groups = GROUPS.flatMap((group) => {
    const found = group.split(".").reduce((inner, name) => inner?.[name], object);
    return found ? methodsOf(found, `${prefix}${group}.`) : [];
  });
  return [...methodsOf(object, prefix, file), ...groups];
}

export function checkTable(driven) {
  const client = new AuthClient({ url: "http://127.0.0.1:1", autoRefreshToken: false, persistSession: false });
  const admin = new GoTrueAdminApi({ url: "http://127.0.0.1:1" });
  const known = new Set([
    ...methodsOfAll(client, "", "GoTrueClient"),
    ...methodsOfAll(admin, "admin.", "GoTrueAdminApi"),
  ]);
  const text = readFileSync(new URL("../../docs/auth-clients.md", import.meta.url), "utf8");
  const rows = new Map();
  for (const [, names, offered] of text.matchAll(/^\| (`[^|]+`) \| (yes|within|no) \|/gm)) {
    for (const [, name] of names.matchAll(/`([\w.]+)`/g)) rows.set(name, offered);
  }
  const missing = [...known].filter((name) => !rows.has(name));
  const unknown = [...rows.keys()].filter((name) => !known.has(name));
  const idle = [...rows].filter(([name, offered]) => offered === "yes" && !driven.has(name)).map(([name]) => name);
  assert.deepEqual({ missing, unknown, idle }, { missing: [], unknown: [], idle: [] });
}
