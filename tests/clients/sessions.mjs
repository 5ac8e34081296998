// Signing up, logging in, and the life of a session.
import assert from "node:assert/strict";
import { address, admin, nextMail, member, ok, password, phone } from "./support.mjs";

export async function a_person_signs_up_confirms_and_is_in() {
  const [app, email] = [phone(), address("alice")];
  assert.equal(ok(await app.signUp({ email, password, options: { data: { name: "Alice" }, captchaToken: "of no use here" } })).session, null);
  assert.equal((await app.signInWithPassword({ email, password })).error.code, "email_not_confirmed");
  const confirmed = ok(await app.verifyOtp({ type: "signup", email, token: (await nextMail(email)).code }));
  assert.equal(confirmed.user.user_metadata.name, "Alice");
  assert.equal((await phone().signInWithPassword({ email, password: "not this one" })).error.code, "invalid_credentials");
}

export async function a_second_phone_logs_in_and_its_token_is_verified_with_the_public_keys() {
  const { email } = await member("bob");
  const app = phone();
  const seen = [];
  const { data } = app.onAuthStateChange((event) => void seen.push(event));
  ok(await app.initialize());
  const { user } = ok(await app.signInWithPassword({ email, password }));
  assert.equal(ok(await app.getUser()).user.id, user.id);
  assert.equal(ok(await app.getClaims()).claims.sub, user.id);
  assert.ok(seen.includes("SIGNED_IN"));
  data.subscription.unsubscribe();
}

export async function a_stolen_refresh_token_ends_the_session() {
  const { app } = await member("carol");
  const first = ok(await app.getSession()).session;
  ok(await app.refreshSession());
  ok(await app.refreshSession());
  const stolen = await phone().refreshSession({ refresh_token: first.refresh_token });
  assert.equal(stolen.error.code, "refresh_token_already_used");
  assert.notEqual((await app.refreshSession()).error, null);
}

export async function a_session_is_taken_over_from_elsewhere_and_refreshed_in_the_background() {
  const { app } = await member("dave");
  const { access_token, refresh_token } = ok(await app.getSession()).session;
  const other = phone();
  ok(await other.setSession({ access_token, refresh_token }));
  assert.equal(ok(await other.getUser()).user.email, ok(await app.getUser()).user.email);
  await other.startAutoRefresh();
  await other.stopAutoRefresh();
  await other.dispose();
}

export async function logging_out_here_elsewhere_or_everywhere() {
  const { app, email } = await member("erin");
  const [second, third] = [phone(), phone()];
  ok(await second.signInWithPassword({ email, password }));
  ok(await third.signInWithPassword({ email, password }));
  assert.equal((await third.signOut({ scope: "local" })).error, null);
  assert.equal((await app.signOut({ scope: "others" })).error, null);
  assert.notEqual((await second.refreshSession()).error, null);
  ok(await app.getUser());
  assert.equal((await app.signOut({ scope: "global" })).error, null);
  assert.equal(ok(await app.getSession()).session, null);
}

export async function a_server_ends_the_sessions_of_a_person_whose_token_it_was_sent() {
  const { app } = await member("faythe");
  const { access_token } = ok(await app.getSession()).session;
  assert.equal(app.isThrowOnErrorEnabled(), false);
  assert.equal((await admin().signOut(access_token, "global")).error, null);
  assert.notEqual((await app.refreshSession()).error, null);
}
