// Users as an administrator sees them. The first one is made at the command line, beside the running platform.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { address, admin, member, ok, password, phone } from "./support.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const python = `${root}.venv/bin/python`;

async function administrator() {
  const person = await member("root");
  execFileSync(python, ["-m", "deploy.local", "run", "auth", python, "-m", "services.auth", "admin", "grant", person.email], {
    cwd: root,
  });
  const { session } = ok(await person.app.refreshSession());
  return admin({ Authorization: `Bearer ${session.access_token}` });
}

export async function an_administrator_makes_finds_changes_and_deletes_a_user() {
  const [users, email] = [await administrator(), address("trudy")];
  const made = ok(await users.createUser({ email, password, email_confirm: true, user_metadata: { name: "Trudy" } })).user;
  assert.equal(ok(await users.getUserById(made.id)).user.email, email);
  assert.ok(ok(await users.listUsers({ page: 1, perPage: 50 })).users.some(({ id }) => id === made.id));
  const changed = ok(await users.updateUserById(made.id, { app_metadata: { plan: "pro" } })).user;
  assert.equal(changed.app_metadata.plan, "pro");
  ok(await phone().signInWithPassword({ email, password }));
  ok(await users.deleteUser(made.id));
  assert.equal((await phone().signInWithPassword({ email, password })).error.code, "invalid_credentials");
}

export async function a_banned_user_is_out_until_the_ban_ends() {
  const [users, { app, email }] = [await administrator(), await member("victor")];
  const { id } = ok(await app.getUser()).user;
  ok(await users.updateUserById(id, { ban_duration: "24h" }));
  assert.equal((await phone().signInWithPassword({ email, password })).error.code, "user_banned");
  ok(await users.updateUserById(id, { ban_duration: "none" }));
  ok(await phone().signInWithPassword({ email, password }));
}

export async function others_are_refused() {
  const { app } = await member("walter");
  const { access_token } = ok(await app.getSession()).session;
  assert.equal((await admin({ Authorization: `Bearer ${access_token}` }).listUsers()).error.status, 403);
}
