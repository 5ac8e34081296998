// Phone numbers, with the fixed codes of the local platform's test numbers.
import assert from "node:assert/strict";
import { member, ok, password, phone } from "./support.mjs";

export async function a_number_logs_in_by_code() {
  const app = phone();
  ok(await app.signInWithOtp({ phone: "+15550100001" }));
  const { user } = ok(await app.verifyOtp({ type: "sms", phone: "+15550100001", token: "100001" }));
  assert.equal(user.phone, "15550100001");
  ok(await app.updateUser({ password: `${password}${Date.now()}` }));
}

export async function a_number_signs_up_with_a_password() {
  const { user, session } = ok(await phone().signUp({ phone: "+15550100002", password }));
  assert.deepEqual([user.phone, session], ["15550100002", null]);
  ok(await phone().resend({ type: "sms", phone: "+15550100002" }));
}

export async function a_number_is_added_to_an_account_and_unlinked_again() {
  const { app } = await member("olga");
  const added = await app.updateUser({ phone: "+15550100003" });
  if (added.error) assert.equal(added.error.code, "phone_exists");
  ok(added);
  ok(await app.verifyOtp({ type: "phone_change", phone: "+15550100003", token: "100003" }));
  const { identities } = ok(await app.getUserIdentities());
  const number = identities.find((identity) => identity.provider === "phone");
  ok(await app.unlinkIdentity(number));
  assert.equal(ok(await app.getUser()).user.phone, "");
}

export async function other_numbers_are_refused_where_nothing_sends_sms() {
  assert.equal((await phone().signInWithOtp({ phone: "+15550199999" })).error.code, "phone_provider_disabled");
}
