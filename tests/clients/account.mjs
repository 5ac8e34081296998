// What a person changes of their own account.
import assert from "node:assert/strict";
import { address, nextMail, member, ok, password, phone } from "./support.mjs";

export async function data_is_merged() {
  const { app } = await member("judy");
  ok(await app.updateUser({ data: { theme: "dark" } }));
  const { user_metadata } = ok(await app.getUser()).user;
  assert.deepEqual([user_metadata.name, user_metadata.theme], ["judy", "dark"]);
}

export async function a_new_password_counts_and_the_current_one_must_be_right_if_sent() {
  const { app, email } = await member("karl");
  const wrong = await app.updateUser({ password: "a new password", current_password: "not this" });
  assert.equal(wrong.error.code, "current_password_invalid");
  const same = await app.updateUser({ password });
  assert.equal(same.error.code, "same_password");
  ok(await app.reauthenticate());
  const nonce = (await nextMail(email)).code;
  ok(await app.updateUser({ password: "a new password", nonce }));
  ok(await phone().signInWithPassword({ email, password: "a new password" }));
}

export async function an_address_changes_when_both_agree() {
  const { app, email } = await member("laura");
  const taken = await member("taken");
  assert.equal((await app.updateUser({ email: taken.email })).error.code, "email_exists");
  const next = address("laura-new");
  assert.equal(ok(await app.updateUser({ email: next })).user.new_email, next);
  await app.resend({ type: "email_change", email });
  const halfway = await app.verifyOtp({ type: "email_change", email, token: (await nextMail(email)).code });
  assert.deepEqual(halfway, { data: { session: null, user: null }, error: null });
  const { user } = ok(await app.verifyOtp({ type: "email_change", email: next, token: (await nextMail(next)).code }));
  assert.equal(user.email, next);
}

export async function the_last_identity_stays() {
  const { app } = await member("mike");
  const { identities } = ok(await app.getUserIdentities());
  assert.deepEqual(identities.map((identity) => identity.provider), ["email"]);
  assert.equal((await app.unlinkIdentity(identities[0])).error.code, "single_identity_not_deletable");
}
