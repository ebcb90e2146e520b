// The page follows the store: the server says that something changed, the page is asked
// for again, and what differs is put in place. What the reader has opened, chosen or
// typed stays. Text never becomes markup here: the new page is parsed without running.
"use strict";

const pulse = document.getElementById("pulse");
const shortest = 1000; // ms between two looks
let etag = "", wanted = false, busy = false;

// patch makes old like fresh, node by node.
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.id === "pulse") return;
  attributes(old, fresh);
  const keyed = new Map();
  for (const c of old.children) if (c.id) keyed.set(c.id, c);
  let at = old.firstChild;
  for (const f of fresh.childNodes) {
    const same = f.id && keyed.get(f.id);
    if (same && same !== at) old.insertBefore(same, at); // it has moved
    else if (f.id && !same || at && at.id && at.id !== f.id || !at) {
      old.insertBefore(f.cloneNode(true), at); // it is new
      continue;
    }
    const here = same || at, next = here.nextSibling;
    patch(here, f);
    at = next;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// own are the attributes that belong to the reader.
const own = { DETAILS: ["open"], INPUT: ["value", "checked"] };

function attributes(old, fresh) {
  const keep = own[old.nodeName] || [];
  for (const a of [...old.attributes])
    if (!keep.includes(a.name) && !fresh.hasAttribute(a.name)) old.removeAttribute(a.name);
  for (const a of fresh.attributes)
    if (!keep.includes(a.name) && old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
}

// look asks for the page again, and waits longer where that is work.
async function look() {
  if (busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    const begun = performance.now();
    try {
      const r = await fetch(location.href, { cache: "no-cache" });
      const text = await r.text();
      if (r.ok && r.headers.get("ETag") !== etag) {
        etag = r.headers.get("ETag");
        const fresh = new DOMParser().parseFromString(text, "text/html");
        document.title = fresh.title;
        patch(document.body, fresh.body);
      }
    } catch {
      wanted = true; // the server is away: ask again
    }
    await new Promise((done) => setTimeout(done, Math.max(shortest, 4 * (performance.now() - begun))));
  }
  busy = false;
}

function show(state, text) {
  pulse.className = "pulse " + state;
  pulse.textContent = text;
}

const changes = new EventSource("/changes");
changes.onopen = () => show("on", "follows");
changes.onerror = () => show("lost", "the server is away");
changes.onmessage = () => {
  wanted = true;
  look();
};
