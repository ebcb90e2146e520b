-- Schema 4 adds what a sweep looks for and an index from which long curves are drawn, and lets the
-- ledger touch fewer pages for each request.

-- The fact by which the sweep of this trial tells good from bad: STEP.FACT, of the last step of that
-- name or module that has it, as in eval.pass_rate. NULL: the sweep has none, or is older than this.
ALTER TABLE run ADD COLUMN objective TEXT;
-- 1: the smaller the better, 0: the greater. NULL without an objective.
ALTER TABLE run ADD COLUMN minimize INTEGER;

DROP VIEW runs;
CREATE VIEW runs AS
SELECT r.id, r.notebook,
  iif(r.pruned IS NULL, coalesce(r.status, 'unfinished'), 'pruned') AS status,
  datetime(r.started / 1000000000, 'unixepoch') AS started_utc,
  (r.ended - r.started) / 1e9 AS seconds,
  (SELECT json_group_object(p.key, json_extract(p.value, '$.value')) FROM json_each(r.params) AS p) AS params,
  (SELECT count(*) FROM run_step AS u WHERE u.run = r.id) AS steps,
  (SELECT count(*) FROM run_step AS u WHERE u.run = r.id AND u.hit) AS hits,
  (SELECT max(json_extract(s.summary, '$.score')) FROM run_step AS u JOIN step AS s ON s.key = u.key WHERE u.run = r.id) AS best_score,
  (SELECT total(s.cost_usd) FROM run_step AS u JOIN step AS s ON s.key = u.key WHERE u.run = r.id AND NOT u.hit) AS cost_usd,
  r.exit, r.error, r.sweep, r.trial, r.git_commit, r.git_dirty IS NOT NULL AS dirty, r.pruned,
  r.objective, iif(r.objective IS NULL, NULL, iif(r.minimize, 'minimize', 'maximize')) AS direction
FROM run AS r ORDER BY r.seq DESC;

-- All of chunk but its data: a page of it holds a hundred chunks, one of the table holds few.
CREATE INDEX chunk_head ON chunk (series, x0, x1, n, min, max, last);

-- What was asked, once. Rows lie in the order of their arrival, beside the tree of their keys: within
-- it a prompt of 2 KB took a page for itself and changed another in the middle.
CREATE TABLE request_next (
  key       TEXT PRIMARY KEY NOT NULL, -- digest of the body
  body      ANY,                   -- canonical JSON, without the limit on tokens; NULL if in body_blob
  body_blob TEXT                   -- digest of a body of 256 KiB or more
) STRICT;
INSERT INTO request_next SELECT key, body, body_blob FROM request;
DROP TABLE request;
ALTER TABLE request_next RENAME TO request;

-- An answer is found by answer_key; the sendings of a key nobody looks for.
DROP INDEX ask_key;
