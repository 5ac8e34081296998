// A phone with @supabase/auth-js, the mails that arrive at the simulators, and a list of the methods that were driven.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AuthClient, GoTrueAdminApi } from "@supabase/auth-js";

export const [gateway, simulators, provider] = process.argv.slice(2);
export const driven = new Set();
export const password = crypto.randomUUID();

export function someone(name) {
  return { email: address(name), password: crypto.randomUUID() };
}

export function address(name) {
  return `${name}.${crypto.randomUUID().slice(0, 8)}@example.org`;
}

// Every method that is called is noted under its name: `signUp`, `mfa.enroll`, `mfa.recoveryCodes.verify`, …
function noted(object, prefix = "") {
  return new Proxy(object, {
    get(target, name) {
      const value = target[name];
      if (typeof value === "function") {
        return (...parameters) => {
          driven.add(prefix + String(name));
          return value.apply(target, parameters);
        };
      }
      const isGroup = ["mfa", "passkey", "oauth", "recoveryCodes", "webauthn"].includes(name);
      return isGroup ? noted(value, `${prefix}${String(name)}.`) : value;
    },
  });
}

/** A client with storage of its own. */
export function phone(options = {}) {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
  const own = { storage, storageKey: crypto.randomUUID(), autoRefreshToken: false, persistSession: true };
  return noted(new AuthClient({ url: `${gateway}/auth/v1`, ...own, ...options }));
}

export function admin(headers = {}) {
  return noted(new GoTrueAdminApi({ url: `${gateway}/auth/v1`, headers }), "admin.");
}

export function ok({ data, error }) {
  assert.equal(error, null, error?.message);
  return data;
}

async function mailsTo(email) {
  const answer = await fetch(`${simulators}/api/messages?channel=smtp&to=${encodeURIComponent(email)}`);
  return (await answer.json()).items;
}

async function first(email, is) {
  for (let tries = 0; tries < 100; tries++) {
    const item = (await mailsTo(email)).find(is);
    if (item) return item;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no such mail for ${email}`);
}

/** The newest mail to an address that `is` says yes to. */
export async function mailTo(email, is = () => true) {
  return (await first(email, (item) => is(item.mail))).mail;
}

export async function codeFromMail(email) {
  return (await mailTo(email)).text.match(/\b\d{6}\b/)[0];
}

const read = new Map();

/** The newest mail to an address that was not read yet: its code, its link and what the link holds. */
export async function nextMail(email) {
  const { id, mail } = await first(email, (item) => item.id > (read.get(email) ?? 0));
  read.set(email, id);
  const link = mail.text.match(/https?:\/\/\S+\/verify\?\S+/)?.[0];
  return { code: mail.text.match(/\b\d{6}\b/)?.[0], link, hash: link && new URL(link).searchParams.get("token_hash") };
}

// What a browser does with the link of a mail: open the page, press the button; where it leads to.
export async function press(link) {
  const page = await (await fetch(link)).text();
  const form = new URLSearchParams();
  for (const [, name, value] of page.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)) {
    form.set(name, value.replaceAll("&amp;", "&"));
  }
  const answer = await fetch(new URL("verify/confirm", link), { method: "POST", body: form, redirect: "manual" });
  return { status: answer.status, place: answer.headers.get("location") };
}

export async function member(name) {
  const person = { email: address(name), app: phone() };
  ok(await person.app.signUp({ email: person.email, password, options: { data: { name } } }));
  const { code } = await nextMail(person.email);
  ok(await person.app.verifyOtp({ type: "signup", email: person.email, token: code }));
  return person;
}

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const python = `${root}.venv/bin/python`;

/** The client of an operator, with the token of an administrator who was made at the command line. */
export async function administrator() {
  const person = await member("root");
  execFileSync(python, ["-m", "deploy.local", "run", "auth", python, "-m", "services.auth", "admin", "grant", person.email], {
    cwd: root,
  });
  const { session } = ok(await person.app.refreshSession());
  return admin({ Authorization: `Bearer ${session.access_token}` });
}

const played = [];
export const step = (name) => void played.push(name);

export function report(what) {
  for (const name of played) console.log(`  ✓ ${what}: ${name}`);
  console.log(`@supabase/auth-js, ${what}: ${played.length} passed`);
}
