// Reads /events (server-sent events) and connects again by itself. `EventSource` would hide why a service refuses, and takes
// longer to say that it is gone.

const RETRY_MS = 1000;
/** A status comes each second: after so long without a byte the connection is given up. */
const SILENCE_MS = 10000;

/**
 * Follows the stream for ever. `handlers`: `open()`, `event(name, text)` with its data, `closed(reason)`.
 */
export async function follow(url, handlers) {
  let lastId = null;
  for (;;) {
    const abort = new AbortController();
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
      const response = await fetch(url, { headers, cache: "no-store", signal: abort.signal });
      if (!response.ok) throw new Told(await reasonOf(response));
      handlers.open();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let unread = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
        unread += value;
        let start = 0;
        for (let end; (end = unread.indexOf("\n\n", start)) >= 0; start = end + 2) {
          lastId = taken(unread.slice(start, end), handlers) ?? lastId;
        }
        unread = unread.slice(start);
      }
      handlers.closed("The service has ended the connection.");
    } catch (error) {
      if (error instanceof Told) handlers.closed(error.message);
      else if (abort.signal.aborted) handlers.closed(`The service has said nothing for ${SILENCE_MS / 1000} s.`);
      else handlers.closed("The service does not answer.");
    } finally {
      clearTimeout(watchdog);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Its message says what is wrong. */
class Told extends Error {}

async function reasonOf(response) {
  const answer = await response.json().catch(() => ({}));
  return `The service refuses: ${answer.error ?? response.status}.`;
}

/** As `handle`; an event that this page cannot make anything of is its own fault, or that of its version. */
function taken(block, handlers) {
  try {
    return handle(block, handlers);
  } catch (error) {
    console.error(error);
    throw new Told(`This page cannot read what the service sends (${error.message}): load it again.`);
  }
}

/** One event; returns its id, where it has one. */
function handle(block, handlers) {
  let name = "message";
  let id;
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) data = line.slice(6);
    else if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
  }
  if (data) handlers.event(name, data);
  return id;
}
