// openid-client, unchanged, logs people in at the OAuth provider: a web server with a secret, a phone without one, a service.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as openid from "openid-client";
import { Browser } from "./browser.mjs";
import { administrator, gateway, member, password, python, root } from "./support.mjs";

const issuer = new URL(`${gateway}/auth/oauth`);
const back = "https://app.test/back";
const bye = "https://app.test/bye";
const insecure = { execute: [openid.allowInsecureRequests] }; // the platform on this machine has no TLS

async function website() {
  const users = await administrator();
  const redirects = { redirect_uris: [back], post_logout_redirect_uris: [bye] };
  const { data } = await users.oauth.createClient({ client_name: "Photo Prints", ...redirects });
  const { client_id, client_secret } = data;
  return openid.discovery(issuer, client_id, client_secret, openid.ClientSecretBasic(client_secret), insecure);
}

async function atTheCommandLine(...options) {
  const command = [python, "-m", "services.auth", "oauth", "clients", "add", ...options];
  const said = execFileSync(python, ["-m", "deploy.local", "run", "auth", ...command], { cwd: root, encoding: "utf8" });
  return Object.fromEntries([...said.matchAll(/^(client_\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]));
}

async function someone(name) {
  const { email } = await member(name);
  return { email, password };
}

/** What a log-in of OpenID Connect needs, and where it comes back to. */
async function logIn(config, browser, person, asked = {}) {
  const pkceCodeVerifier = openid.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [openid.randomState(), openid.randomNonce()];
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: back,
    scope: "openid email offline_access",
    code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    nonce: expectedNonce,
    ...asked,
  });
  const place = await browser.agree(url, person);
  return openid.authorizationCodeGrant(config, place, { pkceCodeVerifier, expectedState, expectedNonce });
}

export async function a_website_logs_somebody_in_and_out() {
  const [config, browser, person] = [await website(), new Browser(), await someone("ursula")];
  assert.equal(config.serverMetadata().issuer, issuer.href);
  const tokens = await logIn(config, browser, person, { max_age: "300", login_hint: person.email });
  const { sub, acr, amr } = tokens.claims();
  assert.deepEqual([acr, amr], ["aal1", ["pwd"]]);
  const told = await openid.fetchUserInfo(config, tokens.access_token, sub);
  assert.deepEqual([told.email, told.email_verified], [person.email, true]);

  const newer = await openid.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(newer.refresh_token, tokens.refresh_token);
  assert.equal((await openid.tokenIntrospection(config, newer.access_token)).active, true);
  const silent = await new Browser().open(openid.buildAuthorizationUrl(config, await silently()));
  assert.equal(silent.place.searchParams.get("error"), "login_required");

  await openid.tokenRevocation(config, newer.refresh_token);
  assert.equal((await openid.tokenIntrospection(config, newer.access_token)).active, false);
  await assert.rejects(openid.refreshTokenGrant(config, newer.refresh_token), { error: "invalid_grant" });
  const out = { id_token_hint: newer.id_token, post_logout_redirect_uri: bye };
  assert.equal((await browser.open(openid.buildEndSessionUrl(config, out))).place.href, bye);
}

async function silently() {
  const code_challenge = await openid.calculatePKCECodeChallenge(openid.randomPKCECodeVerifier());
  return { redirect_uri: back, scope: "openid", prompt: "none", code_challenge, code_challenge_method: "S256" };
}

export async function a_code_is_good_once_and_then_takes_back_what_it_gave() {
  const [config, browser, person] = [await website(), new Browser(), await someone("vera")];
  const pkceCodeVerifier = openid.randomPKCECodeVerifier();
  const code_challenge = await openid.calculatePKCECodeChallenge(pkceCodeVerifier);
  const asked = { redirect_uri: back, scope: "openid", code_challenge, code_challenge_method: "S256" };
  const place = await browser.agree(openid.buildAuthorizationUrl(config, asked), person);
  const tokens = await openid.authorizationCodeGrant(config, place, { pkceCodeVerifier });
  await assert.rejects(openid.authorizationCodeGrant(config, place, { pkceCodeVerifier }), { error: "invalid_grant" });
  await assert.rejects(openid.fetchUserInfo(config, tokens.access_token, tokens.claims().sub));
}

export async function an_app_of_the_house_on_a_phone_gets_a_session_and_no_other_app_does() {
  const phonePlace = "com.example.app:/back";
  const options = ["--public", "--first-party", "--redirect-uri", phonePlace, "--redirect-uri", "http://127.0.0.1/back"];
  const { client_id } = await atTheCommandLine("Example", ...options);
  const config = await openid.discovery(issuer, client_id, undefined, openid.None(), { ...insecure, algorithm: "oauth2" });
  const [browser, person] = [new Browser(), await someone("wanda")];
  for (const redirect_uri of [phonePlace, "http://127.0.0.1:49152/back"]) {
    const { access_token } = await logIn(config, browser, person, { redirect_uri, resource: gateway });
    const answer = await fetch(`${gateway}/auth/v1/user`, { headers: { authorization: `Bearer ${access_token}` } });
    assert.equal((await answer.json()).email, person.email);
  }
  const others = await logIn(await website(), browser, person);
  const refused = await fetch(`${gateway}/auth/v1/user`, { headers: { authorization: `Bearer ${others.access_token}` } });
  assert.deepEqual([refused.status, (await refused.json()).code], [401, "token_issuer"]);
}

export async function a_service_gets_a_token_of_its_own() {
  const { client_id, client_secret } = await atTheCommandLine("Reports", "--service", "--scope", "messages:send");
  const basic = await openid.discovery(issuer, client_id, client_secret, openid.ClientSecretBasic(client_secret), insecure);
  assert.equal((await openid.clientCredentialsGrant(basic, { scope: "messages:send" })).scope, "messages:send");
  await assert.rejects(openid.clientCredentialsGrant(basic, { scope: "auth:admin" }), { error: "invalid_scope" });
}
