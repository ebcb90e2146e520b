-- The starbook store, schema 1.
--
-- This is the public format of .starbook/store.db (SQLite 3.37 or newer). Read it
-- with `starbook sql`, with the sqlite3 shell, or from any language; within a
-- schema number nothing changes, and later numbers only add. Do not write to it.
--
--   * Tables have singular names and hold what happened; views have plural names
--     and are what people mostly want. Start with the views at the end.
--   * A digest is a SHA-256 in 64 hex digits. Bytes too large for a row lie in
--     .starbook/blobs/ab/cdef… under their digest (first two digits, other 62).
--   * A time is an INTEGER: nanoseconds since 1970, UTC. For people:
--     datetime(started / 1000000000, 'unixepoch').
--   * JSON is text and valid: json_extract(args, '$.lr').
--   * SQLite has no NaN: where a value may be NaN, NULL means NaN. Infinities are stored.

-- One execution of one notebook.
CREATE TABLE run (
  seq        INTEGER PRIMARY KEY,  -- order of beginning; clocks may go back, this does not
  id         TEXT NOT NULL UNIQUE, -- 8 hex digits, random: what people type
  notebook   TEXT NOT NULL,        -- path as given
  source     TEXT,                 -- digest of the notebook's text
  libraries  TEXT CHECK (json_valid(libraries)), -- [{"name", "digest", "size"}] of loaded .star files
  params     TEXT CHECK (json_valid(params)),    -- {"lr": {"value": 1e-5, "default": 3e-6, "doc": "…"}}
  argv       TEXT CHECK (json_valid(argv)),      -- the command line
  started    INTEGER NOT NULL,     -- time
  ended      INTEGER,              -- time; NULL while it goes on, and for ever if it was killed
  status     TEXT CHECK (status IN ('done', 'failed', 'interrupted')), -- NULL without an end: running
                                   -- if somebody holds .starbook/runs/ID.lock (flock), else interrupted
  exit       INTEGER,              -- exit code
  error      TEXT,                 -- message of the failure
  sweep      TEXT,                 -- 8 hex digits of the sweep it is a trial of; NULL: of none
  trial      INTEGER,              -- number of the trial, from 1
  git_commit TEXT,                 -- of the notebook's repository
  git_dirty  TEXT,                 -- digest of the diff against that commit; NULL if clean
  env        TEXT CHECK (json_valid(env)) -- {"go", "os", "arch", "cpu", "device", "host", …}
) STRICT;
CREATE INDEX run_sweep ON run (sweep);

-- A finished step: a built-in with everything that can change its result, and
-- what came out. Steps belong to no run: every run that needs one uses it.
CREATE TABLE step (
  seq      INTEGER PRIMARY KEY,    -- order of finishing
  key      TEXT NOT NULL UNIQUE,   -- fingerprint: digest of name, version and arguments
  name     TEXT NOT NULL,          -- of the built-in: lora.train
  version  INTEGER NOT NULL,       -- of the meaning of the built-in's code
  args     TEXT CHECK (json_valid(args)),    -- canonical; artifacts as digests
  inputs   TEXT CHECK (json_valid(inputs)),  -- [digest] of the artifacts among the arguments
  kind     TEXT NOT NULL,          -- of the output: dataset, model, adapter, scores, value
  output   TEXT,                   -- digest of the artifact
  refs     TEXT CHECK (json_valid(refs)),    -- [digest] of further blobs the output needs: files of a tree
  summary  TEXT CHECK (json_valid(summary)), -- small facts to show: {"rows": 500}, {"score": 0.61}
  seconds  REAL NOT NULL,          -- that the work took
  cost_usd REAL NOT NULL,          -- that was paid for it
  device   TEXT,                   -- kind of device it ran on
  created  INTEGER NOT NULL        -- time
) STRICT;
CREATE INDEX step_output ON step (output);
CREATE INDEX step_name ON step (name);

