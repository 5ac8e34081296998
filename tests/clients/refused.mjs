// What this service does not offer (yet) is refused in a way that the library understands, and signs nobody out.
import assert from "node:assert/strict";
import { member, ok } from "./support.mjs";

export async function linking_an_account_of_a_provider_that_is_not_set() {
  const { app } = await member("rupert");
  const { error } = await app.linkIdentity({ provider: "google", options: { skipBrowserRedirect: true } });
  assert.equal(error.code, "validation_failed");
  ok(await app.getUser());
}

export async function logging_in_with_a_token_of_a_provider_that_is_not_set() {
  const { app } = await member("sybil");
  assert.equal((await app.signInWithIdToken({ provider: "google", token: "x.y.z" })).error.status, 400);
  ok(await app.getUser());
}
