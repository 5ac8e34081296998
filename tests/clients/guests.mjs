// Guests: a session without an address, an upgrade in place, and a merge (which the library has no method for).
import assert from "node:assert/strict";
import { address, gateway, nextMail, member, ok, password, phone } from "./support.mjs";

export async function a_guest_becomes_an_account_with_the_same_id() {
  const app = phone();
  const guest = ok(await app.signInAnonymously({ options: { data: { theme: "dark" } } })).user;
  assert.equal(guest.is_anonymous, true);
  const email = address("guest");
  ok(await app.updateUser({ email, password }));
  const { user } = ok(await app.verifyOtp({ type: "email_change", email, token: (await nextMail(email)).code }));
  assert.deepEqual([user.id, user.is_anonymous, user.email], [guest.id, false, email]);
  assert.equal(ok(await phone().signInWithPassword({ email, password })).user.id, guest.id);
}

export async function a_guest_becomes_part_of_an_account_with_its_documents() {
  const guest = phone();
  const token = ok(await guest.signInAnonymously()).session.access_token;
  const note = `${gateway}/data/v1/spaces/me/collections/notes/documents/${crypto.randomUUID()}`;
  const ask = (bearer, init = {}) =>
    fetch(init.url ?? note, { ...init, headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" } });
  const put = await ask(token, { method: "PUT", body: JSON.stringify({ document: { text: "a guest's" } }) });
  assert.ok(put.ok, await put.text());
  const { app } = await member("nina");
  const kept = ok(await app.getSession()).session.access_token;
  const merge = { url: `${gateway}/auth/v1/merge`, method: "POST", body: JSON.stringify({ guest_token: token }) };
  assert.equal((await ask(kept, merge)).status, 200);
  for (let tries = 0; (await ask(kept)).status !== 200; tries++) {
    assert.ok(tries < 100, "the document has not moved");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.notEqual((await guest.refreshSession()).error, null);
}
