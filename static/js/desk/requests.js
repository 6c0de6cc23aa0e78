// How the desks ask the server.
const TIMEOUT_MS = 12000;

export class Refusal extends Error {
  constructor(status, error) {
    super(error.message || "");
    this.status = status;
    this.code = error.code || "";
    this.fields = error.fields || {};
    this.current = error.current || null;
  }
}

/** JSON of an answer. Throws Refusal for what the server refused, TypeError (as fetch does) where nothing answered. */
export async function post(url, values) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
  let answer;
  try {
    answer = await fetch(url, {
      method: "POST",
      body: new URLSearchParams(values),
      signal: stop.signal,
      headers: { Accept: "application/json", "HX-Request": "true", "HX-Current-URL": location.href },
    });
  } catch (error) {
    throw new TypeError(`not reached: ${error.message}`);
  } finally {
    clearTimeout(timer);
  }
  const json = (answer.headers.get("Content-Type") || "").includes("application/json");
  const body = json ? await answer.json() : {};
  if (answer.ok && json) return body;
  // 403 without words of ours: the form's token is of a session that ended
  if (answer.status === 401 || answer.redirected || (answer.status === 403 && !json)) {
    throw new Refusal(401, { code: "signed_out" });
  }
  if (answer.status >= 500 || answer.status === 429) throw new TypeError(`answered ${answer.status}`);
  throw new Refusal(answer.status, body.error || {});
}
