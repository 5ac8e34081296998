// A provider of accounts as a process of its own would be (oauth2-mock-server), and a browser that keeps cookies.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { OAuth2Server } from "oauth2-mock-server";
import { address, provider } from "./support.mjs";

const server = new OAuth2Server();
let loggedIn = {};
server.service.on("beforeTokenSigning", (token) => Object.assign(token.payload, loggedIn));

export async function start() {
  await server.issuer.keys.generate("RS256");
  const { hostname, port } = new URL(provider);
  server.issuer.url = provider;
  await server.start(Number(port), hostname);
}

export const stop = () => server.stop();

/** Somebody who has an account there, and is logged in to it from now on. */
export function comesFromThere(name) {
  loggedIn = { sub: crypto.randomUUID(), email: address(name), email_verified: true, name };
  return loggedIn;
}

/** An ID token as a device gets it. */
export function idToken(person, nonce) {
  const hashed = nonce ? { nonce: createHash("sha256").update(nonce).digest("hex") } : {};
  return server.issuer.buildToken({
    scopesOrTransform: (_, payload) => void Object.assign(payload, person, { aud: "app", ...hashed }),
  });
}

/** A browser that goes where it is sent, agrees where it is asked, and ends at the app's place. */
export async function browse(url, place) {
  const jar = new Map();
  for (let hops = 0; hops < 10; hops++) {
    const { origin } = new URL(url);
    const own = jar.get(origin) ?? new Map();
    const cookie = [...own].map((pair) => pair.join("=")).join("; ");
    const answer = await fetch(url, { redirect: "manual", headers: cookie ? { cookie } : {} });
    for (const said of answer.headers.getSetCookie()) own.set(...said.split(";")[0].split("="));
    jar.set(origin, own);
    const onward = answer.headers.get("location") ?? (await answer.text()).match(/class="button" href="([^"]+)"/)?.[1];
    assert.ok(onward, `${answer.status} at ${url.split("?")[0]}`);
    url = new URL(onward.replaceAll("&amp;", "&"), url).href;
    if (url.startsWith(place)) return new URL(url);
  }
  throw new Error("the browser goes round in circles");
}
