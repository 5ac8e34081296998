// @supabase/auth-js, unchanged, plays second factors and passkeys: an authenticator app, recovery codes, a key, a passkey.
// usage: node factors.mjs GATEWAY_URL SIMULATORS_URL
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { plugIn } from "./authenticator.mjs";
import { administrator, codeFromMail, gateway, mailTo, ok, phone, report, someone, step } from "./support.mjs";

const STEP_S = 30;
plugIn(gateway.replace("127.0.0.1", "localhost"));

/** The code that an authenticator app shows (RFC 6238), so many steps from now. */
function totp(secret, steps = 0) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000 / STEP_S) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const number = (mac.readUInt32BE(mac.at(-1) & 0xf) & 0x7fffffff) % 1_000_000;
  return String(number).padStart(6, "0");
}

const levels = async (client) => {
  const { currentLevel, nextLevel } = ok(await client.mfa.getAuthenticatorAssuranceLevel());
  return [currentLevel, nextLevel];
};

const alice = someone("alice");
const experimental = { recoveryCodes: true };
const android = phone({ experimental });
const iphone = phone({ experimental });
ok(await android.signUp(alice));
ok(await android.verifyOtp({ type: "signup", email: alice.email, token: await codeFromMail(alice.email) }));
assert.deepEqual(await levels(android), ["aal1", "aal1"]);

const { id: appId, totp: seed } = ok(await android.mfa.enroll({ factorType: "totp", friendlyName: "app" }));
assert.match(seed.qr_code, /^data:image\/svg\+xml;utf-8,<svg [^#]*$/);
step("mfa.enroll totp");

const challenge = ok(await android.mfa.challenge({ factorId: appId }));
const refused = await android.mfa.verify({ factorId: appId, challengeId: challenge.id, code: "000000" });
assert.equal(refused.error.code, "mfa_verification_failed");
ok(await android.mfa.verify({ factorId: appId, challengeId: challenge.id, code: totp(seed.secret, -1) }));
assert.deepEqual(await levels(android), ["aal2", "aal2"]);
const { currentAuthenticationMethods } = ok(await android.mfa.getAuthenticatorAssuranceLevel());
assert.equal(currentAuthenticationMethods[0].method, "totp");
step("mfa.challenge, mfa.verify, mfa.getAuthenticatorAssuranceLevel");

const listed = ok(await android.mfa.listFactors());
assert.deepEqual(listed.totp.map((factor) => factor.id), [appId]);
step("mfa.listFactors");

const { codes } = ok(await android.mfa.recoveryCodes.generate());
assert.equal(codes.length, 10);
step("mfa.recoveryCodes.generate");

ok(await iphone.signInWithPassword(alice));
assert.deepEqual(await levels(iphone), ["aal1", "aal2"]);
const weak = await iphone.updateUser({ password: crypto.randomUUID() });
assert.equal(weak.error.code, "insufficient_aal");
assert.equal((await iphone.mfa.unenroll({ factorId: appId })).error.code, "insufficient_aal");
step("updateUser, mfa.unenroll with aal1: insufficient_aal");

ok(await iphone.mfa.challengeAndVerify({ factorId: appId, code: totp(seed.secret) }));
assert.deepEqual(await levels(iphone), ["aal2", "aal2"]);
ok(await iphone.refreshSession());
assert.deepEqual(await levels(iphone), ["aal2", "aal2"]);
step("mfa.challengeAndVerify, and aal2 outlives a refresh");

const tablet = phone({ experimental });
ok(await tablet.signInWithPassword(alice));
ok(await tablet.mfa.recoveryCodes.verify({ code: codes[0].toUpperCase().match(/.{4}/g).join("-") }));
assert.deepEqual(await levels(tablet), ["aal2", "aal2"]);
assert.equal(ok(await tablet.mfa.recoveryCodes.getStatus()).remaining, 9);
assert.equal(ok(await tablet.mfa.recoveryCodes.regenerate()).codes.length, 10);
ok(await tablet.mfa.recoveryCodes.unenroll());
step("mfa.recoveryCodes.verify, getStatus, regenerate, unenroll");
await mailTo(alice.email, (mail) => mail.subject.includes("recovery code"));
step("a mail about the recovery code");

const key = ok(await android.mfa.webauthn.register({ friendlyName: "key" }));
assert.equal(key.user.factors.find((factor) => factor.factor_type === "webauthn").status, "verified");
const laptop = phone();
ok(await laptop.signInWithPassword(alice));
const keyId = ok(await laptop.mfa.listFactors()).webauthn[0].id;
ok(await laptop.mfa.webauthn.authenticate({ factorId: keyId }));
assert.deepEqual(await levels(laptop), ["aal2", "aal2"]);
step("mfa.webauthn.register, mfa.webauthn.authenticate");

const passkey = ok(await laptop.registerPasskey());
step("registerPasskey");
ok(await laptop.passkey.update({ passkeyId: passkey.id, friendlyName: "My laptop" }));
assert.deepEqual(ok(await laptop.passkey.list()).map((one) => one.friendly_name), ["My laptop"]);
step("passkey.list, passkey.update");

const kiosk = phone();
const entered = ok(await kiosk.signInWithPasskey());
assert.equal(entered.user.email, alice.email);
assert.deepEqual(await levels(kiosk), ["aal2", "aal2"]);
step("signInWithPasskey");

assert.ok(ok(await kiosk.passkey.startRegistration()).challenge_id);
assert.ok(ok(await phone().passkey.startAuthentication()).challenge_id);
step("passkey.startRegistration, passkey.startAuthentication");

assert.equal((await kiosk.passkey.delete({ passkeyId: passkey.id })).error, null);
assert.deepEqual(ok(await kiosk.passkey.list()), []);
assert.equal((await phone().signInWithPasskey()).error.code, "webauthn_verification_failed");
step("passkey.delete");

for (const factorId of [appId, keyId]) ok(await laptop.mfa.unenroll({ factorId }));
assert.deepEqual(ok(await laptop.mfa.listFactors()).all, []);
ok(await laptop.refreshSession());
assert.deepEqual(await levels(laptop), ["aal1", "aal1"]);
step("mfa.unenroll, and the session is aal1 again");

const bob = someone("bob");
const lost = phone();
ok(await lost.signUp(bob));
ok(await lost.verifyOtp({ type: "signup", email: bob.email, token: await codeFromMail(bob.email) }));
ok(await lost.registerPasskey());
const enrolled = ok(await lost.mfa.enroll({ factorType: "totp", friendlyName: "app" }));
ok(await lost.mfa.challengeAndVerify({ factorId: enrolled.id, code: totp(enrolled.totp.secret) }));
const [users, userId] = [await administrator(), ok(await lost.getUser()).user.id];
const { factors } = ok(await users.mfa.listFactors({ userId }));
assert.deepEqual(factors.map(({ id, status }) => [id, status]), [[enrolled.id, "verified"]]);
ok(await users.mfa.deleteFactor({ userId, id: enrolled.id }));
const [found] = ok(await users.passkey.listPasskeys({ userId }));
assert.equal((await users.passkey.deletePasskey({ userId, passkeyId: found.id })).error, null);
assert.deepEqual(ok(await users.passkey.listPasskeys({ userId })), []);
ok(await lost.refreshSession());
assert.deepEqual(await levels(lost), ["aal1", "aal1"]);
step("admin.mfa.listFactors, admin.mfa.deleteFactor, admin.passkey.listPasskeys, admin.passkey.deletePasskey");

report("second factors and passkeys");
