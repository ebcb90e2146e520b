-- Schema 2 adds what people say about runs, and artifacts whose bytes were given up.

-- A word that a person gave a run; @word means the last run that has it.
CREATE TABLE tag (
  run     TEXT NOT NULL,           -- run.id
  name    TEXT NOT NULL,           -- letters, digits, - _ and .
  created INTEGER NOT NULL,        -- time
  PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

-- What a person wrote about a run.
CREATE TABLE note (
  run     TEXT NOT NULL,           -- run.id
  created INTEGER NOT NULL,        -- time
  text    TEXT NOT NULL,
  PRIMARY KEY (run, created, text)
) STRICT, WITHOUT ROWID;

-- The time at which `starbook gc --max` gave up the bytes of the step's artifact; NULL: they are
-- there. The row, its points and its samples stay; a run that needs the artifact does the step again.
ALTER TABLE step ADD COLUMN collected INTEGER;
