// What every script here needs: a phone of its own, the code of its last mail, and a list of what was played.
import assert from "node:assert/strict";
import { AuthClient } from "@supabase/auth-js";

export const [gateway, simulators] = process.argv.slice(2);

/** A client with storage of its own. */
export function phone(options = {}) {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
  const own = { storage, storageKey: crypto.randomUUID(), autoRefreshToken: false, persistSession: true };
  return new AuthClient({ url: `${gateway}/auth/v1`, ...own, ...options });
}

export function someone(name) {
  return { email: `${name}.${crypto.randomUUID().slice(0, 8)}@example.org`, password: crypto.randomUUID() };
}

async function mailsTo(email) {
  const answer = await fetch(`${simulators}/api/messages?channel=smtp&to=${encodeURIComponent(email)}`);
  return (await answer.json()).items.map((item) => item.mail);
}

/** The first mail to an address that `is` says yes to. */
export async function mailTo(email, is = () => true) {
  for (let tries = 0; tries < 100; tries++) {
    const mail = (await mailsTo(email)).find(is);
    if (mail) return mail;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no such mail for ${email}`);
}

export async function codeFromMail(email) {
  return (await mailTo(email)).text.match(/\b\d{6}\b/)[0];
}

export function ok({ data, error }) {
  assert.equal(error, null, error?.message);
  return data;
}

const played = [];
export const step = (name) => void played.push(name);

export function report(what) {
  for (const name of played) console.log(`  ✓ ${name}`);
  console.log(`@supabase/auth-js, ${what}: ${played.length} passed`);
}
