// The OAuth provider as auth-js has it: clients that an administrator registers, consent in a page of the app's own, grants.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { administrator, gateway, member, ok, python, root } from "./support.mjs";

const back = "https://app.test/back";
const consentPage = "https://app.test/consent";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Another process of auth on the same database, whose operator has a page of their own for consent. */
async function withOwnPage(play) {
  const base = `http://127.0.0.1:${await freePort()}`;
  const settings = [`BIND=${base.slice(7)}`, `OAUTH_CONSENT_URL=${consentPage}`, "LOG_LEVEL=WARNING"];
  const command = ["env", ...settings, python, "-m", "services.auth", "serve"];
  const other = spawn(python, ["-m", "deploy.local", "run", "auth", ...command], { cwd: root, stdio: "inherit" });
  try {
    for (let tries = 0; tries < 150; tries++) {
      if (await fetch(`${base}/readyz`).then((answer) => answer.ok, () => false)) return await play(base);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the other auth does not start");
  } finally {
    other.kill();
  }
}

function request(base, client_id, verifier) {
  const code_challenge = createHash("sha256").update(verifier).digest("base64url");
  const asked = { response_type: "code", client_id, redirect_uri: back, scope: "openid email", state: "s" };
  return `${base}/auth/oauth/authorize?${new URLSearchParams({ ...asked, code_challenge, code_challenge_method: "S256" })}`;
}

async function waiting(base, client_id, verifier = "v".repeat(43)) {
  const answer = await fetch(request(base, client_id, verifier), { redirect: "manual" });
  const place = new URL(answer.headers.get("location"));
  assert.equal(place.origin + place.pathname, consentPage);
  return place.searchParams.get("authorization_id");
}

export async function an_administrator_registers_changes_and_removes_clients() {
  const { oauth } = await administrator();
  const made = ok(await oauth.createClient({ client_name: "Photo Prints", redirect_uris: [back], scope: "openid email" }));
  assert.equal(made.client_type, "confidential");
  const listed = ok(await oauth.listClients({ page: 1, perPage: 50 })).clients;
  assert.ok(listed.some(({ client_id }) => client_id === made.client_id));
  ok(await oauth.updateClient(made.client_id, { client_name: "Prints" }));
  const shown = ok(await oauth.getClient(made.client_id));
  assert.deepEqual([shown.client_name, shown.redirect_uris, shown.client_secret], ["Prints", [back], undefined]);
  const again = ok(await oauth.regenerateClientSecret(made.client_id));
  assert.notEqual(again.client_secret, made.client_secret);
  ok(await oauth.deleteClient(made.client_id));
  assert.equal((await oauth.getClient(made.client_id)).error.code, "oauth_client_not_found");
}

export async function a_person_agrees_in_the_app_s_own_page_and_takes_it_back() {
  const { oauth } = await administrator();
  const public_ = { token_endpoint_auth_method: "none", redirect_uris: [back] };
  const { client_id } = ok(await oauth.createClient({ client_name: "Photo Prints", ...public_ }));
  const { app, email } = await member("xenia");
  const quietly = { skipBrowserRedirect: true };
  await withOwnPage(async (base) => {
    const verifier = randomBytes(32).toString("base64url");
    const id = await waiting(base, client_id, verifier);
    const details = ok(await app.oauth.getAuthorizationDetails(id));
    assert.deepEqual([details.client.name, details.user.email, details.scope], ["Photo Prints", email, "openid email"]);
    const denied = new URL(ok(await app.oauth.denyAuthorization(id, quietly)).redirect_url);
    assert.equal(denied.searchParams.get("error"), "access_denied");
    assert.equal((await app.oauth.approveAuthorization(id, quietly)).error.code, "oauth_authorization_not_found");
    const asked = await waiting(base, client_id, verifier);
    const onward = new URL(ok(await app.oauth.approveAuthorization(asked, quietly)).redirect_url);
    const code = onward.searchParams.get("code");
    const body = new URLSearchParams({ grant_type: "authorization_code", client_id, code, redirect_uri: back, code_verifier: verifier });
    const tokens = await (await fetch(`${gateway}/auth/oauth/token`, { method: "POST", body })).json();
    assert.ok(tokens.refresh_token, JSON.stringify(tokens));

    const [grant] = ok(await app.oauth.listGrants());
    assert.deepEqual([grant.client.id, grant.scopes.sort()], [client_id, ["email", "openid"]]);
    const led = ok(await app.oauth.getAuthorizationDetails(await waiting(base, client_id)));
    assert.ok(led.redirect_url.startsWith(back), "who agreed before is led on");
    ok(await app.oauth.revokeGrant({ clientId: client_id }));
    assert.deepEqual(ok(await app.oauth.listGrants()), []);
    const refresh = new URLSearchParams({ grant_type: "refresh_token", client_id, refresh_token: tokens.refresh_token });
    const refused = await fetch(`${gateway}/auth/oauth/token`, { method: "POST", body: refresh });
    assert.equal((await refused.json()).error, "invalid_grant");
  });
}
