-- Schema 3 adds trials of which their sweep had seen enough.

-- Why a pruner ended the run: at which evaluation, and by which rule. NULL: none did. The
-- status of such a run is 'done' in the table, and 'pruned' in the view.
ALTER TABLE run ADD COLUMN pruned TEXT;

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
  r.exit, r.error, r.sweep, r.trial, r.git_commit, r.git_dirty IS NOT NULL AS dirty, r.pruned
FROM run AS r ORDER BY r.seq DESC;
