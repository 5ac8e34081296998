// fastify doing what the gateway does: ES256 verified and kept (fast-jwt's cache), issuer checked, a limit by user, one JSON
// line a request, request ids. It fetches no keys, knows no revocations, continues no traces and counts no metrics.
import { readFileSync } from "node:fs";
import proxy from "@fastify/http-proxy";
import jwt from "@fastify/jwt";
import limit from "@fastify/rate-limit";
import Fastify from "fastify";

const { HOST, PORT, UPSTREAM, ISSUER, PUBLIC_KEY } = process.env;
const app = Fastify({ logger: true, requestIdHeader: "x-request-id", genReqId: () => crypto.randomUUID() });
await app.register(jwt, {
  secret: { public: readFileSync(PUBLIC_KEY, "utf8") },
  verify: { algorithms: ["ES256"], allowedIss: ISSUER, allowedAud: "gatehouse", cache: 20_000, cacheTTL: 600_000 },
});
app.addHook("onRequest", (request) => request.jwtVerify());
await app.register(limit, { max: 1_000_000_000, timeWindow: 60_000, cache: 20_000, hook: "preHandler", keyGenerator: (request) => request.user.sub });
app.addHook("onResponse", async (request, reply) => {
  app.log.info({ reqId: request.id, route: request.routeOptions.url, method: request.method, status: reply.statusCode, duration_ms: reply.elapsedTime, client: request.ip, user_id: request.user?.sub }, "request");
});
const rewriteRequestHeaders = (request, headers) => ({ ...headers, "x-request-id": request.id });
// "warn" silences the lines that fastify and reply-from write of their own for each request: the one above is enough.
await app.register(proxy, { upstream: UPSTREAM, logLevel: "warn", replyOptions: { rewriteRequestHeaders } });
await app.listen({ host: HOST, port: Number(PORT) });
