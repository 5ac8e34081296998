// Accounts elsewhere: logging in through the browser or with a token of the device, linking and unlinking.
import assert from "node:assert/strict";
import { browse, comesFromThere, idToken } from "./provider.mjs";
import { gateway, member, ok, phone } from "./support.mjs";

const place = `${gateway}/welcome`;
const options = { redirectTo: place, skipBrowserRedirect: true };
const pkce = () => phone({ flowType: "pkce" });
const providersOf = (identities) => identities.map((identity) => identity.provider);

export async function a_browser_logs_in_and_the_app_gets_a_code() {
  const person = comesFromThere("olga");
  const app = pkce();
  const { url } = ok(await app.signInWithOAuth({ provider: "example", options }));
  const back = await browse(url, place);
  const { session, user } = ok(await app.exchangeCodeForSession(back.searchParams.get("code")));
  assert.equal(user.email, person.email);
  assert.deepEqual(user.app_metadata, { provider: "example", providers: ["example"] });
  assert.ok(session.provider_token && session.provider_refresh_token);
  assert.deepEqual(providersOf(ok(await app.getUser()).user.identities), ["example"]);
}

export async function a_browser_logs_in_and_the_page_gets_the_session() {
  const person = comesFromThere("pia");
  const app = phone();
  const { url } = ok(await app.signInWithOAuth({ provider: "example", options }));
  const said = new URLSearchParams((await browse(url, place)).hash.slice(1));
  ok(await app.setSession({ access_token: said.get("access_token"), refresh_token: said.get("refresh_token") }));
  assert.equal(ok(await app.getUser()).user.email, person.email);
}

export async function a_device_logs_in_with_an_id_token_and_a_nonce() {
  const person = comesFromThere("quentin");
  const app = phone();
  const token = await idToken(person, "a raw nonce");
  const refused = await app.signInWithIdToken({ provider: "example", token, nonce: "another" });
  assert.equal(refused.error.code, "bad_id_token");
  const { user } = ok(await app.signInWithIdToken({ provider: "example", token, nonce: "a raw nonce" }));
  assert.deepEqual([user.email, user.user_metadata.full_name], [person.email, "quentin"]);
  const { claims } = ok(await app.getClaims());
  assert.deepEqual([claims.amr[0].method, claims.amr[0].provider], ["oauth", "example"]);
}

export async function an_account_is_linked_through_the_browser_and_unlinked() {
  comesFromThere("rosa");
  const { app } = await member("rosa");
  for (const other of [pkce(), phone()]) {
    ok(await other.setSession(ok(await app.getSession()).session));
    const { url } = ok(await other.linkIdentity({ provider: "example", options }));
    const code = (await browse(url, place)).searchParams.get("code");
    if (code) ok(await other.exchangeCodeForSession(code));
    const { identities } = ok(await app.getUserIdentities());
    assert.deepEqual(providersOf(identities), ["email", "example"]);
    ok(await app.unlinkIdentity(identities[1]));
    assert.deepEqual(providersOf(ok(await app.getUserIdentities()).identities), ["email"]);
  }
}

export async function a_guest_becomes_an_account_by_linking_with_an_id_token() {
  const person = comesFromThere("sven");
  const app = phone();
  const guest = ok(await app.signInAnonymously()).user;
  const { user } = ok(await app.linkIdentity({ provider: "example", token: await idToken(person) }));
  assert.deepEqual([user.id, user.is_anonymous, user.email], [guest.id, false, person.email]);
  const again = ok(await phone().signInWithIdToken({ provider: "example", token: await idToken(person) }));
  assert.equal(again.user.id, guest.id);
}

export async function an_account_elsewhere_belongs_to_one_person() {
  const person = comesFromThere("tara");
  ok(await phone().signInWithIdToken({ provider: "example", token: await idToken(person) }));
  const { app } = await member("mallory");
  const { error } = await app.linkIdentity({ provider: "example", token: await idToken(person) });
  assert.equal(error.code, "identity_already_exists");
  ok(await app.getUser());
}
