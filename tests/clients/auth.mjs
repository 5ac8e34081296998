// @supabase/auth-js, unchanged, plays a person's sign-up, two sessions, a stolen refresh token and a log-out.
// usage: node auth.mjs GATEWAY_URL SIMULATORS_URL
import assert from "node:assert/strict";
import { AuthClient } from "@supabase/auth-js";

const [gateway, simulators] = process.argv.slice(2);
const email = `alice.${crypto.randomUUID().slice(0, 8)}@example.org`;
const password = crypto.randomUUID();

function phone() {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
  return new AuthClient({ url: `${gateway}/auth/v1`, storage, autoRefreshToken: false, persistSession: true });
}

async function codeFromMail() {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await fetch(`${simulators}/api/messages?channel=smtp&to=${encodeURIComponent(email)}`);
    const [mail] = (await answer.json()).items;
    if (mail) return mail.mail.text.match(/\b\d{6}\b/)[0];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail for ${email}`);
}

function ok({ data, error }) {
  assert.equal(error, null, error?.message);
  return data;
}

const android = phone();
const iphone = phone();
const played = [];
const step = (name) => played.push(name);

const signedUp = ok(await android.signUp({ email, password, options: { data: { name: "Alice" } } }));
assert.equal(signedUp.session, null);
step("signUp");

const early = await android.signInWithPassword({ email, password });
assert.equal(early.error.code, "email_not_confirmed");
step("signInWithPassword before confirmation: email_not_confirmed");

const confirmed = ok(await android.verifyOtp({ type: "signup", email, token: await codeFromMail() }));
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

for (const name of played) console.log(`  ✓ ${name}`);
console.log(`@supabase/auth-js: ${played.length} passed`);
