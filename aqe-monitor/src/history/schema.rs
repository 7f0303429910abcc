//! The tables, and the views that people query.
//!
//! Tables may change from one format to the next; views stay. What a view cannot show is in the library: the samples of sealed
//! blocks, which are compressed.

/// Marks a database as one of these ("aqeh").
pub(super) const APPLICATION: i64 = 0x6171_6568;

/// Format of the tables.
pub(super) const FORMAT: i64 = 1;

/// Bytes of a page. Larger than SQLite's 4,096, so that less is left over beside chunks of one or two thousand bytes.
pub(super) const PAGE: u64 = 8192;

/// How far the number of a block stands before that of a series in the key of a chunk or of a rollup.
pub(super) const SERIES_BITS: u32 = 24;

/// How far the number of a series stands before the hour in the key of a rollup by hour. The last hour of 9999 has 27 bits.
pub(super) const HOUR_BITS: u32 = 27;

/// Key of a chunk (first number: the block) or of a rollup by minute (the minute). In order of time, so that what is added comes last
/// and what is dropped comes first: pages are filled, and freed whole.
pub(super) fn key(first: i64, series: u32) -> i64 {
    first << SERIES_BITS | i64::from(series)
}

/// Key of a rollup by hour. In order of series, since there are few of them and a month of one is what is asked for.
pub(super) fn hour_key(series: u32, hour: i64) -> i64 {
    i64::from(series) << HOUR_BITS | hour
}

/// Rowids are keys that say which series and when; `crc` is over everything else of the row and the key, so that a row that has
/// been damaged is known for it.
pub(super) const TABLES: &str = "
CREATE TABLE series_table (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    kind TEXT NOT NULL,
    unit TEXT NOT NULL,
    crc INTEGER NOT NULL,
    last_block INTEGER NOT NULL DEFAULT 0,
    UNIQUE (name, labels)
);
CREATE TABLE tick (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    times BLOB NOT NULL
);
CREATE TABLE chunk (
    key INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    sum REAL NOT NULL,
    last REAL NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE minute (
    key INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    sum REAL NOT NULL,
    last REAL NOT NULL,
    crc INTEGER NOT NULL,
    buckets TEXT
);
CREATE TABLE hour (
    key INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    sum REAL NOT NULL,
    last REAL NOT NULL,
    crc INTEGER NOT NULL,
    buckets TEXT
);
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    labels TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER
);
CREATE TABLE run_result (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE clock_step (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    step INTEGER NOT NULL
);
";

/// Times are seconds since 1970, so that `datetime(start, 'unixepoch')` reads them.
///
/// In the recent part of `samples_rollup`, `last` comes from a bare column beside `max(seq)`, which SQLite takes from the row that
/// has the maximum ("Bare columns in an aggregate query" in its documentation). Whole numbers are integers in the text of a tick; they
/// are made floating-point numbers here, or sums would overflow and averages be cut off.
pub(super) const VIEWS: &str = "
CREATE VIEW series AS
SELECT id, name, labels, kind, unit FROM series_table;

CREATE VIEW samples_recent AS
SELECT s.id AS series, s.name, s.labels, t.at / 1000.0 AS at, j.value * 1.0 AS value
FROM tick t, json_each(t.body) j JOIN series_table s ON s.id = CAST(j.key AS INTEGER)
WHERE j.type IN ('integer', 'real');

CREATE VIEW samples_rollup AS
SELECT 'minute' AS resolution, s.id AS series, s.name, s.labels,
    (m.key >> 24) * 60 AS start, m.n, m.min, m.max, m.sum / m.n AS avg, m.sum, m.last
FROM minute m JOIN series_table s ON s.id = (m.key & 16777215)
UNION ALL
SELECT 'hour', s.id, s.name, s.labels,
    (h.key & 134217727) * 3600, h.n, h.min, h.max, h.sum / h.n, h.sum, h.last
FROM hour h JOIN series_table s ON s.id = (h.key >> 27)
UNION ALL
SELECT r.resolution, s.id, s.name, s.labels,
    r.start, r.n, r.min, r.max, r.sum / r.n, r.sum, l.last * 1.0
FROM (
    SELECT w.resolution, CAST(j.key AS INTEGER) AS series, t.at / w.millis * w.millis / 1000 AS start,
        count(*) AS n, min(j.value) * 1.0 AS min, max(j.value) * 1.0 AS max, total(j.value) AS sum
    FROM (SELECT 'minute' AS resolution, 60000 AS millis UNION ALL SELECT 'hour', 3600000) w,
        tick t, json_each(t.body) j
    WHERE j.type IN ('integer', 'real')
    GROUP BY 1, 2, 3
) r
JOIN (
    SELECT w.resolution, CAST(j.key AS INTEGER) AS series, t.at / w.millis * w.millis / 1000 AS start,
        max(t.seq), j.value AS last
    FROM (SELECT 'minute' AS resolution, 60000 AS millis UNION ALL SELECT 'hour', 3600000) w,
        tick t, json_each(t.body) j
    WHERE j.type IN ('integer', 'real')
    GROUP BY 1, 2, 3
) l ON l.resolution = r.resolution AND l.series = r.series AND l.start = r.start
JOIN series_table s ON s.id = r.series;

CREATE VIEW histogram_rollup AS
SELECT 'minute' AS resolution, s.id AS series, s.name, s.labels,
    (m.key >> 24) * 60 AS start, m.n AS count, m.sum, m.buckets
FROM minute m JOIN series_table s ON s.id = (m.key & 16777215)
WHERE m.buckets IS NOT NULL
UNION ALL
SELECT 'hour', s.id, s.name, s.labels,
    (h.key & 134217727) * 3600, h.n, h.sum, h.buckets
FROM hour h JOIN series_table s ON s.id = (h.key >> 27)
WHERE h.buckets IS NOT NULL;

CREATE VIEW chunks AS
SELECT s.id AS series, s.name, s.labels, c.first_at / 1000.0 AS first_at, c.last_at / 1000.0 AS last_at,
    c.n, c.min, c.max, c.sum / c.n AS avg, c.sum, c.last, length(c.data) AS bytes
FROM chunk c JOIN series_table s ON s.id = (c.key & 16777215);

CREATE VIEW runs AS
SELECT id, name, version, labels, started / 1000.0 AS started, ended / 1000.0 AS ended FROM run;

CREATE VIEW results AS
SELECT r.id AS run, r.name AS run_name, r.version, r.labels, r.started / 1000.0 AS started, v.name, v.value
FROM run_result v JOIN run r ON r.id = v.run;

CREATE VIEW clock_steps AS
SELECT seq, at / 1000.0 AS at, step / 1000.0 AS seconds FROM clock_step;
";
