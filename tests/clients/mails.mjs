// What comes by mail: log-in, recovery, and links with both flows.
import assert from "node:assert/strict";
import { address, gateway, nextMail, member, ok, password, phone, press } from "./support.mjs";

export async function a_code_logs_somebody_in_who_was_not_there_before() {
  const [app, email] = [phone(), address("new")];
  ok(await app.signInWithOtp({ email, options: { data: { name: "New" } } }));
  const { user } = ok(await app.verifyOtp({ type: "email", email, token: (await nextMail(email)).code }));
  assert.equal(user.user_metadata.name, "New");
}

export async function an_unknown_address_is_not_told_from_a_known_one() {
  const { email } = await member("known");
  for (const to of [email, address("unknown")]) {
    ok(await phone().signInWithOtp({ email: to, options: { shouldCreateUser: false, captchaToken: "of no use here" } }));
    ok(await phone().resetPasswordForEmail(to));
    ok(await phone().resend({ type: "signup", email: to }));
  }
}

export async function a_forgotten_password_is_set_anew() {
  const { email } = await member("frank");
  const app = phone();
  const seen = [];
  app.onAuthStateChange((event) => void seen.push(event));
  ok(await app.resetPasswordForEmail(email));
  ok(await app.verifyOtp({ type: "recovery", token_hash: (await nextMail(email)).hash }));
  assert.ok(seen.includes("PASSWORD_RECOVERY"));
  ok(await app.updateUser({ password: `${password} 2` }));
  ok(await phone().signInWithPassword({ email, password: `${password} 2` }));
}

export async function a_link_leaves_a_session_in_the_fragment_for_the_implicit_flow() {
  const [app, email] = [phone(), address("grace")];
  ok(await app.signUp({ email, password, options: { emailRedirectTo: `${gateway}/welcome` } }));
  const { status, place } = await press((await nextMail(email)).link);
  assert.equal(status, 303);
  assert.ok(place.startsWith(`${gateway}/welcome#`), place);
  const { access_token, refresh_token } = Object.fromEntries(new URLSearchParams(new URL(place).hash.slice(1)));
  assert.equal(ok(await app.setSession({ access_token, refresh_token })).user.email, email);
}

export async function with_pkce_a_link_leaves_a_code_that_only_this_app_can_exchange() {
  const { email } = await member("heidi");
  const app = phone({ flowType: "pkce" });
  ok(await app.signInWithOtp({ email, options: { emailRedirectTo: `${gateway}/welcome` } }));
  const { place } = await press((await nextMail(email)).link);
  const code = new URL(place).searchParams.get("code");
  assert.equal(new URL(place).hash, "");
  const thief = phone({ flowType: "pkce" });
  assert.notEqual((await thief.exchangeCodeForSession(code)).error, null);
  assert.equal(ok(await app.exchangeCodeForSession(code)).user.email, email);
  const again = await app.exchangeCodeForSession(code);
  assert.notEqual(again.error, null);
}

export async function with_pkce_a_recovery_is_known_as_one() {
  const { email } = await member("ivan");
  const app = phone({ flowType: "pkce" });
  ok(await app.resetPasswordForEmail(email, { redirectTo: `${gateway}/reset` }));
  const { place } = await press((await nextMail(email)).link);
  const { redirectType } = ok(await app.exchangeCodeForSession(new URL(place).searchParams.get("code")));
  assert.equal(redirectType, "recovery");
}
