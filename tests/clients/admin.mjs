// Users as an administrator sees them. The first one is made at the command line, beside the running platform.
import assert from "node:assert/strict";
import { address, admin, administrator, member, nextMail, ok, password, phone } from "./support.mjs";

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

export async function a_user_gets_another_address_number_id_and_role() {
  const [users, id] = [await administrator(), crypto.randomUUID()];
  const attributes = { id, email: address("peggy"), email_confirm: true, password };
  const made = ok(await users.createUser(attributes)).user;
  assert.equal(made.id, id);
  const email = address("peggy");
  const changed = ok(await users.updateUserById(id, { email, role: "admin" })).user;
  assert.deepEqual([changed.email, changed.role], [email, "admin"]);
  assert.equal((await users.updateUserById(id, { password })).error.code, "admin_protected");
  ok(await users.updateUserById(id, { role: "authenticated" }));
  ok(await phone().signInWithPassword({ email, password }));
}

export async function somebody_is_invited() {
  const [users, email, app] = [await administrator(), address("ivan"), phone()];
  const invited = ok(await users.inviteUserByEmail(email, { data: { team: "blue" } })).user;
  assert.ok(invited.invited_at);
  ok(await app.verifyOtp({ type: "invite", token_hash: (await nextMail(email)).hash }));
  const { user } = ok(await app.getUser());
  assert.deepEqual([user.id, user.user_metadata], [invited.id, { team: "blue" }]);
}

export async function links_of_every_kind_are_generated_and_work() {
  const [users, { app, email }] = [await administrator(), await member("olivia")];
  const signUp = ok(await users.generateLink({ type: "signup", email: address("sam"), password }));
  ok(await phone().verifyOtp({ type: "signup", token_hash: signUp.properties.hashed_token }));
  const invitation = ok(await users.generateLink({ type: "invite", email: address("sue"), options: { data: { a: 1 } } }));
  ok(await phone().verifyOtp({ type: "invite", token_hash: invitation.properties.hashed_token }));
  const redirectTo = "https://nowhere.example.org/";
  const magic = ok(await users.generateLink({ type: "magiclink", email, options: { redirectTo } }));
  assert.notEqual(magic.properties.redirect_to, redirectTo);
  assert.equal(magic.user.email, email);
  ok(await phone().verifyOtp({ type: "magiclink", token_hash: magic.properties.hashed_token }));
  const recovery = ok(await users.generateLink({ type: "recovery", email }));
  ok(await phone().verifyOtp({ type: "recovery", email, token: recovery.properties.email_otp }));
  const newEmail = address("olivia");
  const [current, next] = [
    ok(await users.generateLink({ type: "email_change_current", email, newEmail })).properties,
    ok(await users.generateLink({ type: "email_change_new", email, newEmail })).properties,
  ];
  assert.equal(current.verification_type, "email_change_current");
  ok(await app.verifyOtp({ type: "email_change", token_hash: current.hashed_token }));
  const changed = ok(await app.verifyOtp({ type: "email_change", token_hash: next.hashed_token }));
  assert.equal(changed.user.email, newEmail);
}

export async function others_are_refused() {
  const { app } = await member("walter");
  const { access_token } = ok(await app.getSession()).session;
  assert.equal((await admin({ Authorization: `Bearer ${access_token}` }).listUsers()).error.status, 403);
}
