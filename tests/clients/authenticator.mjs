// A software authenticator behind `navigator.credentials`, so that the parts of a client that need a browser run here.
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";

const PRESENT_AND_VERIFIED = 0x05;
const HAS_KEY = 0x40;

const encode = (data) => Buffer.from(data).toString("base64url");
const sha256 = (data) => createHash("sha256").update(data).digest();

/** CBOR of a byte string, a text, a small integer or an object (RFC 8949): all that WebAuthn needs here. */
function cbor(value) {
  const head = (major, length) =>
    length < 24
      ? Buffer.from([(major << 5) | length])
      : length < 256
        ? Buffer.from([(major << 5) | 24, length])
        : Buffer.from([(major << 5) | 25, length >> 8, length & 0xff]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (typeof value === "string") return Buffer.concat([head(3, value.length), Buffer.from(value)]);
  if (typeof value === "number") return value >= 0 ? head(0, value) : head(1, -1 - value);
  return Buffer.concat([head(5, value.size), ...[...value].flatMap(([key, item]) => [cbor(key), cbor(item)])]);
}

class Credential {
  constructor(id, response) {
    this.id = encode(id);
    this.rawId = id;
    this.type = "public-key";
    this.response = response;
  }

  getClientExtensionResults() {
    return {};
  }
}

/** Put an authenticator into this process's `navigator`; pages of `origin` may use it. */
export function plugIn(origin) {
  const keys = [];
  const clientData = (type, challenge) => Buffer.from(JSON.stringify({ type, challenge: encode(challenge), origin }));
  const authData = (rpId, flags, count, ...more) => {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(count);
    return Buffer.concat([sha256(rpId), Buffer.from([flags]), counter, ...more]);
  };
  const credentials = {
    async create({ publicKey: options }) {
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const jwk = publicKey.export({ format: "jwk" });
      const [x, y] = [jwk.x, jwk.y].map((part) => Buffer.from(part, "base64url"));
      const key = { id: randomBytes(32), rpId: options.rp.id, user: Buffer.from(options.user.id), privateKey, count: 1 };
      keys.push(key);
      const cose = cbor(new Map([[1, 2], [3, -7], [-1, 1], [-2, x], [-3, y]]));
      const attested = [Buffer.alloc(16), Buffer.from([0, key.id.length]), key.id, cose];
      const data = authData(key.rpId, PRESENT_AND_VERIFIED | HAS_KEY, key.count, ...attested);
      return new Credential(key.id, {
        clientDataJSON: clientData("webauthn.create", options.challenge),
        attestationObject: cbor(new Map([["fmt", "none"], ["attStmt", new Map()], ["authData", data]])),
      });
    },
    async get({ publicKey: options }) {
      const allowed = (options.allowCredentials ?? []).map((one) => encode(one.id));
      const key = keys.findLast((one) => one.rpId === options.rpId && (!allowed.length || allowed.includes(encode(one.id))));
      key.count += 1;
      const clientDataJSON = clientData("webauthn.get", options.challenge);
      const authenticatorData = authData(key.rpId, PRESENT_AND_VERIFIED, key.count);
      const signature = sign("sha256", Buffer.concat([authenticatorData, sha256(clientDataJSON)]), key.privateKey);
      return new Credential(key.id, { clientDataJSON, authenticatorData, signature, userHandle: key.user });
    },
  };
  const location = new URL(origin);
  const listen = { addEventListener() {}, removeEventListener() {} };
  const globals = {
    PublicKeyCredential: Credential,
    navigator: { credentials },
    window: { ...listen, location, PublicKeyCredential: Credential },
    document: { ...listen, visibilityState: "visible" },
    BroadcastChannel: undefined, // its open end would keep this process alive
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
}
