/* What the page asks of the server, in turn with other visitors. */

const POLL = 700;  // milliseconds between questions for the place in the queue
const MAX_TRIES = 100;

/** A sentence for the visitor. */
export class Complaint extends Error {}

/**
 * Send a photo and return the answer, a Response.
 *
 * kind: predict, views or photo; say(text): tells the visitor what is going on; signal: ends the request.
 */
export async function send(kind, file, say, signal) {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const answer = await sendOnce(kind, file, say, signal);
    if (answer.ok) return answer;
    const text = await explain(answer);
    if (answer.status !== 503) throw new Complaint(text);
    const seconds = Number(answer.headers.get("Retry-After")) || 2;
    say(`Many photos are waiting. This page tries again every ${seconds} seconds …`);
    await pause(seconds * 1000 * (0.75 + Math.random() / 2), signal);
  }
  throw new Complaint("The server has been busy for long. Please try again later.");
}

async function sendOnce(kind, file, say, signal) {
  const job = [...crypto.getRandomValues(new Uint32Array(4))].map((value) => value.toString(36)).join("");
  const done = new AbortController();
  watchQueue(job, say, done.signal);
  try {
    return await fetch(`api/${kind}`, {method: "POST", body: file, signal, headers: {"X-Vclr-Job": job}});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Complaint("The server does not answer. Is `vclr serve` still running, and can the file be read?");
  } finally {
    done.abort();
  }
}

async function watchQueue(job, say, signal) {
  try {
    for (;;) {
      await pause(POLL, signal);
      const {before} = await (await fetch(`api/queue/${job}`, {signal})).json();
      if (before) say(`Waiting for ${before === 1 ? "one other photo" : `${before} other photos`} …`);
      else if (before === 0) say("Looking at the photo …");
    }
  } catch {
    // The request has ended, or the server has: the request itself tells why.
  }
}

async function explain(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim() || `The server refused the photo (status ${answer.status}).`;
  }
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(new DOMException("ended", "AbortError"));
    });
  });
}
