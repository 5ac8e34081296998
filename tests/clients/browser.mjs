// A browser without script: it keeps cookies, follows redirects within the house, and sends the forms that pages hold.
import assert from "node:assert/strict";
import { gateway } from "./support.mjs";

const decoded = (text) => text.replaceAll("&#39;", "'").replaceAll("&#34;", '"').replaceAll("&lt;", "<").replaceAll("&amp;", "&");

export class Browser {
  #cookies = new Map();

  async #send(url, options = {}) {
    const cookie = [...this.#cookies].map((pair) => pair.join("=")).join("; ");
    const headers = { ...options.headers, ...(cookie ? { cookie } : {}) };
    const answer = await fetch(url, { redirect: "manual", ...options, headers });
    for (const said of answer.headers.getSetCookie()) {
      const [, name, value] = said.match(/^([^=]+)=([^;]*)/);
      if (value) this.#cookies.set(name, value);
      else this.#cookies.delete(name);
    }
    return answer;
  }

  /** Where it ends: `place` outside of the house, or the `page` that asks for something. */
  async open(url) {
    let answer = await this.#send(url);
    for (let hops = 0; hops < 10; hops++) {
      const location = answer.headers.get("location");
      if (!location) return { status: answer.status, page: await answer.text() };
      if (!new URL(location, gateway).href.startsWith(gateway)) return { status: answer.status, place: new URL(location) };
      answer = await this.#send(new URL(location, gateway));
    }
    throw new Error("the browser goes round in circles");
  }

  /** Fill in the first form of a page and send it. */
  async submit({ page }, typed) {
    const [, action, inside] = page.match(/<form method="post" action="([^"]+)"[^>]*>([\s\S]*?)<\/form>/);
    const form = new URLSearchParams();
    for (const [input] of inside.matchAll(/<input [^>]*>/g)) {
      const [name, value] = ["name", "value"].map((said) => input.match(new RegExp(` ${said}="([^"]*)"`))?.[1]);
      if (name) form.set(name, decoded(value ?? ""));
    }
    for (const [name, value] of Object.entries(typed)) form.set(name, value);
    const headers = { origin: new URL(gateway).origin, "sec-fetch-site": "same-origin" };
    const answer = await this.#send(new URL(decoded(action), gateway), { method: "POST", body: form, headers });
    const location = answer.headers.get("location");
    if (!location) return { status: answer.status, page: await answer.text() };
    const onward = new URL(location, gateway);
    return onward.href.startsWith(gateway) ? this.open(onward) : { status: answer.status, place: onward };
  }

  /** Log in and agree, as far as the pages ask; where the app is called back. */
  async agree(url, person) {
    let now = await this.open(url);
    if (now.page?.includes('name="password"')) now = await this.submit(now, person);
    if (now.page) now = await this.submit(now, { decision: "allow" });
    assert.ok(now.place, `${now.status}: ${now.page}`);
    return now.place;
  }
}