-- A step as it appeared in a run.
CREATE TABLE run_step (
  run     TEXT NOT NULL,           -- run.id
  seq     INTEGER NOT NULL,        -- order of first call in the run, from 1
  key     TEXT NOT NULL,           -- step.key; the step is missing if it failed or was cut short
  name    TEXT NOT NULL,           -- of the built-in
  hit     INTEGER NOT NULL,        -- 1 if it was there already
  failed  TEXT,                    -- the error
  seconds REAL NOT NULL,           -- in this run
  cell    INTEGER NOT NULL,        -- number of the cell, from 1
  line    INTEGER NOT NULL,        -- in the notebook, from 1
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_step_key ON run_step (key);

-- What happened in a run, in order. Metrics are not here but in series.
CREATE TABLE event (
  id    INTEGER PRIMARY KEY,       -- grows: a reader asks for what is above the last one it saw
  run   TEXT NOT NULL,             -- run.id
  step  TEXT,                      -- step.key, if a step is meant
  time  INTEGER NOT NULL,
  kind  TEXT NOT NULL,             -- run.start, step.done, print, warn, note, plot, …
  name  TEXT,
  cell  INTEGER NOT NULL,          -- 0: none
  line  INTEGER NOT NULL,          -- 0: none
  x     INTEGER NOT NULL,
  value REAL,                      -- NULL: NaN
  text  TEXT,
  data  TEXT                       -- JSON of a table, plot or comparison
) STRICT;
CREATE INDEX event_run ON event (run, id);

-- A metric of a step, with its summary: listings read only this table. The step
-- may still be at work, so that its row in step may not be there yet.
CREATE TABLE series (
  id     INTEGER PRIMARY KEY,
  step   TEXT NOT NULL,            -- step.key
  name   TEXT NOT NULL,            -- of the metric: eval_loss
  n      INTEGER NOT NULL,         -- points
  last_x INTEGER NOT NULL,         -- greatest x
  last   REAL,                     -- value there; NULL: NaN
  min    REAL,                     -- smallest value that is not NaN; NULL if all are
  min_x  INTEGER NOT NULL,         -- first x that has it
  max    REAL,                     -- greatest value that is not NaN; NULL if all are
  max_x  INTEGER NOT NULL,         -- first x that has it
  UNIQUE (step, name)
) STRICT;

-- The young points of a series that grows slowly. A point here replaces a sealed one at
-- the same x.
CREATE TABLE point (
  series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
  x      INTEGER NOT NULL,         -- training step, example, …
  v      REAL,                     -- NULL: NaN
  PRIMARY KEY (series, x)
) STRICT, WITHOUT ROWID;

-- The sealed points of a series, 1024 to 2047 a row, fewer in the last. The columns before data
-- are a coarse curve for drawing without decoding.
CREATE TABLE chunk (
  series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
  x0     INTEGER NOT NULL,         -- first x
  x1     INTEGER NOT NULL,         -- last x; chunks of a series do not overlap
  n      INTEGER NOT NULL,         -- points
  min    REAL,                     -- smallest value that is not NaN; NULL if all are
  max    REAL,                     -- greatest value that is not NaN; NULL if all are
  last   REAL,                     -- value at x1; NULL: NaN
  dx     INTEGER,                  -- x advances by dx from x0; NULL if irregular
  data   BLOB NOT NULL,            -- n values as little-endian IEEE 754 doubles (NaN as it is), then,
                                   -- only if dx is NULL, n x as little-endian 64-bit integers
  PRIMARY KEY (series, x0)
) STRICT;

-- One graded answer of an evaluation.
CREATE TABLE sample (
  step    TEXT NOT NULL,           -- step.key of the evaluation
  idx     INTEGER NOT NULL,        -- place in the dataset, from 0
  id      TEXT NOT NULL,           -- of the item, stable between datasets: pair evaluations by this
  parent  TEXT,                    -- item this one was made from: items of one parent are not independent
  grp     TEXT,                    -- category of the item
  prompt  TEXT NOT NULL,
  want    TEXT NOT NULL,           -- reference answer
  answer  TEXT NOT NULL,           -- what the model said
  outcome TEXT NOT NULL,           -- pass, fail, truncated, empty, unparsable, refused, unscored
  score   REAL,                    -- NULL: NaN
  note    TEXT,                    -- what the grader said
  tokens  INTEGER NOT NULL,        -- generated
  logprob REAL,                    -- mean per token; NULL: NaN
  leak    TEXT,                    -- how the item was met in training: id, parent, exact, 13-gram, near, few-shot; NULL: it was not
  PRIMARY KEY (step, idx)
) STRICT;

-- What a teacher was asked, in one spelling. A request has one row, however often it is sent.
CREATE TABLE request (
  key       TEXT PRIMARY KEY,      -- digest of the body
  body      ANY,                   -- canonical JSON, without the limit on tokens; NULL if in body_blob
  body_blob TEXT                   -- digest of a body of 256 KiB or more
) STRICT, WITHOUT ROWID;

-- A file of requests for a provider's batch service, at half the price.
CREATE TABLE batch (
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL UNIQUE,   -- 16 hex digits: how the provider's batch is known to be ours
  provider TEXT NOT NULL,
  model    TEXT NOT NULL,
  base_url TEXT NOT NULL,
  size     INTEGER NOT NULL,       -- requests
  remote   TEXT,                   -- the provider's id; NULL until it is known
  begun    INTEGER NOT NULL,       -- time; before it was sent
  ended    INTEGER                 -- time at which every request had its row in answer
) STRICT;

-- A request that may cost money, written before it is sent. One row for each sending.
CREATE TABLE ask (
  attempt      INTEGER PRIMARY KEY,
  key          TEXT NOT NULL,      -- request.key
  provider     TEXT NOT NULL,      -- openai
  model        TEXT NOT NULL,
  base_url     TEXT NOT NULL,      -- without secrets
  max_tokens   INTEGER NOT NULL,   -- limit on the answer
  reserved_usd REAL NOT NULL,      -- what it can cost at most
  step         TEXT,               -- fingerprint of the step whose budget pays
  batch        INTEGER REFERENCES batch (id), -- NULL: sent by itself
  process      TEXT NOT NULL,      -- .starbook/processes/NAME.lock is held (flock) while the asker lives
  begun        INTEGER NOT NULL,   -- time
  told         INTEGER             -- time at which a person was told that it is in doubt
) STRICT;
CREATE INDEX ask_key ON ask (key);
CREATE INDEX ask_step ON ask (step);
CREATE INDEX ask_batch ON ask (batch) WHERE batch IS NOT NULL;

-- What came back for an attempt, written before it is used. An ask without an
-- answer whose process is gone may have been paid for: it is in doubt.
CREATE TABLE answer (
  attempt          INTEGER PRIMARY KEY REFERENCES ask (attempt),
  key              TEXT NOT NULL,  -- request.key
  status           INTEGER NOT NULL, -- HTTP; 0: no reply came
  body             ANY,            -- as received: text, or a blob if it is no UTF-8; NULL if in body_blob
  body_blob        TEXT,           -- digest of a body of 256 KiB or more
  headers          TEXT CHECK (json_valid(headers)),
  finish           TEXT,           -- stop, length, refusal, content_filter
  input_tokens     INTEGER NOT NULL,
  cached_tokens    INTEGER NOT NULL, -- a part of input
  output_tokens    INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL, -- a part of output
  cost_usd         REAL NOT NULL,
  doubt_usd        REAL NOT NULL,  -- what may have been paid for it without a reply that says so
  created          INTEGER NOT NULL, -- time
  fault            TEXT,           -- why it cannot be used, by name: timeout, rate_limited, …; NULL if it can
  error            TEXT            -- the same in words
) STRICT;
CREATE INDEX answer_key ON answer (key);

-- Memo of the digests of input files, so that they are read once.
CREATE TABLE file (
  path   TEXT PRIMARY KEY,
  size   INTEGER NOT NULL,         -- bytes
  mtime  INTEGER NOT NULL,         -- time
  digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs, newest first, in words. The status 'unfinished' is running or interrupted:
-- only the lock tells.
CREATE VIEW runs AS
SELECT r.id, r.notebook,
  coalesce(r.status, 'unfinished') AS status,
  datetime(r.started / 1000000000, 'unixepoch') AS started_utc,
  (r.ended - r.started) / 1e9 AS seconds,
  (SELECT json_group_object(p.key, json_extract(p.value, '$.value')) FROM json_each(r.params) AS p) AS params,
  (SELECT count(*) FROM run_step AS u WHERE u.run = r.id) AS steps,
  (SELECT count(*) FROM run_step AS u WHERE u.run = r.id AND u.hit) AS hits,
  (SELECT max(json_extract(s.summary, '$.score')) FROM run_step AS u JOIN step AS s ON s.key = u.key WHERE u.run = r.id) AS best_score,
  (SELECT total(s.cost_usd) FROM run_step AS u JOIN step AS s ON s.key = u.key WHERE u.run = r.id AND NOT u.hit) AS cost_usd,
  r.exit, r.error, r.sweep, r.trial, r.git_commit, r.git_dirty IS NOT NULL AS dirty
FROM run AS r ORDER BY r.seq DESC;

-- The steps of every run in order: … WHERE run = '3f9a0c11'. Saved is what a hit spared.
CREATE VIEW steps_of_run AS
SELECT u.run, u.seq, u.name,
  CASE WHEN u.failed IS NOT NULL THEN 'failed' WHEN u.hit THEN 'hit' WHEN s.key IS NULL THEN 'unfinished' ELSE 'done' END AS state,
  u.seconds, u.cell, u.line, s.kind, s.summary,
  CASE WHEN u.hit THEN 0 ELSE coalesce(s.cost_usd, 0) END AS cost_usd,
  CASE WHEN u.hit THEN s.seconds ELSE 0 END AS saved_seconds,
  CASE WHEN u.hit THEN s.cost_usd ELSE 0 END AS saved_usd,
  u.failed AS error, s.args, s.output, u.key AS step
FROM run_step AS u LEFT JOIN step AS s ON s.key = u.key ORDER BY u.run, u.seq;

-- One row for each metric of each step.
CREATE VIEW metrics AS
SELECT c.step, s.name AS step_name, c.name AS metric, c.n, c.last_x, c.last, c.min, c.min_x, c.max, c.max_x
FROM series AS c LEFT JOIN step AS s ON s.key = c.step WHERE c.n > 0 ORDER BY c.step, c.name;

-- The same for each run: a step that two runs share is in both.
CREATE VIEW metrics_of_run AS
SELECT u.run, u.seq, u.name AS step_name, c.name AS metric, c.n, c.last_x, c.last, c.min, c.min_x, c.max, c.max_x, u.key AS step
FROM run_step AS u JOIN series AS c ON c.step = u.key WHERE c.n > 0 ORDER BY u.run, u.seq, c.name;

-- A coarse curve of each metric in any SQLite: sealed stretches, then single points.
CREATE VIEW curves AS
SELECT c.step, c.name AS metric, k.x0, k.x1, k.n, k.min, k.max, k.last
FROM series AS c JOIN chunk AS k ON k.series = c.id
UNION ALL
SELECT c.step, c.name, p.x, p.x, 1, p.v, p.v, p.v
FROM series AS c JOIN point AS p ON p.series = c.id;

-- Every point of each metric. The function chunk_points exists in starbook only
-- (`starbook sql`); elsewhere decode chunk.data or use curves.
CREATE VIEW points AS
SELECT c.step, c.name AS metric, json_extract(j.value, '$[0]') AS x, json_extract(j.value, '$[1]') AS v
FROM series AS c JOIN chunk AS k ON k.series = c.id, json_each(chunk_points(k.x0, k.n, k.dx, k.data)) AS j
WHERE NOT EXISTS (SELECT 1 FROM point AS p WHERE p.series = c.id AND p.x = json_extract(j.value, '$[0]'))
UNION ALL
SELECT c.step, c.name, p.x, p.v FROM series AS c JOIN point AS p ON p.series = c.id;

-- Graded answers with the name of the step that graded them.
CREATE VIEW samples AS
SELECT x.step, s.name AS step_name, x.idx, x.id, x.parent, x.grp, x.outcome, x.score, x.prompt, x.want, x.answer, x.note, x.tokens, x.logprob, x.leak
FROM sample AS x LEFT JOIN step AS s ON s.key = x.step ORDER BY x.step, x.idx;

-- How each evaluation went. Unscored samples do not count; truncated, empty and
-- unparsable ones count as not passed and are shown. Leaked ones, which were
-- trained on, are counted here; the summary of the step tells the rate without them.
CREATE VIEW pass_rates AS
SELECT x.step, s.name AS step_name,
  count(*) FILTER (WHERE x.outcome <> 'unscored') AS n,
  count(*) FILTER (WHERE x.outcome = 'pass') AS passed,
  1.0 * count(*) FILTER (WHERE x.outcome = 'pass') / nullif(count(*) FILTER (WHERE x.outcome <> 'unscored'), 0) AS pass_rate,
  count(*) FILTER (WHERE x.outcome = 'truncated') AS truncated,
  count(*) FILTER (WHERE x.outcome = 'empty') AS empty,
  count(*) FILTER (WHERE x.outcome = 'unparsable') AS unparsable,
  count(*) FILTER (WHERE x.outcome = 'refused') AS refused,
  count(*) FILTER (WHERE x.outcome = 'unscored') AS unscored,
  count(*) FILTER (WHERE x.leak IS NOT NULL) AS leaked
FROM sample AS x LEFT JOIN step AS s ON s.key = x.step GROUP BY x.step ORDER BY s.seq;

-- What was paid, by provider and model. Doubt is what may have been paid without a reply: at most so much.
CREATE VIEW spending AS
SELECT q.provider, q.model, count(*) AS asks, count(a.attempt) AS answers,
  count(*) FILTER (WHERE a.attempt IS NOT NULL AND a.fault IS NULL) AS usable,
  coalesce(sum(a.input_tokens), 0) AS input_tokens, coalesce(sum(a.cached_tokens), 0) AS cached_tokens,
  coalesce(sum(a.output_tokens), 0) AS output_tokens, coalesce(sum(a.reasoning_tokens), 0) AS reasoning_tokens,
  total(a.cost_usd) AS cost_usd,
  total(iif(a.attempt IS NULL, q.reserved_usd, a.doubt_usd)) AS doubt_usd
FROM ask AS q LEFT JOIN answer AS a ON a.attempt = q.attempt GROUP BY q.provider, q.model ORDER BY cost_usd DESC;
