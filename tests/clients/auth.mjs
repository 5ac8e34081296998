// @supabase/auth-js, unchanged, plays a person's sign-up, two sessions, a stolen refresh token and a log-out.
// usage: node auth.mjs GATEWAY_URL SIMULATORS_URL
import assert from "node:assert/strict";
import { codeFromMail, ok, phone, report, someone, step } from "./support.mjs";

const { email, password } = someone("alice");
const android = phone();
const iphone = phone();

const signedUp = ok(await android.signUp({ email, password, options: { data: { name: "Alice" } } }));
assert.equal(signedUp.session, null);
step("signUp");

const early = await android.signInWithPassword({ email, password });
assert.equal(early.error.code, "email_not_confirmed");
step("signInWithPassword before confirmation: email_not_confirmed");

const confirmed = ok(await android.verifyOtp({ type: "signup", email, token: await codeFromMail(email) }));
assert.equal(confirmed.user.email, email);
step("verifyOtp");

const wrong = await iphone.signInWithPassword({ email, password: "not this one" });
assert.equal(wrong.error.code, "invalid_credentials");
step("signInWithPassword with a wrong password: invalid_credentials");

const first = ok(await iphone.signInWithPassword({ email, password })).session;
assert.equal(ok(await iphone.getUser()).user.user_metadata.name, "Alice");
step("signInWithPassword, getUser");

const { claims } = ok(await iphone.getClaims());
assert.equal(claims.sub, signedUp.user.id);
step("getClaims (verified with the JWKS)");

ok(await iphone.updateUser({ data: { name: "Alice B." } }));
assert.equal(ok(await iphone.getUser()).user.user_metadata.name, "Alice B.");
step("updateUser");

ok(await iphone.refreshSession());
ok(await iphone.refreshSession());
const thief = phone();
const stolen = await thief.refreshSession({ refresh_token: first.refresh_token });
assert.equal(stolen.error.code, "refresh_token_already_used");
const dead = await iphone.refreshSession();
assert.notEqual(dead.error, null);
step("refreshSession; a stolen token ends the session");

assert.equal((await android.signOut({ scope: "global" })).error, null);
assert.equal(ok(await android.getSession()).session, null);
step("signOut");

report("accounts and sessions");
