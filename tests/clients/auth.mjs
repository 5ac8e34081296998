// @supabase/auth-js, unchanged, does everything this service offers it, and openid-client logs in at it: usage: node auth.mjs GATEWAY_URL SIMULATORS_URL PROVIDER_URL
// The table of docs/auth-clients.md is checked against what was driven here, and against the library itself.
import { checkTable } from "./table.mjs";
import { driven } from "./support.mjs";
import * as account from "./account.mjs";
import * as administration from "./admin.mjs";
import * as guests from "./guests.mjs";
import * as mails from "./mails.mjs";
import * as numbers from "./numbers.mjs";
import * as oauth from "./oauth.mjs";
import * as openid from "./openid.mjs";
import { start, stop } from "./provider.mjs";
import * as providers from "./providers.mjs";
import * as refused from "./refused.mjs";
import * as sessions from "./sessions.mjs";

let passed = 0;
await start();
for (const [file, steps] of Object.entries({ sessions, mails, account, guests, numbers, providers, administration, oauth, openid, refused })) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (error) {
      console.error(`  ✗ ${file}: ${name.replaceAll("_", " ")}`);
      throw error;
    }
    console.log(`  ✓ ${file}: ${name.replaceAll("_", " ")}`);
    passed += 1;
  }
}
await stop();
await import("./factors.mjs");
checkTable(driven);
console.log(`@supabase/auth-js: ${passed} passed, ${driven.size} methods driven`);
